//! Bodies that are too large for the worker's own thread.

use std::{task::Poll, time::Duration};

use actix_web::{App, test, web};
use bytes::Bytes;
use futures_util::{future::join_all, poll};
use ruleiq_compression::Coding;
use ruleiq_web::ContentHash;
use tokio::time::timeout;

use super::{Counted, assert_encoded, assert_identity, get, json, noise, text, unhurried};
use crate::answer::ask;

/// Nothing is cheap enough for the worker.
fn offloading(limit: usize) -> Counted {
    let builder = unhurried().inline_cost(Duration::ZERO).offload_limit(limit);
    Counted::new(builder)
}

#[actix_web::test]
async fn a_body_that_costs_much_is_encoded_on_another_thread() {
    let counted = offloading(1);
    let app = App::new()
        .default_service(web::to(|| async { json(text()) }))
        .wrap(counted.middleware.clone());
    let app = test::init_service(app).await;
    let mut answer = ask(&app, get("gzip"));
    // The handler is ready at once: what is waited for is the other thread.
    assert!(poll!(&mut answer).is_pending());
    assert_encoded(&answer.await, Coding::Gzip, &text());
}

#[actix_web::test]
async fn a_body_that_costs_little_is_encoded_at_once() {
    let counted = Counted::new(unhurried().inline_cost(Duration::MAX));
    let app = App::new()
        .default_service(web::to(|| async { json(text()) }))
        .wrap(counted.middleware.clone());
    let app = test::init_service(app).await;
    let mut answer = ask(&app, get("gzip"));
    assert!(poll!(&mut answer).is_ready());
}

#[actix_web::test]
async fn beyond_the_limit_bodies_are_sent_as_they_are() {
    let counted = offloading(0);
    let answer = counted.ask(get("br"), || json(text())).await;
    assert_identity(&answer, &text());
    assert_eq!(counted.skips(), [("busy".into(), 1)]);
}

#[actix_web::test]
async fn one_that_costs_little_in_another_coding_is_encoded_in_that_one_instead() {
    let builder = unhurried()
        .inline_cost(Duration::from_micros(20))
        .offload_limit(0);
    let counted = Counted::new(builder);
    let answer = counted.ask(get("br, zstd"), || json(text())).await;
    assert_encoded(&answer, Coding::Zstd, &text());
    assert_eq!(counted.responses("zstd", "busy"), 1);
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn a_wait_without_an_end_is_as_good_as_any() {
    let builder = unhurried()
        .inline_cost(Duration::ZERO)
        .offload_wait(Duration::MAX);
    let answer = Counted::new(builder).ask(get("br"), || json(text())).await;
    assert_encoded(&answer, Coding::Brotli, &text());
}

#[actix_web::test]
async fn what_would_wait_too_long_does_not_wait() {
    let builder = unhurried()
        .inline_cost(Duration::ZERO)
        .offload_limit(1)
        .offload_wait(Duration::ZERO);
    let counted = Counted::new(builder);
    let app = App::new()
        .default_service(web::to(|| async { json(text()) }))
        .wrap(counted.middleware.clone());
    let app = test::init_service(app).await;
    let mut first = ask(&app, get("gzip"));
    assert!(poll!(&mut first).is_pending());
    // The first is before it, which is more than nothing.
    let mut second = ask(&app, get("gzip"));
    let Poll::Ready(second) = poll!(&mut second) else {
        panic!("it waits");
    };
    assert_identity(&second, &text());
    assert_encoded(&first.await, Coding::Gzip, &text());
    assert_encoded(&ask(&app, get("gzip")).await, Coding::Gzip, &text());
}

/// Others have all threads that may block, for longer than anybody waits.
#[core::prelude::v1::test]
fn where_no_thread_begins_with_it_a_body_is_sent_as_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (end, held) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    let all = tokio::task::LocalSet::new();
    all.block_on(&runtime, async {
        let counted = offloading(1);
        let answer = counted.ask(get("br"), || json(text())).await;
        assert_identity(&answer, &text());
        assert_eq!(counted.skips(), [("busy".into(), 1)]);
        // Who cannot have it so gets it encoded.
        let answer = counted.ask(get("gzip, *;q=0"), || json(text())).await;
        assert_encoded(&answer, Coding::Gzip, &text());
        // One after the other they would wait for the same; they do so together.
        let marked = || {
            let mut response = json(text());
            response.extensions_mut().insert(ContentHash(7));
            response
        };
        let asked = (0..10).map(|_| counted.ask(get("br"), marked));
        let answers = timeout(Duration::from_secs(4), join_all(asked)).await;
        for answer in answers.unwrap() {
            assert_identity(&answer, &text());
        }
        end.send(()).unwrap();
        // Nothing of it is left: the next one has the place.
        let answer = counted.ask(get("br"), || json(text())).await;
        assert_encoded(&answer, Coding::Brotli, &text());
    });
}

#[actix_web::test]
async fn many_at_once_are_all_answered_and_give_their_places_back() {
    let counted = offloading(2);
    let asked = (0..40).map(|_| counted.ask(get("zstd"), || json(text())));
    for answer in join_all(asked).await {
        match answer.header("content-encoding") {
            Some(_) => assert_encoded(&answer, Coding::Zstd, &text()),
            None => assert_identity(&answer, &text()),
        }
    }
    let encoded: u64 = counted.counts("responses").iter().map(|it| it.1).sum();
    let busy: u64 = counted.skips().iter().map(|it| it.1).sum();
    assert_eq!(encoded + busy, 40);

    // Both places are there again.
    let (one, other) = tokio::join!(
        counted.ask(get("zstd"), || json(text())),
        counted.ask(get("zstd"), || json(text())),
    );
    assert_encoded(&one, Coding::Zstd, &text());
    assert_encoded(&other, Coding::Zstd, &text());
}

#[actix_web::test]
async fn large_bodies_at_once_all_come_right() {
    let counted = offloading(12);
    let bodies: Vec<Bytes> = (0..12_u8)
        .map(|n| {
            let (text, mark, noise) = (text(), [b'0' + n; 7], noise(1_000 + usize::from(n)));
            let rows = (0..100).flat_map(|row| [&text[..], &mark, &noise[row..]]);
            rows.flatten().copied().collect()
        })
        .collect();
    let asked = bodies.iter().zip(Coding::ALL.iter().cycle());
    let answers = asked.clone().map(|(body, coding)| {
        let body = body.clone();
        counted.ask(get(coding.as_str()), move || json(body.clone()))
    });
    for (answer, (body, coding)) in join_all(answers).await.iter().zip(asked) {
        assert_encoded(answer, *coding, body);
    }
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn a_request_that_is_dropped_while_its_body_is_encoded_gives_its_place_back() {
    let counted = offloading(1);
    let app = App::new()
        .default_service(web::to(|| async { json(text()) }))
        .wrap(counted.middleware.clone());
    let app = test::init_service(app).await;
    let mut answer = ask(&app, get("gzip"));
    assert!(poll!(&mut answer).is_pending());
    drop(answer);

    let encoded = async {
        while ask(&app, get("gzip"))
            .await
            .header("content-encoding")
            .is_none()
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), encoded).await.unwrap();
}
