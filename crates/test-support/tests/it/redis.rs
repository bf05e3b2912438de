//! A namespace per test.

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _},
};
use ruleiq_test_support::TestRedis;

async fn exists(client: &Client, key: &str) -> bool {
    client.exists(key).await.unwrap()
}

#[tokio::test]
async fn the_keys_of_a_namespace_end_with_it_and_those_of_others_stay() {
    let (mine, other) = (TestRedis::namespace().await, TestRedis::namespace().await);
    assert_ne!(mine.prefix(), other.prefix());
    let client = other.client().await;
    let of_mine: Vec<String> = (0..1_500)
        .map(|n| format!("{}:user:{n}", mine.prefix()))
        .collect();
    let of_other = format!("{}:user:0", other.prefix());
    for key in of_mine.iter().chain([&of_other]) {
        let set = client.set::<(), _, _>(key, "value", None, None, false);
        set.await.unwrap();
    }

    drop(mine);

    let left: u64 = client.exists(of_mine).await.unwrap();
    assert_eq!(left, 0);
    assert!(exists(&client, &of_other).await);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn keys_of_a_run_that_ended_days_ago_are_deleted_with_the_next_namespace() {
    let redis = TestRedis::namespace().await;
    let client = redis.client().await;
    // Made in 2001.
    let old = format!("ruleiq-test-003b9aca00-{}:user:1", redis.prefix());
    let set = client.set::<(), _, _>(&old, "value", None, None, false);
    set.await.unwrap();

    drop(TestRedis::namespace().await);

    assert!(!exists(&client, &old).await);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_namespace_hides_its_password() {
    let redis = TestRedis::namespace().await;
    let shown = format!("{redis:?}");
    assert!(shown.contains(redis.prefix()));
    assert!(!shown.contains("redis://"), "{shown}");
}
