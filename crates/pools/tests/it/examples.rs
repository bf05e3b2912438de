//! The examples do what they say.

use std::time::Duration;

use ruleiq_test_support::{OwnServers, PostgresSpec, Spec, TestDatabase, TestRedis, Which};

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/query_postgres.rs"]
mod query_postgres;
#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/survive_outage.rs"]
mod survive_outage;
#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/use_redis.rs"]
mod use_redis;

#[tokio::test]
async fn the_example_with_postgres_writes_what_it_says() {
    let database = TestDatabase::empty().await;
    let written = query_postgres::write_three_rows(database.url()).await;
    assert_eq!(written.unwrap(), 3);
}

#[tokio::test]
async fn the_example_with_redis_counts() {
    let redis = TestRedis::namespace().await;
    assert_eq!(use_redis::count_a_visit(redis.url()).await.unwrap(), 1);
}

#[tokio::test]
async fn the_example_survives_an_outage() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        ..Spec::default()
    })
    .await;
    let outage = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        servers.kill(Which::Postgres).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        servers.start_again(Which::Postgres).await;
    };
    let asking = survive_outage::ask(servers.postgres_url(), Duration::from_secs(8));
    let (outcome, ()) = tokio::join!(asking, outage);
    let outcome = outcome.unwrap();
    assert!(outcome.answered > 0 && outcome.failed > 0, "{outcome:?}");
    assert_eq!(outcome.healed, 1, "{outcome:?}");
}
