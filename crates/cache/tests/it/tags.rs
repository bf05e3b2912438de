//! Values fall with their tags and tables, and all of them with a clearing.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use fred::interfaces::{ClientLike as _, KeysInterface as _};
use ruleiq_cache::{CacheManager, Coherence, Error, MAX_TAG_BYTES, MAX_TAGS, Policy};
use ruleiq_scope::is_reading_primary;
use ruleiq_test_support::eventually;

use crate::place::{LIMIT, Place, TTL, armed, copied, healed, in_process, value};

const TABLES: &[&str] = &["assessment_sessions"];

fn tagged(tags: &[&str]) -> Policy {
    Policy::new(TTL).tags(tags)
}

/// Loads, or gives what is there.
async fn load(cache: &CacheManager, key: &str, policy: &Policy, value: u32) -> u32 {
    let load = || async { Ok::<_, ()>(value) };
    *cache.get_or_load(key, policy, load).await.unwrap()
}

#[tokio::test]
async fn the_values_of_a_tag_fall_and_no_others() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await, place.redis_alone().await] {
        cache
            .set("a", 1_u32, tagged(&["one", "both"]))
            .await
            .unwrap();
        assert_eq!(load(&cache, "b", &tagged(&["two", "both"]), 2).await, 2);
        let tables = Policy::new(TTL).tables(TABLES);
        assert_eq!(load(&cache, "c", &tables, 3).await, 3);
        cache.set("d", 4_u32, TTL).await.unwrap();

        cache.invalidate_tags(&["one", "unknown"]).await;
        let left = async || {
            let values = cache.mget::<u32>(&["a", "b", "c", "d"]).await;
            values
                .into_iter()
                .map(|it| it.as_deref().copied())
                .collect::<Vec<_>>()
        };
        assert_eq!(left().await, [None, Some(2), Some(3), Some(4)]);
        assert!(!cache.exists("a").await.unwrap());
        assert_eq!(cache.ttl("a").await.unwrap(), None);
        assert!(!cache.expire("a", TTL).await.unwrap());
        assert_eq!(value(&cache, "a").await, None, "it does not come back");

        // A table's tag is no other's.
        cache.invalidate_tags(TABLES).await;
        assert_eq!(left().await, [None, Some(2), Some(3), Some(4)]);
        cache.invalidate_tables(TABLES).await;
        assert_eq!(left().await, [None, Some(2), None, Some(4)]);
        cache.invalidate_tags(&["both"]).await;
        assert_eq!(left().await, [None, None, None, Some(4)]);

        // And what is loaded then stays.
        assert_eq!(load(&cache, "a", &tagged(&["one", "both"]), 5).await, 5);
        assert_eq!(load(&cache, "a", &tagged(&["one", "both"]), 6).await, 5);
        cache.clear().await;
        assert_eq!(left().await, [None; 4]);
        cache.set("a", 1_u32, tagged(&["one"])).await.unwrap();
        assert_eq!(left().await, [Some(1), None, None, None]);
    }
}

