//! The examples do what they say.

use ruleiq_test_support::{TestDatabase, TestRedis};

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/query_postgres.rs"]
mod query_postgres;
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
