use std::{sync::Arc, thread};

use ruleiq_compression::{Choice, Coding, Config, Encoder, Kind};

use crate::content::{decode, encoder, json, noise};

#[test]
fn a_state_that_was_used_before_gives_the_same_bytes() {
    let used = encoder(&Config::default());
    for body in [
        json(500_000),
        noise(3000),
        json(1500),
        Vec::new(),
        json(1501),
    ] {
        for coding in Coding::ALL {
            let fresh = encoder(&Config::default());
            assert!(
                used.encode(coding, &body).unwrap() == fresh.encode(coding, &body).unwrap(),
                "{coding}: {} bytes",
                body.len(),
            );
        }
    }
}

/// One encoder's states go from level to level, by choice and by the budget.
#[test]
fn a_body_has_the_level_that_was_chosen_for_it() {
    let at = |level: i32| Config {
        brotli_level: level,
        zstd_level: Some(level),
        gzip_level: level,
        ..Config::default()
    };
    let used = encoder(&at(6));
    let body = json(30_000);
    for level in [6, 4, 1, 2, 6, 1, 3, 4] {
        let fresh = encoder(&at(level));
        for coding in Coding::ALL {
            let choice = Choice { coding, level };
            let encoded = used.encode_at(choice, Kind::Json, &body).unwrap();
            let expect = fresh.encode(coding, &body).unwrap();
            assert!(encoded == expect, "{coding} at {level}");
        }
    }
    // Level 8 is beyond the budget for a large body, and above what a stream has.
    let high = Arc::new(Encoder::new(&at(8)).unwrap());
    let low = Encoder::new(&at(4)).unwrap();
    let body = json(400_000);
    let choice = high.choose(&[Coding::Gzip], Some(body.len())).unwrap();
    assert_eq!(choice.level, 4);
    let encoded = high.encode(Coding::Gzip, &body).unwrap();
    assert!(encoded == low.encode(Coding::Gzip, &body).unwrap());
    let streamed = |encoder: &Arc<Encoder>| {
        let (mut stream, mut out) = (encoder.stream(Coding::Gzip).unwrap(), Vec::new());
        stream.write(&body, &mut out).unwrap();
        stream.finish(&mut out).unwrap();
        out
    };
    assert!(streamed(&high) == streamed(&Arc::new(Encoder::new(&at(6)).unwrap())));
}

#[test]
fn gzip_tells_neither_a_time_nor_a_name() {
    let encoder = Arc::new(encoder(&Config::default()));
    let whole = encoder.encode(Coding::Gzip, &json(2000)).unwrap();
    let (mut stream, mut streamed) = (encoder.stream(Coding::Gzip).unwrap(), Vec::new());
    stream.write(&json(2000), &mut streamed).unwrap();
    stream.finish(&mut streamed).unwrap();
    for encoded in [&whole[..], &streamed] {
        let [
            magic,
            identification,
            method,
            flags,
            time @ ..,
            _extra,
            system,
        ] = &encoded[..10]
        else {
            panic!("a gzip header has ten bytes, found {encoded:?}");
        };
        assert_eq!([*magic, *identification, *method], [0x1f, 0x8b, 8]);
        assert_eq!((*flags, time), (0, &[0; 4][..]));
        // RFC 1952 §2.3.1: Unix, or not known. Two machines of one kind give the same bytes.
        assert!([3, 255].contains(system), "system {system}");
    }
}

#[test]
fn threads_that_share_an_encoder_do_not_mix_their_bodies() {
    let encoder = Arc::new(encoder(&Config::default()));
    let threads: Vec<_> = (0..8_usize)
        .map(|thread| {
            let encoder = Arc::clone(&encoder);
            thread::spawn(move || {
                for round in 0..20 {
                    let body = json(1000 + 700 * thread + 31 * round);
                    for coding in Coding::ALL {
                        let encoded = encoder.encode(coding, &body).unwrap();
                        assert!(decode(coding, &encoded) == body, "{coding}, round {round}");
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
