use fred::{
    error::ErrorKind,
    interfaces::{ClientLike as _, KeysInterface as _},
    types::config::Options,
};
use ruleiq_pools::{BuildError, PoolManager, RedisConfig, ResourceStats};
use ruleiq_test_support::{FaultProxy, OwnServers, RedisSpec, Spec, TestRedis, Which, eventually};

use crate::{fixture::PATIENCE, log::Log};

fn manager(url: &str) -> PoolManager {
    PoolManager::builder()
        .redis(RedisConfig::new(url))
        .build()
        .unwrap()
}

fn stats(pools: &PoolManager) -> ResourceStats {
    pools.stats().redis.unwrap()
}

async fn works(pools: &PoolManager, key: &str) -> bool {
    pools.redis().unwrap().incr::<u64, _>(key).await.is_ok()
}

#[tokio::test]
async fn commands_share_few_connections() {
    let redis = TestRedis::namespace().await;
    let pools = manager(redis.url());
    assert_eq!(stats(&pools).connections(), 0);
    let key = format!("{}n", redis.prefix());
    let client = pools.redis().unwrap();
    let commands = (0..200).map(|_| client.incr::<u64, _>(&key));
    let mut values: Vec<u64> = futures_util::future::try_join_all(commands).await.unwrap();
    values.sort_unstable();
    assert_eq!(values, (1..=200).collect::<Vec<_>>());
    eventually(PATIENCE, || async { stats(&pools).checked_in == 2 }).await;
    let json = serde_json::to_value(pools.stats()).unwrap();
    assert_eq!(json["redis"]["size"], 2);
    assert_eq!(json["redis"]["waiting"], 0);
    assert_eq!(pools.health_check().await.redis, Some(true));
    pools.close().await;
}

#[tokio::test]
async fn an_outage_is_felt_briefly_and_heals_by_itself() {
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(redis.url()).await;
    let pools = manager(&proxy.url(redis.url()));
    let key = format!("{}n", redis.prefix());
    eventually(PATIENCE, || works(&pools, &key)).await;

    for outage in 0..3 {
        match outage {
            0 => proxy.refuse().await,
            1 => proxy.stall().await,
            _ => {
                proxy.refuse().await;
                proxy.cut().await;
                proxy.stall().await;
            }
        }
        for _ in 0..5 {
            let command = tokio::time::timeout(PATIENCE, works(&pools, &key));
            assert!(!command.await.expect("a command hangs"), "outage {outage}");
        }
        assert_eq!(pools.health_check().await.redis, Some(false));
        // One who cannot wait at all need not.
        let options = Options {
            fail_fast: true,
            ..Options::default()
        };
        eventually(PATIENCE, || async {
            let client = pools.redis().unwrap().with_options(&options);
            let result = client.get::<Option<String>, _>(&key).await;
            result.is_err_and(|error| *error.kind() == ErrorKind::Canceled)
        })
        .await;

        proxy.heal().await;
        eventually(PATIENCE, || works(&pools, &key)).await;
        eventually(PATIENCE, || async { stats(&pools).checked_in == 2 }).await;
        assert_eq!(pools.health_check().await.redis, Some(true));
    }
}

#[tokio::test]
async fn a_redis_that_comes_later_is_found() {
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(redis.url()).await;
    proxy.refuse().await;
    let pools = manager(&proxy.url(redis.url()));
    let key = format!("{}n", redis.prefix());
    assert!(!works(&pools, &key).await);
    assert_eq!(stats(&pools).checked_in, 0);
    proxy.heal().await;
    eventually(PATIENCE, || works(&pools, &key)).await;
}

#[tokio::test]
async fn a_url_of_something_else_is_refused() {
    let result = PoolManager::builder()
        .redis(RedisConfig::new("http://localhost"))
        .build();
    assert!(matches!(result, Err(BuildError::RedisUrl)), "{result:?}");
}

