//! Compressed answers: RuleIQ's middleware against actix's, and against the bare codec.
//!
//! Both sides are offered one coding, and each encodes at its own level: actix-web's cannot be set
//! (brotli 3, zstd 3, gzip 1 in 4.18). What that means for the bytes stands in `bytes_out`.

mod app;
mod codec;
mod corpus;
mod encoder;

use std::time::Duration;

use ruleiq_bench::{Case, CaseBuilder, Target};
use ruleiq_compression::{Coding, Config};
use serde::Serialize;

pub(crate) use self::codec::compare;
use crate::{Env, Options};

/// The crate that is measured.
const OURS: (&str, &str) = ("ruleiq-web", env!("CARGO_PKG_VERSION"));
const ACTIX: (&str, &str) = ("actix-web Compress", "4.18");

/// Names of sizes, their bytes, and how many different bodies have them.
const SIZES: [(&str, usize, usize); 4] = [
    ("1k5", 1_536, 64),
    ("10k", 10_240, 32),
    ("100k", 102_400, 8),
    ("1m", 1_048_576, 2),
];

/// A body that is handed to another thread, and takes a test no time.
const OFFLOADED: usize = 40_960;

/// What both sides of a case are set up from.
#[derive(Clone, Debug, Serialize)]
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
    /// The level of brotli on our side.
    brotli_level: i32,
    /// Whether the handler says what the body is made of.
    is_marked: bool,
    /// Requests under way at once.
    at_once: usize,
    /// Threads of the application.
    workers: usize,
    /// Whether requests travel over a connection.
    sockets: bool,
}

impl Settings {
    fn new(size_bytes: usize, bodies: usize, coding: Coding) -> Settings {
        Settings {
            size_bytes,
            bodies,
            accept_encoding: coding.as_str(),
            content_type: "application/json",
            is_eligible: true,
            brotli_level: Config::default().brotli_level,
            is_marked: false,
            at_once: 1,
            workers: 1,
            sockets: false,
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
    let zstd = compressed("json_10k_zstd", options, medium, Coding::Zstd)
        .about("10 KB of JSON as zstd, a request at a time.")
        .target(Target::ratio_at_most(0.4))
        .target(Target::ratio_of_at_most("bytes_out", 1.01))
        .quick();
    // At actix-web's level, for equal bytes.
    let br = at_level(3, "json_100k_br", options, large, Coding::Brotli)
        .about("100 KB of JSON as brotli at level 3, a request at a time.")
        .target(Target::ratio_at_most(0.2));
    let mut cases = vec![zstd.build(), br.build()];
    for coding in Coding::ALL {
        let word = coding.as_str();
        cases.extend(SIZES.map(|(name, size, bodies)| {
            let name = format!("{word}_{name}");
            compressed(&name, options, (size, bodies), coding)
                .about("JSON of this size in this coding, a request at a time.")
                .build()
        }));
    }
    cases.push(memo_hit(options, medium));
    cases.push(not_eligible(options, small));
    cases.extend(encoder::cases());
    cases
}

fn compressed(
    name: &str,
    options: &Options,
    sizes: (usize, usize),
    coding: Coding,
) -> CaseBuilder<Env, Settings> {
    let brotli_level = Config::default().brotli_level;
    at_level(brotli_level, name, options, sizes, coding)
}

fn at_level(
    brotli_level: i32,
    name: &str,
    options: &Options,
    (size, bodies): (usize, usize),
    coding: Coding,
) -> CaseBuilder<Env, Settings> {
    let (size, bodies) = match options.tiny {
        true => (size.min(OFFLOADED), 1),
        false => (size, bodies),
    };
    let settings = Settings {
        brotli_level,
        ..Settings::new(size, bodies, coding)
    };
    let case = Case::builder("compression", name, settings)
        .on_one_thread()
        .subject(OURS.0, OURS.1, app::ours)
        .control(ACTIX.0, ACTIX.1, app::actix)
        .control("the codec alone", "-", codec::raw);
    match size {
        // A few dozen requests, of tens of milliseconds each.
        1_000_000.. => case.slice(Duration::from_secs(1)),
        _ => case,
    }
}

fn memo_hit(options: &Options, (size, bodies): (usize, usize)) -> Case<Env> {
    let settings = Settings {
        is_marked: true,
        ..Settings::new(size, if options.tiny { 1 } else { bodies }, Coding::Brotli)
    };
    Case::builder("compression", "memo_hit", settings)
        .on_one_thread()
        .about("An answer whose encoded body is remembered, against the same answer as it is.")
        .target(Target::ratio_at_most(1.05))
        .subject(OURS.0, OURS.1, app::ours)
        .control("the handler alone", ACTIX.1, app::identity)
        .build()
}

fn not_eligible(options: &Options, (size, bodies): (usize, usize)) -> Case<Env> {
    let settings = Settings {
        content_type: "image/png",
        is_eligible: false,
        ..Settings::new(size, if options.tiny { 1 } else { bodies }, Coding::Brotli)
    };
    Case::builder("compression", "not_eligible", settings)
        .on_one_thread()
        .about("An answer that is left alone for its type: what the middleware costs by standing there.")
        .target(Target::ratio_at_most(1.1))
        .subject(OURS.0, OURS.1, app::ours)
        .control("the handler alone", ACTIX.1, app::bare)
        .build()
}
