//! Bodies of responses: their tags, and what nobody else may have.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use futures_util::future::join_all;
use ruleiq_cache::{Codec, LoadError, Response};
use tokio::task::yield_now;

use crate::place::{Place, TTL, in_process};

#[test]
fn a_tag_says_what_the_body_and_its_type_are() {
    let response = Response::new("text/plain", "body");
    assert_eq!(response, Response::new("text/plain".to_owned(), "body"));
    assert_eq!(response.etag().len(), 32);
    for other in [
        Response::new("text/plain", "bodies"),
        Response::new("text/html", "body"),
        Response::new("text/plai", "nbody"),
        Response::new("", ""),
    ] {
        assert_ne!(response.etag(), other.etag(), "{other:?}");
    }
}

#[tokio::test]
async fn a_response_comes_back_as_it_was_from_both_tiers() {
    let place = Place::new().await;
    let body: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for codec in [Codec::Postcard, Codec::Json] {
        let options = place.options(place.redis.client().await).codec(codec);
        let cache = options.l1_max_bytes(0).build().unwrap();
        let made = Response::new("application/octet-stream", body.clone());
        let load = || async { Ok::<_, ()>(made.clone()) };
        let loaded = cache.get_or_load_response("r", TTL, load).await.unwrap();
        let never = || async { Err::<Response, _>("a miss") };
        let found = cache.get_or_load_response("r", TTL, never).await.unwrap();
        assert_eq!((&*loaded, &*found), (&made, &made));
        assert!(!Arc::ptr_eq(&loaded, &found), "it has been through redis");
        cache.delete(&["r"]).await;
    }
}

#[tokio::test]
async fn a_private_response_is_its_callers_alone() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        let calls = (0..16).map(|n| {
            let cache = cache.clone();
            async move {
                let load = || async {
                    yield_now().await;
                    Ok::<_, ()>(Response::new("text/plain", format!("for {n}")).private())
                };
                let response = cache.get_or_load_response("r", TTL, load).await.unwrap();
                assert_eq!(*response.body(), format!("for {n}"));
                assert!(response.is_private());
            }
        });
        join_all(calls).await;
        assert_eq!(cache.stats().l1_entries, 0);
        assert!(!cache.exists("r").await.unwrap());
    }
}

#[tokio::test]
async fn an_error_is_everybodys_and_a_public_response_too() {
    let cache = in_process();
    let loads = AtomicU32::new(0);
    let call = |fails: bool| {
        let (cache, loads) = (&cache, &loads);
        async move {
            let load = || async {
                loads.fetch_add(1, SeqCst);
                yield_now().await;
                match fails {
                    true => Err("down"),
                    false => Ok(Response::new("text/plain", "body")),
                }
            };
            cache.get_or_load_response("r", TTL, load).await
        }
    };
    for failed in join_all((0..8).map(|_| call(true))).await {
        assert!(matches!(failed, Err(LoadError::Failed(error)) if *error == "down"));
    }
    for loaded in join_all((0..8).map(|_| call(false))).await {
        assert_eq!(loaded.unwrap().body(), "body");
    }
    assert_eq!(loads.load(SeqCst), 2);
}
