//! Without Redis everything is slower, nothing is wrong, and nothing fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use fred::interfaces::ClientLike as _;
use futures_util::future::join_all;
use prometheus::Registry;
use ruleiq_cache::{CacheManager, CacheMetrics, Error};
use ruleiq_test_support::{FaultProxy, TestRedis, eventually};

use crate::place::{LIMIT, Place, TTL, client, healed};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Refuse,
    Stall,
    Cut,
}

const FAULTS: [Fault; 3] = [Fault::Refuse, Fault::Stall, Fault::Cut];

async fn make(proxy: &FaultProxy, fault: Fault) {
    match fault {
        Fault::Refuse => proxy.refuse().await,
        Fault::Stall => proxy.stall().await,
        Fault::Cut => proxy.cut().await,
    }
}

async fn load(cache: &CacheManager, key: &str, value: u32) -> u32 {
    *cache
        .get_or_load(key, TTL, || async { Ok::<_, ()>(value) })
        .await
        .unwrap()
}

/// Where each answer is late, a load asks twice and waits once: for the right to store, and not for its use.
#[tokio::test]
async fn a_load_waits_for_one_answer_of_a_slow_redis() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let registry = Registry::new();
    let metrics = CacheMetrics::register(&registry).unwrap();
    let options = place.behind(&proxy).await.metrics(metrics);
    let cache = options.l1_max_bytes(0).build().unwrap();
    let other = place.redis_alone().await;
    let asked = || {
        let families = registry.gather();
        let name = "ruleiq_cache_redis_duration_seconds";
        let family = families.iter().find(|it| it.name() == name).unwrap();
        family.get_metric()[0].get_histogram().get_sample_count()
    };
    load(&cache, "quick", 1).await;
    let quick = asked();
    proxy.delay(Duration::from_millis(50)).await;
    load(&cache, "learns that it is slow", 1).await;

    let before = asked();
    assert_eq!(load(&cache, "slow", 2).await, 2);
    // The value is there some time later, by the second command.
    eventually(LIMIT, || async { other.get::<u32>("slow").await.is_some() }).await;
    eventually(LIMIT, || async { asked() >= before + 2 }).await;
    // The epoch, which is believed for a second, may have been asked for beside it.
    assert!(asked() <= before + 3, "{} of {quick}", asked() - before);
    // What is there is found, fresh or not.
    assert_eq!(load(&cache, "slow", 3).await, 2);
    other
        .set("slow", 4_u32, Duration::from_millis(1))
        .await
        .unwrap();
    eventually(LIMIT, || async { load(&cache, "slow", 5).await == 5 }).await;
    // And what is deleted meanwhile does not come back.
    let deleting = cache.get_or_load("deleted", TTL, || async {
        other.delete(&["deleted"]).await;
        Ok::<_, ()>(6_u32)
    });
    assert_eq!(*deleting.await.unwrap(), 6);
    proxy.heal().await;
    healed(&cache).await;
    load(&cache, "another", 1).await;
    assert!(other.get::<u32>("deleted").await.is_none());
}

#[tokio::test]
async fn loads_and_reads_go_on() {
    for fault in FAULTS {
        let place = Place::new().await;
        let proxy = place.proxy().await;
        let cache = place.behind(&proxy).await.l1_max_bytes(0).build().unwrap();
        load(&cache, "before", 1).await;
        make(&proxy, fault).await;
        for n in 0..50 {
            assert_eq!(load(&cache, &format!("key:{n}"), n).await, n, "{fault:?}");
            let _: Option<_> = cache.get::<u32>("before").await;
            cache.delete(&["before"]).await;
            cache.delete_pattern("before*").await.unwrap();
        }
        proxy.heal().await;
        healed(&cache).await;
        let stats = cache.stats();
        assert_eq!(stats.load_failures, 0, "{fault:?} {stats:?}");
        assert_eq!(stats.redis_available, Some(true), "{fault:?}");
        load(&cache, "after", 1).await;
        assert_eq!(
            cache.get::<u32>("after").await.as_deref(),
            Some(&1),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_left_alone() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    proxy.stall().await;
    for n in 0..3 {
        load(&cache, &format!("key:{n}"), n).await;
    }
    let stats = cache.stats();
    assert_eq!(stats.redis_available, Some(false));
    // Now it is asked once a pause, not a thousand times.
    join_all((0..1_000).map(|n| {
        let cache = &cache;
        async move { load(cache, &format!("more:{n}"), n).await }
    }))
    .await;
    let errors = cache.stats().redis_errors - stats.redis_errors;
    assert!(errors < 50, "{errors} of 1,000 loads waited for redis");
}

#[tokio::test]
async fn what_the_process_has_loaded_in_an_outage_is_served() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let options = place.behind(&proxy).await;
    let cache = options.outage_ttl(LIMIT * 10).build().unwrap();
    proxy.refuse().await;
    eventually(LIMIT, || async { cache.stats().tracking == Some(false) }).await;
    for value in 0..10_u32 {
        let key = value.to_string();
        load(&cache, &key, value).await;
        let before = cache.stats().l1_hits;
        assert_eq!(cache.get::<u32>(&key).await.as_deref(), Some(&value));
        assert_eq!(cache.stats().l1_hits, before + 1);
    }
}

#[tokio::test]
async fn manual_writes_and_questions_say_that_redis_is_away() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    let other = place.redis_alone().await;
    other.set("k", 1_u32, TTL).await.unwrap();
    proxy.refuse().await;
    let away = |error| match error {
        Error::Unavailable { .. } | Error::TimedOut { .. } => {}
        other => panic!("{other:?}"),
    };
    away(cache.set("k", 2_u32, TTL).await.unwrap_err());
    away(cache.mset([("other", 2_u32)], TTL).await.unwrap_err());
    away(cache.ttl("another").await.unwrap_err());
    away(cache.expire("another", TTL).await.unwrap_err());
    assert!(
        !cache.exists("k").await.unwrap(),
        "its old value must not be seen"
    );

    proxy.heal().await;
    healed(&cache).await;
    let old = other.get::<u32>("k").await;
    assert_ne!(
        old.as_deref(),
        Some(&1),
        "the write has taken the old value away"
    );
}

