use std::{sync::Arc, thread};

use ruleiq_compression::{Coding, Config};

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

#[test]
fn gzip_tells_neither_a_time_nor_a_name() {
    let encoded = encoder(&Config::default())
        .encode(Coding::Gzip, &json(2000))
        .unwrap();
    let [
        magic,
        identification,
        method,
        flags,
        time @ ..,
        _extra,
        _system,
    ] = &encoded[..10]
    else {
        panic!("a gzip header has ten bytes, found {encoded:?}");
    };
    assert_eq!([*magic, *identification, *method], [0x1f, 0x8b, 8]);
    assert_eq!((*flags, time), (0, &[0; 4][..]));
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
