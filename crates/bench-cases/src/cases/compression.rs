//! Compressed answers: RuleIQ's middleware against actix-web's and tower-http's, nginx beside them.
//!
//! Each side is a server of one worker. All are offered one coding, and each encodes at its own level: actix-web's cannot
//! be set (brotli 3, zstd 3, gzip 1 in 4.18), and tower-http's is its default. Ours is the one that is named, held
//! against each of them: no more bytes, but for 1 %, and no more CPU. On our side the load is not looked at, and no body is
//! sent as it is because others are before it: what is named is what is measured. All stand on the same codecs, as one
//! program has one of each: gzip is zlib-rs's.

mod codec;
mod corpus;
mod encoder;
mod served;

use std::time::Duration;

use ruleiq_bench::{Case, CaseBuilder, Process, Target};
use ruleiq_compression::Coding;
use serde::Serialize;

pub(crate) use self::codec::compare;
use crate::{Env, Options};

/// The crate that is measured.
const OURS: (&str, &str) = ("ruleiq-web", env!("CARGO_PKG_VERSION"));
const ACTIX: (&str, &str) = ("actix-web Compress", "4.18");
const TOWER: (&str, &str) = ("tower-http Compression", "0.6");

/// Names of sizes, their bytes, and how many different bodies have them.
const SIZES: [(&str, usize, usize); 4] = [
    ("1k5", 1_536, 64),
    ("10k", 10_240, 32),
    ("100k", 102_400, 8),
    ("1m", 1_048_576, 2),
];

/// A body that is handed to another thread, and takes a test no time.
const OFFLOADED: usize = 40_960;

/// Requests under way at once.
const CONNECTIONS: usize = 32;

/// What all sides of a case are set up from.
#[derive(Clone, Copy, Debug, Serialize)]
struct Settings {
    /// The most that a body has.
    size_bytes: usize,
    /// Different bodies, one after the other.
    bodies: usize,
    /// What the request accepts.
    accept_encoding: &'static str,
    content_type: &'static str,
    /// Whether the answer is encoded.
    is_eligible: bool,
    /// The level on our side; none: what the policy chooses.
    level: Option<i32>,
    /// Whether the handler says what the body is made of.
    is_marked: bool,
    /// Requests under way at once, each on a connection of its own.
    connections: usize,
    /// Threads of the server that take requests.
    workers: usize,
}

/// Whom ours is held against, and at which of its levels.
#[derive(Clone, Copy, Debug)]
enum Against {
    Actix(i32),
    Tower(i32),
}

impl Settings {
    fn new(options: &Options, (size, bodies): (usize, usize), coding: Coding) -> Settings {
        let (size_bytes, bodies) = match options.tiny {
            true => (size.min(OFFLOADED), 1),
            false => (size, bodies),
        };
        Settings {
            size_bytes,
            bodies,
            accept_encoding: coding.as_str(),
            content_type: "application/json",
            is_eligible: true,
            level: None,
            is_marked: false,
            connections: options.concurrency.unwrap_or(CONNECTIONS).max(1),
            workers: 1,
        }
    }

    fn coding(&self) -> Coding {
        let mut all = Coding::ALL.into_iter();
        all.find(|it| it.as_str() == self.accept_encoding)
            .expect("made from a coding")
    }
}

/// The cases of compression.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let [small, medium, large, _] = SIZES.map(|(_, size, bodies)| (size, bodies));
    let zstd = case(
        "json_10k_zstd",
        Settings::new(options, medium, Coding::Zstd),
    )
    .about("10 KB of JSON as zstd.")
    .control(ACTIX.0, ACTIX.1, served::actix)
    .target(Target::ratio_at_most(0.4))
    .target(Target::ratio_of_at_most("bytes_out", 1.01))
    .quick();
    // At actix-web's level, for equal bytes.
    let br = Settings {
        level: Some(3),
        ..Settings::new(options, large, Coding::Brotli)
    };
    let br = case("json_100k_br", br)
        .about("100 KB of JSON as brotli at level 3.")
        .control(ACTIX.0, ACTIX.1, served::actix)
        .target(Target::ratio_at_most(0.2));
    let mut cases = vec![zstd.build(), br.build()];
    for coding in Coding::ALL {
        for (name, size, bodies) in SIZES {
            let name = format!("{}_{name}", coding.as_str());
            let settings = Settings::new(options, (size, bodies), coding);
            let all = against(coding);
            cases.extend(all.map(|it| compressed(&name, settings, it)));
        }
    }
    cases.push(memo_hit(Settings::new(options, medium, Coding::Brotli)));
    cases.push(not_eligible(Settings::new(options, small, Coding::Brotli)));
    cases.extend(encoder::cases());
    cases
}

/// At which of our levels it is no more bytes and no more CPU.
fn against(coding: Coding) -> [Against; 2] {
    match coding {
        Coding::Brotli => [Against::Actix(3), Against::Tower(4)],
        Coding::Zstd => [Against::Actix(1), Against::Tower(1)],
        Coding::Gzip => [Against::Actix(1), Against::Tower(6)],
    }
}

fn case(name: &str, settings: Settings) -> CaseBuilder<Env, Settings> {
    let is_large = settings.size_bytes > 1_000_000;
    let case = Case::builder("compression", name, settings)
        .cpu_of([Process::Server])
        .subject(OURS.0, OURS.1, served::ours);
    match is_large {
        // A few dozen requests, of tens of milliseconds each.
        true => case.slice(Duration::from_secs(1)),
        false => case,
    }
}

fn compressed(name: &str, mut settings: Settings, against: Against) -> Case<Env> {
    let (Against::Actix(level) | Against::Tower(level)) = against;
    settings.level = Some(level);
    let has_zstd = settings.coding() == Coding::Zstd;
    let case = case(name, settings)
        .about("JSON of this size in this coding.")
        .target(Target::ratio_at_most(1.0))
        .target(Target::ratio_of_at_most("bytes_out", 1.01));
    match against {
        Against::Actix(_) => case
            .variant("against", "actix")
            .control(ACTIX.0, ACTIX.1, served::actix)
            .build(),
        Against::Tower(_) => {
            let case =
                case.variant("against", "tower-http")
                    .control(TOWER.0, TOWER.1, served::tower);
            match has_zstd {
                true => case.build(),
                // Debian's has a module for brotli, and none for zstd.
                false => case.peer("nginx", "Debian's", served::nginx).build(),
            }
        }
    }
}

fn memo_hit(settings: Settings) -> Case<Env> {
    let settings = Settings {
        is_marked: true,
        ..settings
    };
    case("memo_hit", settings)
        .about("An answer whose encoded body is remembered, against the same answer as it is.")
        .target(Target::ratio_at_most(1.05))
        .control("the handler alone", ACTIX.1, served::bare)
        .build()
}

fn not_eligible(settings: Settings) -> Case<Env> {
    let settings = Settings {
        content_type: "image/png",
        is_eligible: false,
        ..settings
    };
    case("not_eligible", settings)
        .about("An answer that is left alone for its type: what the middleware costs by standing there.")
        .target(Target::ratio_at_most(1.1))
        .control("the handler alone", ACTIX.1, served::bare)
        .build()
}
