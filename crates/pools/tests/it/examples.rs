//! The examples do what they say.

use std::cell::Cell;

use ruleiq_test_support::{
    OwnServers, PostgresSpec, Spec, TestDatabase, TestRedis, Which, eventually,
};

use crate::fixture::PATIENCE;

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
    let outcome = Cell::new(survive_outage::Outcome::default());
    let outage = async {
        eventually(PATIENCE, || async { outcome.get().answered > 0 }).await;
        servers.kill(Which::Postgres).await;
        eventually(PATIENCE, || async { outcome.get().failed > 0 }).await;
        servers.start_again(Which::Postgres).await;
        eventually(PATIENCE, || async { outcome.get().healed > 0 }).await;
    };
    let asking = survive_outage::ask(servers.postgres_url(), &outcome);
    tokio::select! {
        result = asking => panic!("{result:?}"),
        () = outage => {}
    }
}