#[tokio::test]
async fn what_is_under_way_is_in_use() {
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(redis.url()).await;
    let pools = manager(&proxy.url(redis.url()));
    let key = format!("{}n", redis.prefix());
    eventually(PATIENCE, || works(&pools, &key)).await;
    eventually(PATIENCE, || async { stats(&pools).checked_in == 2 }).await;

    // Sent and not answered,
    proxy.stall().await;
    let asking = works(&pools, &key);
    tokio::select! {
        works = asking => assert!(!works),
        () = eventually(PATIENCE, || async { stats(&pools).checked_out == 1 }) => {}
    }
    // until the connection is given up: what was lost with it is not under way any more.
    proxy.cut().await;
    proxy.heal().await;
    eventually(PATIENCE, || works(&pools, &key)).await;
    eventually(PATIENCE, || async { stats(&pools).checked_in == 2 }).await;
}

/// A pool that works, on a primary with a replica.
async fn watched_by_sentinels() -> (OwnServers, PoolManager) {
    let servers = OwnServers::start(Spec {
        redis: Some(RedisSpec::default()),
        sentinels: true,
        ..Spec::default()
    })
    .await;
    let pools = manager(servers.sentinel_url());
    eventually(PATIENCE, || works(&pools, "n")).await;
    (servers, pools)
}

#[tokio::test]
async fn a_failover_of_sentinels_is_followed() {
    let (servers, pools) = watched_by_sentinels().await;
    assert_eq!(pools.health_check().await.redis, Some(true));

    servers.kill(Which::Redis).await;
    assert!(!works(&pools, "n").await);
    eventually(PATIENCE, || works(&pools, "n")).await;
    // The old primary comes back as a replica, and nobody writes to it.
    servers.start_again(Which::Redis).await;
    eventually(PATIENCE, || async {
        let old = manager(servers.redis_url());
        let refused = old.redis().unwrap().incr::<u64, _>("n").await;
        refused.is_err_and(|error| error.details().starts_with("READONLY"))
    })
    .await;
    let before: u64 = pools.redis().unwrap().incr("n").await.unwrap();
    for n in 1..=20 {
        assert!(pools.redis().unwrap().incr::<u64, _>("n").await.unwrap() == before + n);
    }
}

#[tokio::test]
async fn a_cluster_is_used_as_a_whole_and_its_failover_is_followed() {
    let servers = OwnServers::start(Spec {
        cluster: true,
        ..Spec::default()
    })
    .await;
    let pools = manager(servers.cluster_url());
    let keys: Vec<String> = (0..60).map(|n| format!("key-{n}")).collect();
    let all_work = || async {
        let works = keys.iter().map(|key| works(&pools, key));
        let works = futures_util::future::join_all(works).await;
        works.into_iter().all(|it| it)
    };
    eventually(PATIENCE, all_work).await;
    assert_eq!(pools.health_check().await.redis, Some(true));
    assert_eq!(stats(&pools).size, 2);

    servers.kill(Which::ClusterNode(0)).await;
    eventually(PATIENCE, || async { !all_work().await }).await;
    eventually(PATIENCE, all_work).await;
    eventually(PATIENCE, || async {
        pools.health_check().await.redis == Some(true)
    })
    .await;
}

#[tokio::test]
async fn one_that_hangs_is_left_whatever_the_traffic() {
    let (servers, pools) = watched_by_sentinels().await;
    servers.pause(Which::Redis).await;
    assert!(!works(&pools, "n").await);
    // Without a pause between commands.
    let traffic = async {
        loop {
            let commands = (0..4).map(|_| works(&pools, "n"));
            let worked = futures_util::future::join_all(commands).await;
            if worked.into_iter().all(|it| it) {
                break;
            }
        }
    };
    let healed = tokio::time::timeout(PATIENCE, traffic).await;
    healed.expect("the failover is not followed");
    servers.resume(Which::Redis).await;
}

#[tokio::test]
async fn what_is_wrong_with_redis_is_told_once() {
    let log = Log::begin();
    let redis = TestRedis::namespace().await;
    let (_, rest) = redis.url().rsplit_once('@').unwrap();
    let pools = manager(&format!("redis://:wrong-secret@{rest}"));
    eventually(PATIENCE, || async {
        assert!(!works(&pools, "n").await);
        log.count("redis cannot be reached") > 0
    })
    .await;
    for _ in 0..10 {
        assert!(!works(&pools, "n").await);
    }
    // Of each of the two connections.
    assert!(log.count("redis cannot be reached") <= 2, "{}", log.text());
    assert!(log.text().contains("WRONGPASS"), "{}", log.text());
    assert!(!log.text().contains("wrong-secret"), "{}", log.text());
}
