//! What is told of each prefix of keys, and what times to live make of it.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use ruleiq_cache::{BuildError, CacheManager, Policy, PrefixStats};
use tokio::time::advance;

use crate::place::{Place, TTL, in_process};

const SECOND: Duration = Duration::from_secs(1);

fn of(cache: &CacheManager, prefix: &str) -> PrefixStats {
    let stats = cache.prefix_stats();
    stats.into_iter().find(|it| it.prefix == prefix).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_longer_time_to_live_would_have_saved_stands_first() {
    let cache = in_process();
    let load = async |key: &str, takes: Duration, value: u32| {
        let load = || async {
            tokio::time::sleep(takes).await;
            Ok::<_, ()>(value)
        };
        cache.get_or_load(key, SECOND, load).await.unwrap();
    };
    for n in 0..4 {
        load("changing:1", SECOND, n).await;
        load("same:1", SECOND / 2, 7).await;
        load("same:1", SECOND / 2, 7).await;
        load("deleted:1", SECOND, 7).await;
        cache.delete(&["deleted:1"]).await;
        advance(SECOND).await;
    }
    assert_eq!(cache.prefix_stats()[0].prefix, "same");
    let same = of(&cache, "same");
    assert_eq!((same.loads, same.unchanged_loads, same.l1_hits), (4, 3, 4));
    assert!((same.unchanged_load_seconds - 1.5).abs() < 0.1, "{same:?}");
    assert!((same.load_seconds - 2.0).abs() < 0.1, "{same:?}");
    assert_eq!((same.misses, same.hit_rate), (4, 0.5));
    assert_eq!(of(&cache, "changing").unchanged_loads, 0);
    assert_eq!(
        of(&cache, "deleted").unchanged_loads,
        0,
        "something else took it away"
    );
}

#[tokio::test]
async fn each_prefix_is_counted_in_both_tiers() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.cache().await);
    other.set("a:1", 1_u32, TTL).await.unwrap();
    for _ in 0..3 {
        assert!(cache.get::<u32>("a:1").await.is_some());
        assert!(cache.get::<u32>("b:1").await.is_none());
    }
    let (a, b) = (of(&cache, "a"), of(&cache, "b"));
    assert_eq!((a.l1_hits + a.l2_hits, a.misses, b.misses), (3, 0, 3));
    assert_eq!((a.l1_entries, b.l1_entries), (1, 0));
    assert_eq!(a.l1_bytes, cache.stats().l1_bytes);
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_follows_what_is_seen_of_the_value() {
    let cache = in_process();
    let policy = Policy::new(SECOND)
        .jitter(0.0)
        .adaptive_ttl(SECOND, 60 * SECOND);
    let lives = async |value: u32| {
        let load = || async { Ok::<_, ()>(value) };
        cache.get_or_load("k:1", &policy, load).await.unwrap();
        let ttl = cache.ttl("k:1").await.unwrap().unwrap();
        advance(ttl).await;
        ttl
    };
    assert_eq!(lives(1).await, SECOND);
    let mut last = SECOND;
    for _ in 0..60 {
        let ttl = lives(1).await;
        assert!(ttl >= last && ttl <= 60 * SECOND, "{ttl:?} after {last:?}");
        last = ttl;
    }
    assert_eq!(last, 60 * SECOND);
    assert_eq!(lives(2).await, 30 * SECOND);
    let stats = of(&cache, "k");
    assert_eq!((stats.ttls_raised, stats.ttls_lowered), (60, 1));
    assert!(
        (stats.last_adaptive_ttl_seconds - 30.0).abs() < 0.001,
        "{stats:?}"
    );
}

#[tokio::test]
async fn warming_loads_what_is_not_there_and_no_more_at_once_than_it_may() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        cache.set("key:1", 1_u32, TTL).await.unwrap();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let seen = Mutex::new(Vec::new());
        let keys = (0..50).map(|n| format!("key:{n}"));
        let warmed = cache
            .warming(TTL)
            .concurrency(NonZeroUsize::new(3).unwrap())
            .progress(|it| seen.lock().unwrap().push(it.done()))
            .run(keys, |key: String| {
                let (running, most) = (&running, &most);
                async move {
                    most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, SeqCst);
                    match key.as_str() {
                        "key:7" => Err("there is none"),
                        _ => Ok(2_u32),
                    }
                }
            })
            .await;
        assert_eq!((warmed.present, warmed.loaded, warmed.failed), (1, 48, 1));
        // Redis answers when it does.
        let at_least = if cache.stats().redis_available.is_none() {
            3
        } else {
            1
        };
        assert!((at_least..=3).contains(&most.load(SeqCst)), "{most:?}");
        assert!(seen.lock().unwrap().iter().copied().eq(1..=50));
        assert_eq!(cache.get::<u32>("key:1").await.as_deref(), Some(&1));
        assert_eq!(cache.get::<u32>("key:2").await.as_deref(), Some(&2));
        assert!(cache.get::<u32>("key:7").await.is_none());
    }
}

#[tokio::test]
async fn versions_do_not_see_each_other() {
    let place = Place::new().await;
    let client = place.redis.client().await;
    let version = |it: &str| place.options(client.clone()).version(it).build();
    let (one, two) = (version("v1").unwrap(), version("v2").unwrap());
    one.set("k", 1_u32, TTL).await.unwrap();
    assert!(two.get::<u32>("k").await.is_none());
    two.set("k", 2_u32, TTL).await.unwrap();
    two.clear().await;
    assert_eq!(one.delete_pattern("?*").await.unwrap(), 1);
    assert!(matches!(version("v{1}"), Err(BuildError::Prefix { .. })));
    assert!(matches!(version(""), Err(BuildError::Prefix { .. })));
}
