use proptest::{collection::vec, prelude::*, sample::select};
use ruleiq_compression::{Coding, Config};

use crate::content::{decode, encoder, json, noise};

#[track_caller]
fn check(config: &Config, body: &[u8]) {
    let encoder = encoder(config);
    for coding in Coding::ALL {
        let encoded = encoder.encode(coding, body).unwrap();
        assert!(
            decode(coding, &encoded) == body,
            "{coding}: {} bytes do not decode to the input, with {config:?}",
            body.len(),
        );
    }
}

#[test]
fn bodies_of_all_sizes_decode_to_the_input() {
    for size_bytes in [
        0, 1, 2, 63, 64, 65, 999, 1000, 1001, 16_384, 65_536, 300_000,
    ] {
        check(&Config::default(), &json(size_bytes));
        check(&Config::default(), &noise(size_bytes));
        check(&Config::default(), &vec![0; size_bytes]);
    }
}

#[test]
fn every_level_decodes_to_the_input() {
    let body = json(20_000);
    for brotli_level in (0..=8).chain([10, 11]) {
        let config = Config {
            brotli_level,
            ..Config::default()
        };
        check(&config, &body);
        // Of several blocks, whose size depends on the level.
        let sizes = if brotli_level < 10 {
            40_000..300_000
        } else {
            0..0
        };
        for size_bytes in sizes.step_by(30_000) {
            let encoder = encoder(&config);
            let body = json(size_bytes);
            let encoded = encoder.encode(Coding::Brotli, &body).unwrap();
            let is_same = decode(Coding::Brotli, &encoded) == body;
            assert!(is_same, "{size_bytes} bytes at {brotli_level}");
        }
    }
    for zstd_level in -7..=19 {
        check(
            &Config {
                zstd_level: Some(zstd_level),
                ..Config::default()
            },
            &body,
        );
    }
    for gzip_level in 1..=9 {
        check(
            &Config {
                gzip_level,
                ..Config::default()
            },
            &body,
        );
    }
}

#[test]
fn text_shrinks_and_noise_hardly_grows() {
    let encoder = encoder(&Config::default());
    for coding in Coding::ALL {
        let text = json(10_000);
        let encoded = encoder.encode(coding, &text).unwrap();
        assert!(
            encoded.len() * 3 < text.len(),
            "{coding}: {} bytes",
            encoded.len()
        );

        let noise = noise(100_000);
        let encoded = encoder.encode(coding, &noise).unwrap();
        assert!(
            encoded.len() < noise.len() + 100,
            "{coding}: {} bytes",
            encoded.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_bodies_through_one_encoder_decodes(
        bodies in vec((select(Coding::ALL.to_vec()), vec(any::<u8>(), 0..3000), 1..20_usize), 1..6),
    ) {
        let encoder = encoder(&Config::default());
        for (coding, part, repeats) in bodies {
            let body = part.repeat(repeats);
            let encoded = encoder.encode(coding, &body).unwrap();
            prop_assert_eq!(decode(coding, &encoded), body);
        }
    }
}
