//! The cases of compression, at the default levels.

use std::{fmt::Write as _, sync::Arc};

use ruleiq_bench::Fault;
use ruleiq_compression::{Coding, Config, Encoder};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::job::{Job, Work};

/// Their names.
pub(super) const NAMES: [&str; 2] = ["json_10k_zstd", "json_100k_br"];

/// The case of this name, ready.
///
/// # Errors
///
/// When the body cannot be encoded, or does not shrink.
pub(super) async fn job(case: &'static str) -> Result<Job, Fault> {
    let (about, coding, size) = match case {
        "json_10k_zstd" => ("10 KiB of JSON, with zstd.", Coding::Zstd, 10 * 1024),
        "json_100k_br" => ("100 KiB of JSON, with brotli.", Coding::Brotli, 100 * 1024),
        _ => unreachable!("`NAMES` has no other"),
    };
    let made = spawn_blocking(move || {
        let encoder = Encoder::new(&Config::default()).map_err(Fault::failed)?;
        let body = records(size);
        let expected = encoder.encode(coding, &body).map_err(Fault::failed)?;
        if expected.len() >= body.len() {
            return Err(Fault::Wrong("the body did not shrink".to_owned()));
        }
        Ok((encoder, body, expected))
    });
    let made = made
        .await
        .map_err(|_| Fault::Failed("an encoder panicked".to_owned()))?;
    let (encoder, body, expected) = made?;
    let settings = json!({ "threads": 1, "body_bytes": body.len(), "bytes_out": expected.len() });
    // The same body gives the same bytes.
    let operation = move |_| match encoder.encode(coding, &body) {
        Ok(encoded) if encoded == expected => Ok(()),
        Ok(_) => Err(Fault::Wrong("other bytes than before".to_owned())),
        Err(error) => Err(Fault::failed(error)),
    };
    Ok(Job {
        component: "compression",
        case,
        about,
        settings,
        targets: vec![],
        work: Work::Computing {
            timed: true,
            operation: Arc::new(operation),
        },
    })
}

/// A list of records, as an API answers it, cut at `size` bytes.
fn records(size: usize) -> Vec<u8> {
    let mut text = String::from("[");
    let mut mixed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut n = 0;
    while text.len() < size {
        mixed = mixed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        n += 1;
        write!(
            text,
            r#"{{"id":"{mixed:016x}","position":{n},"code":"A.{}.{}","status":"{}","title":"Control {n} of the framework"}},"#,
            mixed % 9,
            mixed % 31,
            ["draft", "in_progress", "completed"][usize::try_from(mixed >> 62).unwrap_or(0) % 3],
        )
        .expect("a string takes what is written to it");
    }
    text.truncate(size);
    text.into_bytes()
}