#[tokio::test]
async fn a_deletion_during_an_outage_never_shows_the_old_value_again() {
    for fault in FAULTS {
        let place = Place::new().await;
        let proxy = place.proxy().await;
        let options = place.behind(&proxy).await;
        let cache = options.l1_max_bytes(0).build().unwrap();
        let other = place.redis_alone().await;
        other
            .mset([("key", 1_u32), ("many:1", 1), ("many:2", 1)], TTL)
            .await
            .unwrap();

        make(&proxy, fault).await;
        cache.delete(&["key"]).await;
        cache.delete_pattern("many:*").await.unwrap();
        proxy.heal().await;
        // While it heals, at every moment.
        eventually(LIMIT, || async {
            for key in ["key", "many:1", "many:2"] {
                assert_eq!(load(&cache, key, 2).await, 2, "{fault:?} `{key}`");
            }
            cache.stats().pending_invalidations == 0
        })
        .await;
        for key in ["key", "many:1", "many:2"] {
            let seen = other.get::<u32>(key).await;
            assert_ne!(seen.as_deref(), Some(&1), "{fault:?} `{key}`");
        }
    }
}

#[tokio::test]
async fn more_deletions_than_are_remembered_clear_everything() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let options = place.behind(&proxy).await;
    let cache = options.l1_max_bytes(0).build().unwrap();
    let other = place.redis_alone().await;
    let untouched = {
        let prefix = format!("{}-untouched", place.redis.prefix());
        let client = place.redis.client().await;
        let options = place.options(client).prefix(prefix);
        options.build().unwrap()
    };
    for instance in [&other, &untouched] {
        instance
            .mset([("key:7", 1_u32), ("other", 1)], TTL)
            .await
            .unwrap();
    }

    proxy.refuse().await;
    let keys: Vec<String> = (0..25_000).map(|n| format!("key:{n}")).collect();
    for keys in keys.chunks(1_000) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        cache.delete(&keys).await;
    }
    assert!(cache.stats().pending_invalidations < 20_000);
    proxy.heal().await;
    eventually(LIMIT, || async {
        assert_eq!(load(&cache, "key:7", 2).await, 2);
        cache.stats().pending_invalidations == 0
    })
    .await;
    // It hears of nothing, and asks again after a while.
    eventually(LIMIT, || async {
        other.get::<u32>("other").await.is_none()
    })
    .await;
    assert_eq!(untouched.get::<u32>("key:7").await.as_deref(), Some(&1));
}

#[tokio::test]
async fn however_many_keys_are_deleted_at_once_nothing_else_goes() {
    let place = Place::new().await;
    let cache = place.cache().await;
    let other = place.redis_alone().await;
    other
        .mset([("key:7", 1_u32), ("other", 1)], TTL)
        .await
        .unwrap();
    let keys: Vec<String> = (0..25_000).map(|n| format!("key:{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    cache.delete(&keys).await;
    assert_eq!(cache.stats().pending_invalidations, 0);
    assert!(other.get::<u32>("key:7").await.is_none());
    assert_eq!(other.get::<u32>("other").await.as_deref(), Some(&1));
}

#[tokio::test]
async fn a_redis_that_comes_later_is_used_when_it_is_there() {
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(redis.url()).await;
    proxy.refuse().await;
    let client = client(&proxy.url(redis.url()));
    let connection = client.connect();
    let options = CacheManager::builder().redis(client).prefix(redis.prefix());
    let cache = options.build().unwrap();
    assert_eq!(load(&cache, "k", 1).await, 1);
    proxy.heal().await;
    healed(&cache).await;
    eventually(LIMIT, || async { cache.set("k", 2_u32, TTL).await.is_ok() }).await;
    connection.abort();
}

#[tokio::test]
async fn a_client_that_nobody_connects_is_a_redis_that_is_away() {
    let redis = TestRedis::namespace().await;
    let options = CacheManager::builder().redis(client(redis.url()));
    let cache = options.prefix(redis.prefix()).build().unwrap();
    for n in 0..5 {
        assert_eq!(load(&cache, &format!("key:{n}"), n).await, n);
        cache.delete(&["key:0"]).await;
    }
    assert_eq!(cache.stats().redis_available, Some(false));
}

#[tokio::test]
async fn a_hundred_callers_share_one_load_without_redis_too() {
    for fault in FAULTS {
        let place = Place::new().await;
        let proxy = place.proxy().await;
        let cache = place.behind(&proxy).await.build().unwrap();
        let loads = Arc::new(AtomicU32::new(0));
        make(&proxy, fault).await;
        let calls = (0..100).map(|_| {
            cache.get_or_load("k", TTL, || async {
                loads.fetch_add(1, SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, ()>(1_u8)
            })
        });
        for value in join_all(calls).await {
            assert_eq!(*value.unwrap(), 1);
        }
        assert_eq!(loads.load(SeqCst), 1, "{fault:?}");
    }
}
