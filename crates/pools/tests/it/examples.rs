//! The examples do what they say.

use std::cell::Cell;

use ruleiq_test_support::{
    OwnServers, PostgresSpec, Spec, TestDatabase, TestRedis, Which, eventually,
};

use crate::{fixture::PATIENCE, replicas::Pair};

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/query_postgres.rs"]
mod query_postgres;
#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/read_your_writes.rs"]
mod read_your_writes;
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
async fn the_example_sees_what_it_writes() {
    let pair = Pair::start().await;
    // As it is everywhere but in tests: what is committed leaves at once.
    let role = "ALTER ROLE postgres SET synchronous_commit = on";
    pair.primary().await.batch_execute(role).await.unwrap();
    let seen = read_your_writes::write_and_read(&pair.url()).await.unwrap();
    assert_eq!(seen.stale, 0, "{seen:?}");
    // A half, as the coin falls, while the standby keeps up, which a busy machine may not let it.
    assert!(seen.on_standby > 0, "{seen:?}");
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