#[tokio::test]
async fn every_instance_hears_of_a_tag_and_of_a_clearing() {
    let place = Place::new().await;
    let cache = place.listening().await;
    let other = place.cache().await;
    for round in 0..3 {
        other.set("k", round, tagged(&["a", "b"])).await.unwrap();
        other.set("untagged", round, TTL).await.unwrap();
        copied(&cache, "k", round).await;
        copied(&cache, "untagged", round).await;
        other.invalidate_tags(&["b"]).await;
        eventually(LIMIT, || async { value(&cache, "k").await.is_none() }).await;
        assert_eq!(value(&cache, "untagged").await, Some(round));
        copied(&cache, "untagged", round).await;
        other.clear().await;
        eventually(LIMIT, || async {
            value(&cache, "untagged").await.is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn an_instance_that_hears_of_nothing_asks_again_after_a_while() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    let cache = options
        .coherence(Coherence::None)
        .outage_ttl(Duration::from_millis(100));
    let cache = cache.build().unwrap();
    let other = place.cache().await;
    other.set("k", 1_u32, tagged(&["a"])).await.unwrap();
    other.set("untagged", 1_u32, TTL).await.unwrap();
    assert_eq!(value(&cache, "k").await, Some(1));
    other.invalidate_tags(&["a"]).await;
    eventually(LIMIT, || async { value(&cache, "k").await.is_none() }).await;
    assert_eq!(value(&cache, "untagged").await, Some(1));
    other.clear().await;
    eventually(LIMIT, || async {
        value(&cache, "untagged").await.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_tag_that_falls_during_a_load_keeps_its_value_out() {
    let place = Place::new().await;
    let other = place.cache().await;
    for cache in [in_process(), place.cache().await, place.listening().await] {
        let policy = tagged(&["a"]);
        for how in 0..3 {
            let is_foreign = how == 2 && cache.stats().tracking.is_some();
            let invalidated = || async {
                let by = if is_foreign { &other } else { &cache };
                match how {
                    0 => by.clear().await,
                    _ => by.invalidate_tags(&["a"]).await,
                }
                // Who comes now does not wait for what is older than that. Of another instance's
                // invalidation it takes a moment to hear.
                if !is_foreign {
                    assert_eq!(load(&cache, "k", &policy, 2).await, 2);
                }
                Ok::<_, ()>(1_u32)
            };
            let loaded = cache.get_or_load("k", &policy, invalidated).await.unwrap();
            assert_eq!(*loaded, 1, "who waits gets it");
            if is_foreign {
                eventually(LIMIT, || async { value(&cache, "k").await.is_none() }).await;
                assert_eq!(value(&other, "k").await, None);
            } else {
                let found = value(&cache, "k").await;
                assert_eq!(found, Some(2), "{how} {:?}", cache.stats());
            }
            cache.delete(&["k"]).await;
        }
    }
}

#[tokio::test]
async fn the_first_value_of_a_tag_is_kept() {
    let place = Place::new().await;
    let cache = place.listening().await;
    let other = place.redis_alone().await;
    for n in 0..50 {
        let (key, tag) = (format!("k{n}"), format!("tag {n}"));
        load(&cache, &key, &tagged(&[&tag]), n).await;
        assert_eq!(value(&other, &key).await, Some(n));
    }
    assert_eq!(cache.stats().refused_fills, 0);
}

#[tokio::test]
async fn a_generation_that_is_gone_takes_its_values_along() {
    let place = Place::new().await;
    let cache = place.listening().await;
    let client = place.redis.client().await;
    for (tag, name) in [("a", "@a"), ("", "@")] {
        cache.set("k", 1_u32, tagged(&["a"])).await.unwrap();
        copied(&cache, "k", 1).await;
        let name = format!("{}{name}", place.redis.prefix());
        assert_eq!(
            client.unlink::<u32, _>(name).await.unwrap(),
            1,
            "of `{tag}`"
        );
        eventually(LIMIT, || async { value(&cache, "k").await.is_none() }).await;
        cache.set("k", 2_u32, tagged(&["a"])).await.unwrap();
        copied(&cache, "k", 2).await;
        cache.delete(&["k"]).await;
    }
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_clearing_is_one_command_however_many_values_there_are() {
    let place = Place::new().await;
    let (cache, client) = (place.cache().await, place.redis.client().await);
    let keys: Vec<String> = (0..500).map(|n| format!("k{n}")).collect();
    cache
        .mset(keys.iter().map(|key| (key, 1_u8)), TTL)
        .await
        .unwrap();
    cache.clear().await;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(cache.mget::<u8>(&names).await.iter().all(Option::is_none));
    assert_eq!(cache.stats().l1_entries, 0);
    let name = format!("{}:k1", place.redis.prefix());
    assert!(
        client.exists::<bool, _>(name).await.unwrap(),
        "nothing was scanned"
    );
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_tag_that_redis_was_not_told_of_is_gone_around_and_told_later() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    let other = place.redis_alone().await;
    for everything in [false, true] {
        cache.set("k", 1_u32, tagged(&["a"])).await.unwrap();
        assert_eq!(value(&cache, "k").await, Some(1));
        proxy.refuse().await;
        match everything {
            true => cache.clear().await,
            false => cache.invalidate_tags(&["a"]).await,
        }
        assert_eq!(value(&cache, "k").await, None);
        assert_eq!(cache.stats().pending_invalidations, 1);
        assert_eq!(value(&other, "k").await, Some(1));
        proxy.heal().await;
        healed(&cache).await;
        assert_eq!(value(&cache, "k").await, None);
        // The other one has heard of it, or has not yet.
        eventually(LIMIT, || async { value(&other, "k").await.is_none() }).await;
    }
}

#[tokio::test]
async fn more_than_can_be_remembered_takes_all_values() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let options = place.behind(&proxy).await;
    let cache = options.l1_max_bytes(0).build().unwrap();
    cache.set("k", 1_u32, TTL).await.unwrap();
    proxy.refuse().await;
    let tags: Vec<String> = (0..20_001).map(|n| n.to_string()).collect();
    cache.invalidate_tags(&tags).await;
    assert_eq!(cache.stats().pending_invalidations, 1);
    assert_eq!(value(&cache, "k").await, None, "redis is gone around");
    proxy.heal().await;
    healed(&cache).await;
    assert_eq!(value(&cache, "k").await, None);
    cache.set("k", 2_u32, TTL).await.unwrap();
    assert_eq!(value(&cache, "k").await, Some(2));
}

#[tokio::test]
async fn tags_out_of_bounds_are_refused_and_their_loads_are_not_kept() {
    let place = Place::new().await;
    let many: Vec<String> = (0..=MAX_TAGS).map(|n| n.to_string()).collect();
    let many = Policy::new(TTL).tags(&many);
    let long = "x".repeat(MAX_TAG_BYTES + 1);
    for cache in [in_process(), place.cache().await] {
        let error = cache.set("k", 1_u32, &many).await.unwrap_err();
        assert!(matches!(error, Error::TooManyTags { count } if count == MAX_TAGS + 1));
        for tag in ["", &long] {
            let error = cache.set("k", 1_u32, tagged(&[tag])).await.unwrap_err();
            assert!(matches!(error, Error::TagOutOfBounds { bytes } if bytes == tag.len()));
            assert_eq!(load(&cache, "k", &tagged(&[tag]), 1).await, 1);
            cache.invalidate_tags(&[tag]).await;
        }
        assert_eq!(load(&cache, "k", &many, 2).await, 2);
        assert_eq!(value(&cache, "k").await, None);
        assert_eq!(cache.stats().rejected, 3);
        let whole = tagged(&[&long[1..]]);
        cache.set("k", 1_u32, &whole).await.unwrap();
        assert_eq!(value(&cache, "k").await, Some(1));
        cache.invalidate_tags(&[&long[1..]]).await;
        assert_eq!(value(&cache, "k").await, None);
    }
}

/// Whether a load of this key reads the primary.
async fn reads_primary(cache: &CacheManager, key: &str, policy: &Policy) -> bool {
    let seen = AtomicU32::new(2);
    let load = || async {
        seen.store(is_reading_primary().into(), SeqCst);
        Err::<u32, _>(())
    };
    cache.get_or_load(key, policy, load).await.unwrap_err();
    assert!(seen.load(SeqCst) < 2, "nothing was loaded");
    seen.load(SeqCst) == 1
}

#[tokio::test]
async fn a_load_that_an_invalidation_has_caused_reads_the_primary() {
    for n in 0..3 {
        let place = Place::new().await;
        let other = place.cache().await;
        let cache = match n {
            0 => in_process(),
            1 => place.redis_alone().await,
            _ => place.listening().await,
        };
        let policy = tagged(&["a"]);
        // Its generation may begin here, which is heard of.
        load(&cache, "other", &policy, 1).await;
        assert!(!reads_primary(&cache, "untouched", &Policy::new(TTL)).await);
        cache.delete(&["k"]).await;
        assert!(reads_primary(&cache, "k", &Policy::new(TTL)).await);
        assert!(!reads_primary(&cache, "untouched", &Policy::new(TTL)).await);
        cache.invalidate_tags(&["a"]).await;
        assert!(reads_primary(&cache, "tagged", &policy).await);
        assert!(!reads_primary(&cache, "untouched", &Policy::new(TTL)).await);
        if cache.stats().tracking.is_some() {
            other.delete(&["elsewhere"]).await;
            assert!(reads_primary(&cache, "elsewhere", &Policy::new(TTL)).await);
        }
        cache.clear().await;
        assert!(reads_primary(&cache, "untouched", &Policy::new(TTL)).await);
    }
    let scope = ruleiq_scope::Scope::builder().route("/k").build();
    let cache = in_process();
    cache.delete(&["k"]).await;
    scope
        .run(async {
            assert!(reads_primary(&cache, "k", &Policy::new(TTL)).await);
            assert!(!is_reading_primary(), "that was the load's alone");
        })
        .await;
}

#[tokio::test]
async fn an_invalidation_that_a_load_meets_on_its_way_makes_it_read_the_primary() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.command_timeout(LIMIT);
    let cache = cache.build().unwrap();
    armed(&cache).await;
    let policy = tagged(&["a"]);
    load(&cache, "other", &policy, 1).await;
    // It asks Redis, which takes a while.
    proxy.stall().await;
    let primary = reads_primary(&cache, "k", &policy);
    let invalidated = async {
        cache.invalidate_tags(&["a"]).await;
    };
    let healed = async {
        tokio::task::yield_now().await;
        proxy.heal().await;
    };
    let (primary, (), ()) = tokio::join!(primary, invalidated, healed);
    assert!(primary);
}

#[tokio::test]
async fn what_another_instance_has_invalidated_is_read_from_the_primary() {
    let place = Place::new().await;
    let other = place.cache().await;
    for tracking in [Coherence::Tracking, Coherence::None] {
        let options = place.options(place.redis.client().await);
        // It has never met the tag, or hears of nothing.
        let cache = options.coherence(tracking).build().unwrap();
        let tag = format!("{tracking:?}");
        other.invalidate_tags(&[&tag]).await;
        assert!(reads_primary(&cache, "k", &tagged(&[&tag])).await);
        assert!(!reads_primary(&cache, "l", &tagged(&["untouched"])).await);
    }
}

#[tokio::test]
async fn a_deletion_is_remembered_whoever_has_failed_to_load_since() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let alone = Policy::new(TTL).across_processes(true);
    other.delete(&["k"]).await;
    for policy in [&alone, &alone, &Policy::new(TTL), &alone] {
        assert!(reads_primary(&cache, "k", policy).await);
        // The lease of the one that has failed is given back in the background.
        eventually(LIMIT, || async {
            let client = place.redis.client().await;
            let name = format!("{0}!{{{0}:k}}", place.redis.prefix());
            let lease: Option<String> = client.get(name).await.unwrap();
            client.quit().await.unwrap();
            lease.is_some_and(|it| it == "RD" || it.starts_with("RP"))
        })
        .await;
    }
}

#[tokio::test]
async fn tags_are_bounded_without_redis_too() {
    let cache = in_process();
    cache.set("k", 1_u32, TTL).await.unwrap();
    for n in 0..300 {
        let tags: Vec<String> = (0..1_000).map(|m| format!("{n}:{m}")).collect();
        cache.invalidate_tags(&tags).await;
    }
    assert_eq!(value(&cache, "k").await, Some(1));
    assert_eq!(cache.stats().flushes, 0);
}
