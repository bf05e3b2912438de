use std::{
    cell::Cell,
    convert::Infallible,
    future::{pending, ready},
    pin::pin,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all, poll};
use ruleiq_compression::{Choice, Coding, Memo, Variant};

fn variant(content: u128) -> Variant {
    Variant {
        content,
        size_bytes: 100,
        choice: Choice {
            coding: Coding::Brotli,
            level: 4,
        },
    }
}

/// The executor of a test in which nothing is waited for.
fn run<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing is waited for")
}

fn body(size: usize) -> Bytes {
    vec![7; size].into()
}

#[test]
fn a_body_is_encoded_once_for_each_coding_and_level() {
    let (memo, encoded) = (Memo::new(1_000_000), Cell::new(0));
    let of = |content, coding, level| Variant {
        content,
        size_bytes: 100,
        choice: Choice { coding, level },
    };
    let variants = [
        of(1, Coding::Brotli, 4),
        of(1, Coding::Brotli, 5),
        of(1, Coding::Zstd, 4),
        of(2, Coding::Brotli, 4),
    ];
    for _ in 0..3 {
        for (size, variant) in (1..).zip(variants) {
            let encode = async {
                encoded.set(encoded.get() + 1);
                Ok::<_, Infallible>(body(size))
            };
            let found = run(memo.get_or_encode(variant, encode)).unwrap();
            assert_eq!(found.len(), size);
            assert_eq!(memo.get(variant), Some(found));
        }
    }
    assert_eq!(encoded.get(), variants.len());
}

#[test]
fn its_bytes_are_bounded() {
    let memo = Memo::new(100_000);
    for content in 0..1_000 {
        run(memo.get_or_encode(variant(content), ready(Ok::<_, ()>(body(1_000))))).unwrap();
        assert!(memo.bytes() <= 100_000);
    }
    assert!(memo.bytes() > 80_000);
    run(memo.get_or_encode(variant(2_000), ready(Ok::<_, ()>(body(200_000))))).unwrap();
    assert_eq!(memo.get(variant(2_000)), None);
}

#[test]
fn those_who_ask_at_once_share_one_encoding() {
    let (memo, encoded) = (Memo::new(1_000_000), Cell::new(0));
    let gate = Cell::new(false);
    let encode = async || {
        encoded.set(encoded.get() + 1);
        // Others come in between.
        while !gate.replace(true) {
            futures_util::pending!();
        }
        Ok::<_, ()>(body(10))
    };
    run(async {
        let mut first = pin!(memo.get_or_encode(variant(1), encode()));
        assert!(poll!(first.as_mut()).is_pending());
        let mut others = pin!(join_all(
            (0..10).map(|_| memo.get_or_encode(variant(1), encode()))
        ));
        assert!(poll!(others.as_mut()).is_pending());
        assert_eq!(first.await, Ok(body(10)));
        assert!(others.await.into_iter().all(|it| it == Ok(body(10))));
    });
    assert_eq!(encoded.get(), 1);
}

#[test]
fn who_waited_for_one_that_fails_or_is_dropped_encodes_for_itself() {
    let memo = Memo::new(1_000_000);
    let failed = run(memo.get_or_encode(variant(1), ready(Err("no memory"))));
    assert_eq!(failed, Err("no memory"));
    run(async {
        let mut first = Box::pin(memo.get_or_encode(variant(1), pending::<Result<Bytes, ()>>()));
        assert!(poll!(first.as_mut()).is_pending());
        let mut second = pin!(memo.get_or_encode(variant(1), ready(Ok::<_, ()>(body(5)))));
        assert!(poll!(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await, Ok(body(5)));
    });
}
