use std::{io::Read as _, sync::Arc};

use proptest::{collection::vec, option, prelude::*, sample::select};
use ruleiq_compression::{Coding, Config, EncodeError, Encoder};

use crate::content::{decode, encoder, json};

fn shared(config: &Config) -> Arc<Encoder> {
    Arc::new(encoder(config))
}

/// What a decoder makes of the beginning of a body.
fn decode_begun(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let mut begun = Vec::new();
    // That there is no end is an error when it gets there.
    match coding {
        Coding::Brotli => drop(brotli::Decompressor::new(encoded, 4_096).read_to_end(&mut begun)),
        Coding::Zstd => {
            let mut decoder = zstd::Decoder::new(encoded).unwrap();
            drop(decoder.read_to_end(&mut begun));
        }
        Coding::Gzip => drop(flate2::read::GzDecoder::new(encoded).read_to_end(&mut begun)),
    }
    begun
}

#[test]
fn what_is_flushed_can_be_decoded_before_the_end() {
    let encoder = shared(&Config::default());
    for coding in Coding::ALL {
        let mut stream = encoder.stream(coding).unwrap();
        let (mut encoded, mut sent) = (Vec::new(), Vec::new());
        for n in 0..100 {
            let event = format!("data: {{\"event\":{n},\"text\":\"assessment completed\"}}\n\n");
            sent.extend_from_slice(event.as_bytes());
            stream.write(event.as_bytes(), &mut encoded).unwrap();
            stream.flush(&mut encoded).unwrap();
            assert!(
                decode_begun(coding, &encoded) == sent,
                "{coding}, event {n}"
            );
            // Nothing has come since.
            let length = encoded.len();
            stream.flush(&mut encoded).unwrap();
            assert!(encoded.len() <= length + 5, "{coding}");
        }
        stream.finish(&mut encoded).unwrap();
        assert_eq!(decode(coding, &encoded), sent);
        // What the events have in common is sent once.
        assert!(
            encoded.len() < sent.len() / 2,
            "{coding}: {}",
            encoded.len()
        );
    }
}

#[test]
fn all_of_a_large_piece_is_flushed() {
    for level in [0, 1, 2, 3, 4, 5] {
        let config = Config {
            brotli_level: level,
            zstd_level: Some(level),
            gzip_level: level.max(1),
            ..Config::default()
        };
        let encoder = shared(&config);
        for coding in Coding::ALL {
            let (mut stream, mut encoded) = (encoder.stream(coding).unwrap(), Vec::new());
            let mut sent = Vec::new();
            for size_bytes in [50_000, 102_400, 7, 300_000] {
                sent.extend(json(size_bytes));
                stream.write(&json(size_bytes), &mut encoded).unwrap();
                stream.flush(&mut encoded).unwrap();
                let begun = decode_begun(coding, &encoded);
                assert!(
                    begun == sent,
                    "{coding} {level}: {} of {}",
                    begun.len(),
                    sent.len()
                );
            }
            stream.finish(&mut encoded).unwrap();
            assert!(decode(coding, &encoded) == sent, "{coding} {level}");
        }
    }
}

#[test]
fn a_stream_that_has_ended_takes_nothing_more() {
    let encoder = shared(&Config::default());
    for coding in Coding::ALL {
        let (mut stream, mut out) = (encoder.stream(coding).unwrap(), Vec::new());
        stream.finish(&mut out).unwrap();
        assert!(decode(coding, &out).is_empty());
        let ended = out.len();
        assert!(matches!(
            stream.write(b"more", &mut out),
            Err(EncodeError::Ended)
        ));
        assert!(matches!(stream.flush(&mut out), Err(EncodeError::Ended)));
        assert!(matches!(stream.finish(&mut out), Err(EncodeError::Ended)));
        assert_eq!(out.len(), ended);
    }
}

#[test]
fn a_body_without_an_end_is_no_body() {
    let encoder = shared(&Config::default());
    for coding in Coding::ALL {
        let (mut stream, mut out) = (encoder.stream(coding).unwrap(), Vec::new());
        stream.write(&json(10_000), &mut out).unwrap();
        stream.flush(&mut out).unwrap();
        drop(stream);
        let mut decoded = Vec::new();
        let whole = match coding {
            Coding::Brotli => brotli::Decompressor::new(&out[..], 4_096).read_to_end(&mut decoded),
            Coding::Zstd => zstd::Decoder::new(&out[..])
                .unwrap()
                .read_to_end(&mut decoded),
            Coding::Gzip => flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut decoded),
        };
        assert!(whole.is_err(), "{coding}");
    }
}

#[test]
fn what_was_left_halfway_is_in_no_body_that_follows() {
    for level in 0..=8 {
        let config = Config {
            brotli_level: level,
            zstd_level: Some(level),
            gzip_level: level + 1,
            ..Config::default()
        };
        let encoder = shared(&config);
        for coding in Coding::ALL {
            let mut left = encoder.stream(coding).unwrap();
            left.write(&json(3_000), &mut Vec::new()).unwrap();
            drop(left);
            let (mut stream, mut out) = (encoder.stream(coding).unwrap(), Vec::new());
            stream.finish(&mut out).unwrap();
            assert!(decode(coding, &out).is_empty(), "{coding} at {level}");
            let whole = encoder.encode(coding, &json(3_000)).unwrap();
            assert_eq!(decode(coding, &whole), json(3_000));
        }
    }
}

#[test]
fn the_window_of_a_zstd_stream_is_one_that_every_client_has() {
    for zstd_level in [-7, 1, 3, 19] {
        let config = Config {
            zstd_level: Some(zstd_level),
            ..Config::default()
        };
        let (mut stream, mut out) = (shared(&config).stream(Coding::Zstd).unwrap(), Vec::new());
        stream.write(&json(600_000), &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        // RFC 8878 §3.1.1.1.2: no single segment, so that the window stands in the sixth byte.
        assert_eq!(out[4] & 0x20, 0);
        let window_log = 10 + (out[5] >> 3);
        assert_eq!(window_log, 16, "level {zstd_level}");
        assert_eq!(decode(Coding::Zstd, &out), json(600_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pieces, `None` for a flush, through states that were used before, some of which were left halfway.
    #[test]
    fn streams_decode_however_they_are_cut(
        streams in vec(
            (select(Coding::ALL.to_vec()), vec(option::of((vec(any::<u8>(), 0..300), 1..200_usize)), 0..12), any::<bool>()),
            1..6,
        ),
    ) {
        let encoder = shared(&Config::default());
        for (coding, pieces, is_left) in streams {
            let mut stream = encoder.stream(coding).unwrap();
            let (mut body, mut encoded) = (Vec::new(), Vec::new());
            for piece in pieces {
                match piece {
                    Some((part, repeats)) => {
                        let piece = part.repeat(repeats);
                        stream.write(&piece, &mut encoded).unwrap();
                        body.extend(piece);
                    }
                    None => stream.flush(&mut encoded).unwrap(),
                }
            }
            if !is_left {
                stream.finish(&mut encoded).unwrap();
                prop_assert_eq!(decode(coding, &encoded), body);
            }
        }
    }
}
