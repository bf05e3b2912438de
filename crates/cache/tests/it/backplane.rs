//! Instances that tell each other by messages, where Redis does not.

use std::time::Duration;

use ruleiq_cache::{Builder, CacheManager, Coherence, Policy};
use ruleiq_test_support::eventually;

use crate::place::{LIMIT, Place, TTL, armed, copied, listening, value};

async fn told(options: Builder) -> CacheManager {
    listening(options.coherence(Coherence::PubSub)).await
}

async fn telling(place: &Place) -> CacheManager {
    let options = place.options(place.redis.client().await);
    let options = options.coherence(Coherence::PubSub).l1_max_bytes(0);
    options.build().unwrap()
}

#[tokio::test]
async fn an_instance_is_told_of_whatever_another_one_changes() {
    let place = Place::new().await;
    let cache = told(place.options(place.redis.client().await)).await;
    let other = telling(&place).await;
    let long = "long ü ".repeat(100);
    for key in ["key:1", "{braces}:100%", "#", "=~!", long.as_str()] {
        let tagged = Policy::new(TTL).tags(["a"]).tables(&["t"]);
        for how in 0..7 {
            other.set(key, how, &tagged).await.unwrap();
            copied(&cache, key, how).await;
            match how {
                0 => {
                    other.set(key, 100_u32, &tagged).await.unwrap();
                    eventually(LIMIT, || async { value(&cache, key).await == Some(100) }).await;
                    continue;
                }
                1 => other.delete(&[key]).await,
                2 => assert!(other.expire(key, Duration::from_millis(1)).await.unwrap()),
                3 => assert!(other.delete_pattern("?*").await.unwrap() > 0),
                4 => other.invalidate_tags(&["a"]).await,
                5 => other.invalidate_tables(&["t"]).await,
                _ => other.clear().await,
            }
            eventually(LIMIT, || async { value(&cache, key).await.is_none() }).await;
        }
    }
    assert_eq!(cache.stats().flushes, 0);
}

#[tokio::test]
async fn a_copy_that_nobody_has_changed_stays() {
    let place = Place::new().await;
    let cache = told(place.options(place.redis.client().await)).await;
    let other = telling(&place).await;
    other.set("key:1", 1_u32, TTL).await.unwrap();
    copied(&cache, "key:1", 1).await;
    let before = cache.stats();
    for n in 0..100_u32 {
        other.set(&format!("other:{n}"), n, TTL).await.unwrap();
        other.delete_pattern("other:*").await.unwrap();
    }
    eventually(LIMIT, || async {
        cache.stats().heard_invalidations >= before.heard_invalidations + 300
    })
    .await;
    assert_eq!(value(&cache, "key:1").await, Some(1));
    assert_eq!(cache.stats().l1_hits, before.l1_hits + 1);
}

#[tokio::test]
async fn what_was_changed_while_nobody_told_is_not_served() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let cache = told(place.behind(&proxy).await).await;
    let other = telling(&place).await;
    for round in 0..4 {
        let (old, new) = (round * 2, round * 2 + 1);
        other.set("key:1", old, TTL).await.unwrap();
        eventually(LIMIT, || async {
            value(&cache, "key:1").await == Some(old)
        })
        .await;
        copied(&cache, "key:1", old).await;
        // A connection that breaks, and one that is open while nothing comes.
        match round % 2 {
            0 => proxy.refuse().await,
            _ => proxy.stall().await,
        }
        other.set("key:1", new, TTL).await.unwrap();
        eventually(LIMIT, || async { cache.stats().tracking == Some(false) }).await;
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
}
