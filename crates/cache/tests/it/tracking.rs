//! An instance hears of what others change.

use std::time::Duration;

use fred::{
    interfaces::{ClientLike as _, KeysInterface as _},
    types::InfoKind,
};
use ruleiq_cache::{CacheManager, Coherence};
use ruleiq_test_support::{OwnServers, RedisSpec, Spec, eventually};

use crate::place::{LIMIT, Place, TTL, armed, client, copied, listening, value};

const OLD: u32 = 1;
const NEW: u32 = 2;

#[tokio::test]
async fn a_change_by_another_instance_is_heard_of_under_every_kind_of_key() {
    let place = Place::new().await;
    let cache = place.listening().await;
    let other = place.cache().await;
    let long = "long ü ".repeat(100);
    for key in ["key:1", "{braces}:100%", "#", long.as_str()] {
        other.set(key, OLD, TTL).await.unwrap();
        copied(&cache, key, OLD).await;
        other.set(key, NEW, TTL).await.unwrap();
        eventually(LIMIT, || async { value(&cache, key).await == Some(NEW) }).await;
        copied(&cache, key, NEW).await;
        other.delete(&[key]).await;
        eventually(LIMIT, || async { value(&cache, key).await.is_none() }).await;

        other.set(key, OLD, TTL).await.unwrap();
        copied(&cache, key, OLD).await;
        let short = Duration::from_millis(1);
        assert!(other.expire(key, short).await.unwrap());
        eventually(LIMIT, || async { value(&cache, key).await.is_none() }).await;

        other.set(key, OLD, TTL).await.unwrap();
        copied(&cache, key, OLD).await;
        other.clear().await;
        eventually(LIMIT, || async { value(&cache, key).await.is_none() }).await;
    }
}

#[tokio::test]
async fn what_somebody_does_by_hand_is_heard_of() {
    let place = Place::new().await;
    let cache = place.listening().await;
    let hand = place.redis.client().await;
    let name = format!("{}:key:1", place.redis.prefix());
    let aside = format!("{}-aside", place.redis.prefix());
    for change in ["del", "set", "expire", "rename"] {
        cache.set("key:1", OLD, TTL).await.unwrap();
        copied(&cache, "key:1", OLD).await;
        match change {
            "del" => hand.del::<(), _>(&name).await.unwrap(),
            "set" => hand
                .set::<(), _, _>(&name, "x", None, None, false)
                .await
                .unwrap(),
            "expire" => hand.pexpire::<(), _>(&name, 1, None).await.unwrap(),
            _ => hand.rename::<(), _, _>(&name, &aside).await.unwrap(),
        }
        eventually(LIMIT, || async { value(&cache, "key:1").await.is_none() }).await;
    }
    hand.del::<(), _>(&aside).await.unwrap();
    hand.quit().await.unwrap();
}

#[tokio::test]
async fn what_happens_to_other_keys_costs_a_copy_nothing() {
    let place = Place::new().await;
    let cache = place.listening().await;
    let other = place.cache().await;
    other.set("key:1", OLD, TTL).await.unwrap();
    eventually(LIMIT, || async { cache.stats().heard_invalidations > 0 }).await;
    copied(&cache, "key:1", OLD).await;
    let before = cache.stats();
    let others: Vec<(String, u32)> = (0..2_000).map(|n| (format!("other:{n}"), n)).collect();
    other.mset(others, TTL).await.unwrap();
    eventually(LIMIT, || async {
        cache.stats().heard_invalidations >= before.heard_invalidations + 2_000
    })
    .await;
    assert_eq!(value(&cache, "key:1").await, Some(OLD));
    let stats = cache.stats();
    // A machine that is very busy may have lost the connection meanwhile.
    assert!(stats.l1_hits == before.l1_hits + 1 || stats.flushes > before.flushes);
}

