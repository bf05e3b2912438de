//! Bodies to encode, and decoders that know nothing of the encoder.

use std::io::Read;

use ruleiq_compression::{Coding, Config, Encoder};

/// A list as an API would send it, of at least `size_bytes`.
pub(crate) fn json(size_bytes: usize) -> Vec<u8> {
    let mut body = b"[".to_vec();
    let mut seed = 7_u64;
    while body.len() < size_bytes {
        seed = next(seed);
        let row = format!(
            r#"{{"id":"{seed:016x}","status":"{}","title":"Control {} of the framework"}},"#,
            ["draft", "in_progress", "completed"][usize::try_from(seed % 3).unwrap()],
            seed % 97,
        );
        body.extend_from_slice(row.as_bytes());
    }
    body
}

/// Bytes that no coding can shrink.
pub(crate) fn noise(size_bytes: usize) -> Vec<u8> {
    let mut seed = 11_u64;
    let bytes = std::iter::repeat_with(|| {
        seed = next(seed);
        seed.to_be_bytes()[3]
    });
    bytes.take(size_bytes).collect()
}

/// One that keeps to its levels, whatever they cost.
pub(crate) fn encoder(config: &Config) -> Encoder {
    let config = Config {
        cpu_budget_us: u64::MAX,
        ..config.clone()
    };
    Encoder::new(&config).unwrap()
}

/// Decodes, and finds nothing behind what it decoded.
pub(crate) fn decode(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let rest = match coding {
        Coding::Brotli => {
            // A buffer of one byte, so that no byte is read that is not needed.
            let mut decoder = brotli::Decompressor::new(encoded, 1);
            decoder.read_to_end(&mut decoded).unwrap();
            decoder.into_inner()
        }
        Coding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(encoded).unwrap().single_frame();
            decoder.read_to_end(&mut decoded).unwrap();
            decoder.finish()
        }
        Coding::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(encoded);
            decoder.read_to_end(&mut decoded).unwrap();
            decoder.into_inner()
        }
    };
    assert!(rest.is_empty(), "{coding}: {} bytes too many", rest.len());
    decoded
}

/// Knuth's linear congruential generator, whose high bits are good.
fn next(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}
