//! On a Redis Cluster of three masters with a replica each.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use fred::{clients::Client, interfaces::ClientLike as _};
use ruleiq_cache::{Builder, CacheManager};
use ruleiq_test_support::{OwnServers, Spec, Which, eventually};

use crate::place::{LIMIT, TTL, client};

/// For what takes a cluster's election as well.
const LONG: Duration = Duration::from_secs(60);
/// On all masters.
const KEYS: usize = 300;

async fn cluster() -> OwnServers {
    OwnServers::start(Spec {
        cluster: true,
        ..Spec::default()
    })
    .await
}

async fn connected(servers: &OwnServers) -> Client {
    let client = client(servers.cluster_url());
    client.init().await.unwrap();
    client
}

async fn listening(options: Builder) -> CacheManager {
    let cache = options.l1_ttl(TTL).outage_ttl(TTL).build().unwrap();
    eventually(LIMIT, || async { cache.stats().tracking == Some(true) }).await;
    cache
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

/// The storm of the bar `cluster_failover`: nobody fails and nobody gets a wrong value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_fails_nobody() {
    let servers = cluster().await;
    let client = connected(&servers).await;
    let options = CacheManager::builder().redis(client.clone());
    let options = options.command_timeout(Duration::from_millis(250));
    let cache = options.build().unwrap();
    eventually(LIMIT, || async { cache.stats().tracking == Some(true) }).await;
    let keys = keys();
    let database: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
    let (is_killing, done) = (AtomicBool::new(false), AtomicBool::new(false));

    let load = async {
        let mut calls = 0_u64;
        while !done.load(SeqCst) {
            for (at, key) in keys.iter().enumerate() {
                // This instance invalidates, so that it never sees what was before.
                let expected = if calls.is_multiple_of(7) && !is_killing.load(SeqCst) {
                    let new = database[at].fetch_add(1, SeqCst) + 1;
                    cache.delete(&[key]).await;
                    new
                } else {
                    database[at].load(SeqCst)
                };
                let load = || async { Ok::<_, ()>(database[at].load(SeqCst)) };
                let value = cache.get_or_load(key, TTL, load).await.unwrap();
                assert_eq!(*value, expected, "{key}");
                calls += 1;
            }
        }
        calls
    };
    let kill = async {
        // What a replica has not heard of by then is lost with its master: nothing is deleted just before.
        is_killing.store(true, SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        servers.kill(Which::ClusterNode(0)).await;
        is_killing.store(false, SeqCst);
        // Somebody else takes its place, and everything is as before.
        eventually(LONG, || async { cache.stats().tracking == Some(false) }).await;
        eventually(LONG, || async {
            let stats = cache.stats();
            stats.tracking == Some(true) && stats.pending_invalidations == 0
        })
        .await;
        eventually(LONG, || async {
            let all = keys.iter().map(|key| cache.exists(key));
            futures_util::future::join_all(all)
                .await
                .iter()
                .all(Result::is_ok)
        })
        .await;
        done.store(true, SeqCst);
    };
    let (calls, ()) = tokio::join!(load, kill);
    assert!(calls > KEYS as u64);
    assert_eq!(cache.stats().load_failures, 0);
}
