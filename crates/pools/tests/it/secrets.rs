use ruleiq_pools::{PoolManager, PostgresConfig, RedisConfig};
use ruleiq_test_support::TestDatabase;

use crate::fixture::{manager, single};

#[tokio::test]
async fn nothing_that_can_be_printed_has_the_password() {
    let postgres = PostgresConfig::new("postgres://app:hunter2@127.0.0.1:1/app");
    let redis = RedisConfig::new("redis://:hunter2@127.0.0.1:1");
    let builder = PoolManager::builder()
        .postgres(postgres.clone())
        .redis(redis.clone());
    let mut printed = vec![
        format!("{postgres:?}"),
        format!("{redis:?}"),
        format!("{builder:?}"),
    ];
    let pools = builder.build().unwrap();
    let error = pools.session().await.unwrap_err();
    printed.push(format!("{pools:?} {error:?} {error} {:?}", pools.redis()));
    for text in printed {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_session_does_not_print_how_it_connected() {
    let database = TestDatabase::empty().await;
    let (credentials, _) = database.url().split_once('@').unwrap();
    let (_, password) = credentials.rsplit_once(':').unwrap();
    let pools = manager(single(database.url()));
    let mut session = pools.session().await.unwrap();
    let mut printed = format!("{session:?} {pools:?}");
    printed += &format!("{:?}", session.transaction().await.unwrap());
    assert!(!printed.contains(password), "{printed}");
    assert!(printed.contains("secrets.rs"), "{printed}");
}
