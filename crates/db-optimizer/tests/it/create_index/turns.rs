//! Several instances at once.

use std::time::Duration;

use ruleiq_db_optimizer::{CreateIndexOptions, DatabaseOptimizer, IndexCreation, Obstacle};

use super::{PATIENCE, TABLE, create, existing, impatient, made, obstacle};
use crate::database;

#[tokio::test]
async fn instances_that_want_the_same_index_make_one() {
    let (database, client) = database(TABLE).await;
    let clients = [
        database.client().await,
        database.client().await,
        database.client().await,
        database.client().await,
    ];
    let options = CreateIndexOptions::default().wait_limit(PATIENCE);
    let [a, b, c, d] = &clients;
    let outcomes = tokio::join!(
        create(a, &["a"], &options),
        create(b, &["a"], &options),
        create(c, &["a"], &options),
        create(d, &["a"], &options),
    );
    let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3];
    let are_new = outcomes
        .iter()
        .filter(|it| matches!(it, Ok(IndexCreation::Created(_))));
    assert_eq!(are_new.count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(made(&client).await, [("idx_t_a".to_owned(), true)]);
}

#[tokio::test]
async fn instances_that_want_different_indexes_do_not_wait_for_each_other_for_ever() {
    let (database, client) = database(TABLE).await;
    let other = database.client().await;
    let options = CreateIndexOptions::default().wait_limit(PATIENCE);
    let (one, two) = tokio::join!(
        create(&client, &["a"], &options),
        create(&other, &["b"], &options)
    );
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(made(&client).await.len(), 2);
}

#[tokio::test]
async fn a_turn_that_does_not_come_is_waited_for_so_long() {
    let (database, client) = database(TABLE).await;
    let other = database.client().await;
    let take = format!("SELECT pg_advisory_lock({})", 0x5255_4c45_4951_2049_i64);
    other.batch_execute(&take).await.unwrap();
    let plan = DatabaseOptimizer::new(&client)
        .plan_create_index("t", &["a"])
        .await
        .unwrap();
    assert_eq!(plan.obstacles, [Obstacle::Busy]);
    // What is being built is no reason to wait for an index that is there.
    let invalid = "CREATE UNIQUE INDEX CONCURRENTLY ruleiq_building_0123456789abcdef ON t (a)";
    assert!(other.batch_execute(invalid).await.is_err());
    assert_eq!(
        existing(create(&client, &["id"], &impatient()).await).index,
        "public.t_pkey"
    );
    other
        .batch_execute("DROP INDEX ruleiq_building_0123456789abcdef")
        .await
        .unwrap();
    let options = impatient().wait_limit(Duration::from_millis(300));
    assert_eq!(
        obstacle(create(&client, &["a"], &options).await),
        Obstacle::Busy
    );
    assert_eq!(made(&client).await, []);
}
