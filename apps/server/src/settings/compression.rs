//! What is compressed, and how hard.

use std::time::Duration;

use ruleiq_compression::{Config, Policy, Preference};

use super::reader::{Lifetime, Reader, Setting};

pub(super) fn read(from: &mut Reader<'_>) -> Config {
    let default = Config::default();
    let budget = Lifetime(Duration::from_micros(default.cpu_budget_us));
    let config = Config {
        enabled: from.value(
            "ENABLE_COMPRESSION",
            default.enabled,
            "Whether responses are compressed",
        ),
        minimum_size: from.value(
            "COMPRESSION_MINIMUM_SIZE",
            default.minimum_size,
            "Bytes that a body must exceed to be compressed",
        ),
        preference: from.value(
            "COMPRESSION_PREFERENCE",
            default.preference,
            "`order` (br, zstd, gzip) or `cheapest`, among codings that a client likes equally",
        ),
        cpu_budget_us: micros(from.value(
            "COMPRESSION_CPU_BUDGET",
            budget,
            "Seconds of CPU that a body may take; above, a lower level or the next coding is taken",
        )),
        brotli_level: from.value(
            "COMPRESSION_BROTLI_LEVEL",
            default.brotli_level,
            "Level of brotli",
        ),
        zstd_level: from.optional(
            "COMPRESSION_ZSTD_LEVEL",
            "Level of zstd; without it 1 up to 32 KiB and 3 above",
        ),
        gzip_level: from.value(
            "COMPRESSION_GZIP_LEVEL",
            default.gzip_level,
            "Level of gzip",
        ),
        memo_bytes: from.value(
            "COMPRESSION_MEMO_BYTES",
            default.memo_bytes,
            "Bytes of compressed bodies that are remembered; 0 for none",
        ),
        load_aware: from.value(
            "COMPRESSION_LOAD_AWARE",
            default.load_aware,
            "Whether less is compressed while there is too much to do",
        ),
        ..default
    };
    from.check(Policy::new(&config));
    config
}

fn micros(budget: Lifetime) -> u64 {
    u64::try_from(budget.0.as_micros()).unwrap_or(u64::MAX)
}

impl Setting for Preference {
    const EXPECTED: &'static str = "`order` or `cheapest`";

    fn parse(text: &str) -> Option<Preference> {
        match text {
            "order" => Some(Preference::Order),
            "cheapest" => Some(Preference::Cheapest),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Preference::Order => "order".to_owned(),
            Preference::Cheapest => "cheapest".to_owned(),
        }
    }
}
