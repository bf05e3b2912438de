//! An invalidation wins over every load and read that has begun before it.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use fred::interfaces::{ClientLike as _, KeysInterface as _, LuaInterface as _};
use futures_util::FutureExt as _;
use ruleiq_cache::{CacheManager, Error};
use ruleiq_test_support::eventually;
use tokio::sync::Notify;

use crate::place::{LIMIT, Place, TTL, healed, in_process};

/// What takes an old value away.
#[derive(Clone, Copy, Debug)]
enum Change {
    Delete,
    DeletePattern,
    Set,
    Expire,
}

const OLD: u32 = 1;
const NEW: u32 = 2;
const CHANGES: [Change; 3] = [Change::Delete, Change::DeletePattern, Change::Set];

impl Change {
    async fn make(self, cache: &CacheManager) {
        match self {
            Change::Delete => cache.delete(&["other", "key:1"]).await,
            Change::DeletePattern => drop(cache.delete_pattern("key:*").await.unwrap()),
            Change::Set => cache.set("key:1", NEW, TTL).await.unwrap(),
            Change::Expire => drop(cache.expire("key:1", TTL).await.unwrap()),
        }
    }

    /// What the key holds afterwards.
    fn leaves(self) -> Option<u32> {
        matches!(self, Change::Set).then_some(NEW)
    }
}

/// The name of the key's lease.
fn lease(place: &Place) -> String {
    let prefix = place.redis.prefix();
    format!("{prefix}!{{{prefix}:key:1}}")
}

async fn value(cache: &CacheManager) -> Option<u32> {
    cache.get::<u32>("key:1").await.as_deref().copied()
}

#[tokio::test]
async fn a_value_that_was_overtaken_while_it_loaded_goes_to_its_callers_and_nowhere_else() {
    for change in CHANGES {
        let place = Place::new().await;
        let other = place.redis_alone().await;
        for (cache, in_redis) in [(in_process(), false), (place.cache().await, true)] {
            let load = || async {
                change.make(&cache).await;
                Ok::<_, ()>(OLD)
            };
            let loaded = cache.get_or_load("key:1", TTL, load).await.unwrap();
            assert_eq!(*loaded, OLD, "{change:?}");
            assert_eq!(value(&cache).await, change.leaves(), "{change:?}");
            if in_redis {
                assert_eq!(value(&other).await, change.leaves(), "{change:?}");
                assert!(cache.stats().refused_fills > 0, "{change:?}");
            }
        }
    }
}

#[tokio::test]
async fn another_instances_change_overtakes_a_load_too() {
    for change in CHANGES {
        let place = Place::new().await;
        let (cache, other) = (place.cache().await, place.cache().await);
        let load = || async {
            change.make(&other).await;
            Ok::<_, ()>(OLD)
        };
        let loaded = cache.get_or_load("key:1", TTL, load).await.unwrap();
        assert_eq!(*loaded, OLD, "{change:?}");
        assert_eq!(value(&cache).await, change.leaves(), "{change:?}");
        assert_eq!(value(&other).await, change.leaves(), "{change:?}");
    }
}

#[tokio::test]
async fn who_comes_after_a_change_does_not_get_the_value_of_a_load_before_it() {
    for change in CHANGES {
        let place = Place::new().await;
        for cache in [in_process(), place.cache().await] {
            let (in_load, go) = (Notify::new(), Notify::new());
            let old = cache.get_or_load("key:1", TTL, || async {
                in_load.notify_one();
                go.notified().await;
                Ok::<_, ()>(OLD)
            });
            let after = async {
                in_load.notified().await;
                change.make(&cache).await;
                // The older load still runs.
                let new = cache.get_or_load("key:1", TTL, || async { Ok::<_, ()>(NEW) });
                let new = *new.await.unwrap();
                go.notify_one();
                new
            };
            let (old, new) = tokio::join!(old, after);
            assert_eq!((*old.unwrap(), new), (OLD, NEW), "{change:?}");
            assert_eq!(value(&cache).await, Some(NEW), "{change:?}");
        }
    }
}

/// A change arrives while a read of the old value is on its way back from Redis.
#[tokio::test]
async fn a_read_that_was_overtaken_is_not_kept() {
    for change in [
        Change::Delete,
        Change::DeletePattern,
        Change::Set,
        Change::Expire,
    ] {
        for load in [false, true] {
            let place = Place::new().await;
            let proxy = place.proxy().await;
            let other = place.redis_alone().await;
            other.set("key:1", OLD, TTL).await.unwrap();
            // Long enough for the read to be caught on its way, and less than a command's limit.
            let options = place.behind(&proxy).await;
            let cache = options.command_timeout(LIMIT).build().unwrap();

            proxy.stall().await;
            let read = async {
                if load {
                    let never = || async { Err::<u32, _>("a hit") };
                    *cache.get_or_load("key:1", TTL, never).await.unwrap()
                } else {
                    *cache.get::<u32>("key:1").await.unwrap()
                }
            };
            let mut read = Box::pin(read);
            assert!(read.as_mut().now_or_never().is_none());
            let change_and_heal = async {
                let mut change = Box::pin(change.make(&cache));
                assert!(change.as_mut().now_or_never().is_none());
                proxy.heal().await;
                change.await;
            };
            let (read, ()) = tokio::join!(read, change_and_heal);
            assert_eq!(read, OLD, "it was asked for before {change:?}");
            let expected = match change {
                Change::Expire => Some(OLD),
                other => other.leaves(),
            };
            assert_eq!(value(&cache).await, expected, "{change:?} load: {load}");
        }
    }
}

