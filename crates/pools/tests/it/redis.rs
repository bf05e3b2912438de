use fred::{
    error::ErrorKind,
    interfaces::{ClientLike as _, KeysInterface as _},
    types::config::Options,
};
use ruleiq_pools::{BuildError, PoolManager, RedisConfig, ResourceStats};
use ruleiq_test_support::{FaultProxy, TestRedis, eventually};

use crate::fixture::PATIENCE;

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
