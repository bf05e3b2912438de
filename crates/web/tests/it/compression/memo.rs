//! Bodies that say what they are made of.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use actix_web::HttpResponse;
use futures_util::{future::join_all, poll};
use ruleiq_compression::{Coding, Config};
use ruleiq_web::ContentHash;

use tokio::time::timeout;

use super::{Counted, assert_encoded, assert_identity, encoded, get, json, noise, text, unhurried};

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
async fn what_does_not_shrink_is_not_sent_from_the_memo_either() {
    let counted = Counted::default();
    let answer = || {
        let mut response = json(noise(2_000));
        response.extensions_mut().insert(ContentHash(7));
        response
    };
    for _ in 0..2 {
        assert_identity(&counted.ask(get("gzip"), answer).await, &noise(2_000));
    }
    assert_eq!(counted.skips(), [("not_smaller".into(), 2)]);
    // But it is what somebody wants who refuses all else.
    let answer = counted.ask(get("gzip, identity;q=0"), answer).await;
    assert_encoded(&answer, Coding::Gzip, &noise(2_000));
    let memo = counted.counts("memo");
    assert_eq!(memo, [("hit".into(), 2), ("miss".into(), 1)]);
}

#[actix_web::test]
async fn those_who_ask_for_one_body_at_once_take_one_place() {
    let builder = unhurried().inline_cost(Duration::ZERO).offload_limit(1);
    let counted = Counted::new(builder);
    let asked = (0..20).map(|_| counted.ask(get("zstd"), || marked(None)));
    for answer in join_all(asked).await {
        assert_encoded(&answer, Coding::Zstd, &text());
    }
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn one_who_leaves_while_others_wait_for_the_same_body_does_not_leave_them_alone() {
    let builder = unhurried().inline_cost(Duration::ZERO);
    let counted = Counted::new(builder);
    let mut first = Box::pin(counted.ask(get("zstd"), || marked(None)));
    let mut second = Box::pin(counted.ask(get("zstd"), || marked(None)));
    assert!(poll!(first.as_mut()).is_pending());
    assert!(poll!(second.as_mut()).is_pending());
    drop(first);
    let answer = timeout(Duration::from_secs(10), second).await.unwrap();
    match answer.header("content-encoding") {
        Some(_) => assert_encoded(&answer, Coding::Zstd, &text()),
        // The first one's place is taken until its body is done.
        None => assert_identity(&answer, &text()),
    }
}

#[actix_web::test]
async fn as_much_is_remembered_as_there_is_room_for() {
    let room = 10_000;
    let config = Config {
        memo_bytes: room,
        ..Config::default()
    };
    let counted = Counted::new(unhurried().config(config));
    for content in (0..100).chain(0..100) {
        let answer = move || {
            let mut response = marked(None);
            response.extensions_mut().insert(ContentHash(content));
            response
        };
        let answer = counted.ask(get("gzip"), answer).await;
        assert_encoded(&answer, Coding::Gzip, &text());
    }
    let memo = counted.counts("memo");
    let hits = memo
        .iter()
        .find(|(name, _)| name == "hit")
        .map_or(0, |it| it.1);
    let remembered = usize::try_from(hits).unwrap() * encoded(Coding::Gzip, &text()).len();
    assert!(remembered <= room, "{hits} hits");
}

#[actix_web::test]
async fn without_room_nothing_is_remembered() {
    let config = Config {
        memo_bytes: 0,
        ..Config::default()
    };
    let counted = Counted::new(unhurried().config(config));
    for _ in 0..2 {
        let answer = counted.ask(get("br"), || marked(None)).await;
        assert_encoded(&answer, Coding::Brotli, &text());
    }
    assert!(counted.counts("memo").is_empty());
}

#[actix_web::test]
async fn what_was_begun_for_one_who_leaves_is_remembered() {
    let builder = unhurried().inline_cost(Duration::ZERO);
    let counted = Counted::new(builder);
    let mut leaving = Box::pin(counted.ask(get("br"), || marked(None)));
    // Until a thread has begun with it.
    while counted.counts("memo").is_empty() {
        assert!(poll!(&mut leaving).is_pending());
    }
    drop(leaving);
    let remembered = async {
        while counted
            .counts("memo")
            .iter()
            .all(|(outcome, _)| outcome != "hit")
        {
            let answer = counted.ask(get("br"), || marked(None)).await;
            assert_encoded(&answer, Coding::Brotli, &text());
        }
    };
    timeout(Duration::from_secs(10), remembered).await.unwrap();
    assert_eq!(
        counted.responses("br", "first"),
        counted.counts("memo").iter().map(|it| it.1).sum::<u64>() - 1
    );
}
