//! The cases of compression, at the default levels.

use std::{fmt::Write as _, sync::Arc};

use ruleiq_bench::Fault;
use ruleiq_compression::{Coding, Config, Encoder, Kind};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::job::{Job, Work};

/// A body that the encoder alone encodes: no middleware, and no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EncoderCase {
    /// Its name, without the component.
    pub name: &'static str,
    /// What it measures, in one sentence.
    pub about: &'static str,
    /// The coding, at its default level.
    pub coding: Coding,
    /// The size of the body.
    pub body_bytes: usize,
}

/// The cases of compression, here and in the command's benchmark.
pub const ENCODER_CASES: [EncoderCase; 2] = [
    EncoderCase {
        name: "encoder_10k_zstd",
        about: "10 KiB of JSON with zstd, by the encoder alone.",
        coding: Coding::Zstd,
        body_bytes: 10 * 1024,
    },
    EncoderCase {
        name: "encoder_100k_br",
        about: "100 KiB of JSON with brotli, by the encoder alone.",
        coding: Coding::Brotli,
        body_bytes: 100 * 1024,
    },
];

impl EncoderCase {
    /// A list of records, as an API answers it, cut at `size` bytes.
    pub fn body(size: usize) -> Vec<u8> {
        records(size)
    }
}

/// The case, ready.
///
/// # Errors
///
/// When the body cannot be encoded, or does not shrink.
pub(super) async fn job(case: EncoderCase) -> Result<Job, Fault> {
    let (coding, size) = (case.coding, case.body_bytes);
    let made = spawn_blocking(move || {
        let encoder = Encoder::new(&Config::default()).map_err(Fault::failed)?;
        let body = records(size);
        // Chosen once: what is learned of its cost must not change what is measured.
        let choice = encoder.choose(&[coding], Some(body.len()));
        let choice = choice.ok_or_else(|| Fault::Failed("no level".to_owned()))?;
        let expected = encoder.encode_at(choice, Kind::Json, &body);
        let expected = expected.map_err(Fault::failed)?;
        if expected.len() >= body.len() {
            return Err(Fault::Wrong("the body did not shrink".to_owned()));
        }
        Ok((encoder, choice, body, expected))
    });
    let made = made
        .await
        .map_err(|_| Fault::Failed("an encoder panicked".to_owned()))?;
    let (encoder, choice, body, expected) = made?;
    let settings = json!({ "threads": 1, "body_bytes": body.len() });
    // The same body gives the same bytes.
    let operation = move |_| match encoder.encode_at(choice, Kind::Json, &body) {
        Ok(encoded) if encoded == expected => Ok(()),
        Ok(_) => Err(Fault::Wrong("other bytes than before".to_owned())),
        Err(error) => Err(Fault::failed(error)),
    };
    Ok(Job {
        component: "compression",
        case: case.name,
        about: case.about,
        settings,
        targets: vec![],
        cache: None,
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
