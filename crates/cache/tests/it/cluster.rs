//! On a Redis Cluster of three masters with a replica each.

use fred::{clients::Client, interfaces::ClientLike as _};
use ruleiq_cache::CacheManager;
use ruleiq_test_support::{OwnServers, Spec, eventually};

use crate::place::{LIMIT, TTL, client, listening};

/// On all masters.
const KEYS: usize = 300;

pub(crate) async fn cluster() -> OwnServers {
    OwnServers::start(Spec {
        cluster: true,
        ..Spec::default()
    })
    .await
}

pub(crate) async fn connected(servers: &OwnServers) -> Client {
    let client = client(servers.cluster_url());
    client.init().await.unwrap();
    client
}

fn keys() -> Vec<String> {
    // Braces say where a cluster keeps a key, and these would be kept apart from their leases.
    (0..KEYS).map(|n| format!("key:{{{n}}}:{n}")).collect()
}

#[tokio::test]
async fn every_command_reaches_the_master_that_it_is_for() {
    let servers = cluster().await;
    let client = connected(&servers).await;
    let cache = listening(CacheManager::builder().redis(client.clone())).await;
    let options = CacheManager::builder().redis(client.clone());
    let other = options.l1_max_bytes(0).build().unwrap();
    let keys = keys();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let read = || async {
        let values = cache.mget::<u32>(&names).await;
        let values = values.into_iter().map(|it| it.as_deref().copied());
        values.collect::<Vec<_>>()
    };
    let all = |first: u32| {
        let values = first..first + u32::try_from(KEYS).unwrap();
        values.map(Some).collect::<Vec<_>>()
    };

    let values = keys.iter().zip(0_u32..);
    other.mset(values, TTL).await.unwrap();
    eventually(LIMIT, || async {
        let before = cache.stats().l1_hits;
        read().await == all(0) && cache.stats().l1_hits == before + KEYS as u64
    })
    .await;
    // Changes on every master are heard of.
    let values = keys.iter().zip(1_000_u32..);
    other.mset(values, TTL).await.unwrap();
    eventually(LIMIT, || async { read().await == all(1_000) }).await;

    for (key, name) in keys.iter().zip(&names).take(10) {
        assert!(other.exists(name).await.unwrap());
        assert!(other.expire(name, TTL / 2).await.unwrap());
        assert!(other.ttl(key).await.unwrap().unwrap() <= TTL / 2);
    }
    other.delete(&names[..100]).await;
    assert_eq!(
        other.delete_pattern("key:*").await.unwrap(),
        KEYS as u64 - 100
    );
    eventually(LIMIT, || async { read().await == vec![None; KEYS] }).await;

    let load = || async { Ok::<_, ()>(7_u32) };
    for key in &names {
        assert_eq!(*other.get_or_load(key, TTL, load).await.unwrap(), 7);
    }
    eventually(LIMIT, || async { read().await == vec![Some(7); KEYS] }).await;
    client.quit().await.unwrap();
}