/// What was changed while nobody listened is not served once the process listens again.
#[tokio::test]
async fn after_a_cut_no_copy_from_before_is_served() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = listening(place.behind(&proxy).await).await;
    let other = place.redis_alone().await;
    for round in 0..3 {
        let (old, new) = (round * 2, round * 2 + 1);
        other.set("key:1", old, TTL).await.unwrap();
        eventually(LIMIT, || async {
            value(&cache, "key:1").await == Some(old)
        })
        .await;
        copied(&cache, "key:1", old).await;
        proxy.refuse().await;
        other.set("key:1", new, TTL).await.unwrap();
        eventually(LIMIT, || async { cache.stats().tracking == Some(false) }).await;
        // The copy is gone at once, and Redis is away.
        assert_eq!(value(&cache, "key:1").await, None);
        proxy.heal().await;
        armed(&cache).await;
        eventually(LIMIT, || async {
            let value = value(&cache, "key:1").await;
            assert_ne!(value, Some(old));
            value == Some(new)
        })
        .await;
    }
    assert!(cache.stats().flushes >= 6);
}

/// The connection is open, and nothing comes.
#[tokio::test]
async fn a_connection_that_is_silent_is_noticed() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = listening(place.behind(&proxy).await).await;
    let other = place.redis_alone().await;
    other.set("key:1", OLD, TTL).await.unwrap();
    copied(&cache, "key:1", OLD).await;
    proxy.stall().await;
    other.set("key:1", NEW, TTL).await.unwrap();
    eventually(LIMIT, || async { value(&cache, "key:1").await.is_none() }).await;
    assert_eq!(cache.stats().tracking, Some(false));
    proxy.heal().await;
    armed(&cache).await;
    eventually(LIMIT, || async {
        value(&cache, "key:1").await == Some(NEW)
    })
    .await;
}

/// Without being told, a copy is as old as `outage_ttl` allows and no older.
#[tokio::test]
async fn without_tracking_copies_live_for_the_outage_ttl() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    let options = options
        .coherence(Coherence::None)
        .outage_ttl(Duration::from_millis(50));
    let cache = options.l1_ttl(TTL).build().unwrap();
    let other = place.cache().await;
    other.set("key:1", OLD, TTL).await.unwrap();
    assert_eq!(value(&cache, "key:1").await, Some(OLD));
    assert_eq!(cache.stats().tracking, Some(false));
    other.set("key:1", NEW, TTL).await.unwrap();
    eventually(LIMIT, || async {
        value(&cache, "key:1").await == Some(NEW)
    })
    .await;
}

/// A value that Redis never had is not told of: somebody may delete it without a word.
#[tokio::test]
async fn what_redis_could_not_take_lives_for_the_outage_ttl() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let options = place.behind(&proxy).await;
    let options = options.outage_ttl(Duration::from_secs(1)).l1_ttl(TTL);
    let cache = options.build().unwrap();
    armed(&cache).await;
    let flushes = cache.stats().flushes;
    let load = || async {
        proxy.stall().await;
        Ok::<_, ()>(OLD)
    };
    assert_eq!(*cache.get_or_load("key:1", TTL, load).await.unwrap(), OLD);
    proxy.heal().await;
    let kept = cache.stats();
    assert_eq!(kept.l1_entries, 1, "{kept:?}");
    eventually(LIMIT, || async {
        cache.get::<u32>("key:1").await.is_none() || cache.stats().l2_hits > kept.l2_hits
    })
    .await;
    assert_eq!(cache.stats().flushes, flushes, "it went by itself");
}

#[tokio::test]
async fn a_cache_that_is_dropped_stops_listening() {
    let servers = OwnServers::start(Spec {
        redis: Some(RedisSpec::default()),
        ..Spec::default()
    })
    .await;
    let server = client(servers.redis_url());
    server.init().await.unwrap();
    let listeners = || async {
        let clients: String = server.info(Some(InfoKind::Clients)).await.unwrap();
        clients.contains("tracking_clients:1\r")
    };
    let cache = CacheManager::builder().redis(server.clone());
    let cache = listening(cache).await;
    assert!(listeners().await);
    drop(cache);
    eventually(LIMIT, || async { !listeners().await }).await;
    server.quit().await.unwrap();
}
