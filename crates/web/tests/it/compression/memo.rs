//! Bodies that say what they are made of.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use actix_web::HttpResponse;
use ruleiq_compression::{Coding, Config};
use ruleiq_web::{CompressionMiddleware, ContentHash};

use super::{Counted, assert_encoded, get, json, text};

fn marked(header: Option<(&'static str, &'static str)>) -> HttpResponse {
    let mut response = json(text());
    if let Some((name, value)) = header {
        let value = value.parse().unwrap();
        response.headers_mut().insert(name.parse().unwrap(), value);
    }
    response.extensions_mut().insert(ContentHash(7));
    response
}

#[actix_web::test]
async fn a_body_is_encoded_once() {
    let counted = Counted::default();
    for coding in Coding::ALL {
        for _ in 0..3 {
            let answer = counted.ask(get(coding.as_str()), || marked(None)).await;
            assert_encoded(&answer, coding, &text());
        }
    }
    let memo = counted.counts("memo");
    assert_eq!(memo, [("hit".into(), 6), ("miss".into(), 3)]);
    assert_eq!(counted.counts("responses").len(), 3);
    // Somebody has changed the body, and left the hash of what it was.
    let other = || {
        let mut response = json("x".repeat(5_000));
        response.extensions_mut().insert(ContentHash(7));
        response
    };
    let answer = counted.ask(get("br"), other).await;
    assert_encoded(&answer, Coding::Brotli, "x".repeat(5_000).as_bytes());
}

#[actix_web::test]
async fn what_one_client_alone_may_have_is_not_remembered() {
    for header in [
        ("set-cookie", "session=1"),
        ("cache-control", "private"),
        ("cache-control", "Private=\"x-name\""),
        ("cache-control", "max-age=0, no-store"),
    ] {
        let counted = Counted::default();
        for _ in 0..2 {
            let answer = counted.ask(get("br"), move || marked(Some(header))).await;
            assert_encoded(&answer, Coding::Brotli, &text());
        }
        assert!(counted.counts("memo").is_empty(), "{header:?}");
    }
    // Nor is what says nothing of its body, whatever its tag.
    let counted = Counted::default();
    let bodies = Arc::new(AtomicUsize::new(0));
    for n in 0..2 {
        let bodies = Arc::clone(&bodies);
        let tagged = move || {
            let body = format!("{} {}", bodies.fetch_add(1, SeqCst), "x".repeat(2_000));
            let mut response = json(body);
            let tag = "\"1\"".parse().unwrap();
            response.headers_mut().insert("etag".parse().unwrap(), tag);
            response
        };
        let answer = counted.ask(get("br"), tagged).await;
        let body = format!("{n} {}", "x".repeat(2_000));
        assert_encoded(&answer, Coding::Brotli, body.as_bytes());
    }
}

#[actix_web::test]
async fn without_room_nothing_is_remembered() {
    let config = Config {
        memo_bytes: 0,
        ..Config::default()
    };
    let counted = Counted::new(CompressionMiddleware::builder().config(config));
    for _ in 0..2 {
        let answer = counted.ask(get("br"), || marked(None)).await;
        assert_encoded(&answer, Coding::Brotli, &text());
    }
    assert!(counted.counts("memo").is_empty());
}