#[tokio::test]
async fn a_changed_time_to_live_overtakes_reads_with_the_old_one() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    // What it holds itself would be served far longer than this test takes.
    let cache = options.l1_ttl(TTL).build().unwrap();
    cache.set("key:1", OLD, TTL).await.unwrap();
    value(&cache).await.unwrap();
    cache
        .expire("key:1", Duration::from_millis(1))
        .await
        .unwrap();
    eventually(LIMIT, || async { value(&cache).await.is_none() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_time_to_live_does_not_bring_back_what_is_deleted() {
    let cache = in_process();
    let changing = tokio::spawn({
        let cache = cache.clone();
        async move {
            loop {
                cache.expire("key:1", TTL).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..100_000 {
        cache.set("key:1", OLD, TTL).await.unwrap();
        cache.delete(&["key:1"]).await;
        assert_eq!(value(&cache).await, None);
    }
    changing.abort();
}

/// A fill is sent, given up for lost, and arrives after the key was deleted by somebody else.
#[tokio::test]
async fn a_fill_that_arrives_late_finds_its_lease_gone() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    let other = place.redis_alone().await;

    let load = || async {
        proxy.stall().await;
        Ok::<_, ()>(OLD)
    };
    let loaded = cache.get_or_load("key:1", TTL, load).await.unwrap();
    assert_eq!(*loaded, OLD);
    assert!(cache.stats().redis_errors > 0, "the fill was not stalled");
    other.delete(&["key:1"]).await;
    proxy.heal().await;
    healed(&cache).await;
    assert_eq!(value(&other).await, None);
}

/// The second command of a write is sent, given up for lost, and arrives after a deletion.
#[tokio::test]
async fn a_write_that_arrives_late_does_not_undo_a_deletion() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    let other = place.redis_alone().await;

    proxy.stall().await;
    let failed = cache.set("key:1", OLD, TTL).await.unwrap_err();
    assert!(matches!(failed, Error::TimedOut { .. }), "{failed:?}");
    cache.delete(&["key:1"]).await;
    other.set("key:1", NEW, TTL).await.unwrap();
    other.delete(&["key:1"]).await;
    proxy.heal().await;
    healed(&cache).await;
    assert_eq!((value(&cache).await, value(&other).await), (None, None));
}

#[tokio::test]
async fn a_load_whose_lease_redis_has_evicted_is_given_and_not_kept() {
    let place = Place::new().await;
    let (cache, client) = (place.cache().await, place.redis.client().await);
    let name = lease(&place);
    let load = || async {
        client.unlink::<(), _>(name.as_str()).await.unwrap();
        Ok::<_, ()>(OLD)
    };
    assert_eq!(*cache.get_or_load("key:1", TTL, load).await.unwrap(), OLD);
    assert_eq!(value(&cache).await, None);
}

#[tokio::test]
async fn loads_of_two_instances_share_a_lease_and_the_first_to_end_stores() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let in_between = || async {
        let inner = other.get_or_load("key:1", TTL, || async { Ok::<_, ()>(NEW) });
        assert_eq!(*inner.await.unwrap(), NEW);
        Ok::<_, ()>(OLD)
    };
    let loaded = cache.get_or_load("key:1", TTL, in_between).await.unwrap();
    assert_eq!(*loaded, OLD);
    assert_eq!(value(&other).await, Some(NEW));
}

#[tokio::test]
async fn leases_do_not_outlive_the_loads_that_they_are_for() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    let cache = options
        .load_timeout(Duration::from_secs(7))
        .command_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let fail = || async { Err::<u32, _>("failed") };
    assert!(cache.get_or_load("key:1", TTL, fail).await.is_err());
    let client = place.redis.client().await;
    let name = lease(&place);
    let left: i64 = client.pttl(name).await.unwrap();
    assert!((1..=10_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn a_dropped_deletion_goes_on() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    let other = place.redis_alone().await;
    for change in [Change::Delete, Change::DeletePattern] {
        other.set("key:1", OLD, TTL).await.unwrap();
        proxy.stall().await;
        let mut dropped = Box::pin(change.make(&cache));
        assert!(dropped.as_mut().now_or_never().is_none());
        drop(dropped);
        assert_eq!(value(&cache).await, None, "{change:?}");
        assert!(cache.stats().pending_invalidations > 0, "{change:?}");
        proxy.heal().await;
        healed(&cache).await;
        assert_eq!(value(&other).await, None, "{change:?}");
    }
}

#[tokio::test]
async fn a_value_with_no_end_is_read_and_its_time_to_live_is_the_longest() {
    let place = Place::new().await;
    let (cache, client) = (place.redis_alone().await, place.redis.client().await);
    cache.set("key:1", OLD, TTL).await.unwrap();
    let persist = "return redis.call('PERSIST', KEYS[1])";
    let name = format!("{}:key:1", place.redis.prefix());
    client
        .eval::<(), _, _, _>(persist, name, Vec::<String>::new())
        .await
        .unwrap();
    assert_eq!(value(&cache).await, Some(OLD));
    assert_eq!(cache.ttl("key:1").await.unwrap(), Some(Duration::MAX));
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_key_is_loaded_again_after_each_deletion() {
    let place = Place::new().await;
    let loads = AtomicU32::new(0);
    for cache in [in_process(), place.cache().await] {
        loads.store(0, SeqCst);
        for round in 1..=3 {
            let load = || async { Ok::<_, ()>(loads.fetch_add(1, SeqCst) + 1) };
            for _ in 0..3 {
                let loaded = cache.get_or_load("key:1", TTL, load).await.unwrap();
                assert_eq!(*loaded, round);
            }
            cache.delete(&["key:1"]).await;
        }
    }
}
