//! On a Redis that sentinels watch, whose primary dies.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use fred::interfaces::ClientLike as _;
use ruleiq_cache::{CacheManager, Policy};
use ruleiq_test_support::{OwnServers, RedisSpec, Spec, Which, eventually};

use crate::place::{LIMIT, TTL, armed, client, healed};

async fn instance(servers: &OwnServers) -> CacheManager {
    let client = client(servers.sentinel_url());
    client.init().await.unwrap();
    let options = CacheManager::builder().redis(client).prefix("app");
    let cache = options.l1_ttl(TTL).build().unwrap();
    armed(&cache).await;
    cache
}

#[tokio::test]
async fn a_failover_is_followed_and_nothing_older_is_served() {
    let servers = OwnServers::start(Spec {
        redis: Some(RedisSpec::default()),
        sentinels: true,
        ..Spec::default()
    })
    .await;
    let (cache, other) = (instance(&servers).await, instance(&servers).await);
    let row = AtomicU32::new(1);
    let policy = Policy::new(TTL).tags(["row"]);
    let read = async |cache: &CacheManager| {
        let load = || async { Ok::<_, ()>(row.load(SeqCst)) };
        *cache.get_or_load("k", &policy, load).await.unwrap()
    };
    assert_eq!((read(&cache).await, read(&other).await), (1, 1));

    servers.kill(Which::Redis).await;
    // No caller is told of it, and whoever has invalidated sees what is new.
    let mut changes = 1;
    while cache.stats().redis_available == Some(true) || changes < 20 {
        changes = row.fetch_add(1, SeqCst) + 1;
        cache.invalidate_tags(&["row"]).await;
        assert_eq!(read(&cache).await, changes);
    }
    healed(&cache).await;
    for instance in [&cache, &other] {
        armed(instance).await;
        eventually(LIMIT, || async { read(instance).await == changes }).await;
    }
    // And the instances hear of each other again.
    row.fetch_add(1, SeqCst);
    cache.invalidate_tags(&["row"]).await;
    eventually(LIMIT, || async { read(&other).await == changes + 1 }).await;
    assert_eq!(cache.stats().load_failures + other.stats().load_failures, 0);
}
