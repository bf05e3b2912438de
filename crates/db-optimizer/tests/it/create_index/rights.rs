//! Roles that may not, and connections that cannot.

use ruleiq_db_optimizer::{CreateIndexOptions, DatabaseOptimizer, Obstacle};
use ruleiq_test_support::TestDatabase;

use super::{TABLE, create, created, made, obstacle, unsuspecting};
use crate::{connect, database};

#[tokio::test]
async fn a_role_that_does_not_own_the_table_is_told_who_does() {
    let database = TestDatabase::migrated().await;
    for url in [database.app_url(), database.monitor_url()] {
        let client = connect(url).await;
        let optimizer = DatabaseOptimizer::new(&client);
        let plan = optimizer
            .plan_create_index("users", &["created_at"])
            .await
            .unwrap();
        let refused = obstacle(optimizer.create_index("users", &["created_at"]).await);
        assert_eq!(plan.obstacles, std::slice::from_ref(&refused));
        let Obstacle::MissingRight { table, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!(table, "public.users");
        for outcome in [
            optimizer.vacuum("users").await,
            optimizer.analyze("users").await,
        ] {
            assert!(matches!(obstacle(outcome), Obstacle::MissingRight { .. }));
        }
    }
}

#[tokio::test]
async fn an_ordinary_owner_makes_indexes_and_says_what_it_cannot_see() {
    let database = TestDatabase::empty().await;
    let owner = connect(&database.owned_by_ordinary_role().await).await;
    owner
        .batch_execute("CREATE SCHEMA mine; SET search_path = mine")
        .await
        .unwrap();
    owner.batch_execute(TABLE).await.unwrap();
    let optimizer = DatabaseOptimizer::builder(&owner).observer(&owner).build();
    let plan = DatabaseOptimizer::new(&owner)
        .plan_create_index("t", &["a"])
        .await
        .unwrap();
    assert!(
        !plan.sees_all_transactions && plan.obstacles.is_empty(),
        "{plan:?}"
    );
    // One connection cannot watch itself.
    let outcome = optimizer.create_index("t", &["a"]).await;
    assert_eq!(obstacle(outcome), Obstacle::TransactionPooler);
    created(create(&owner, &["a"], &unsuspecting()).await);
    optimizer_of_the_owner_maintains(&owner).await;
}

async fn optimizer_of_the_owner_maintains(owner: &tokio_postgres::Client) {
    let optimizer = DatabaseOptimizer::new(owner);
    assert_eq!(optimizer.vacuum("t").await.unwrap(), "VACUUM mine.t");
    assert_eq!(optimizer.analyze("t").await.unwrap(), "ANALYZE mine.t");
}

#[tokio::test]
async fn a_connection_that_may_only_read_is_told() {
    let (_database, client) = database(TABLE).await;
    client
        .batch_execute("SET default_transaction_read_only = on")
        .await
        .unwrap();
    let outcome = create(&client, &["a"], &CreateIndexOptions::default()).await;
    assert_eq!(obstacle(outcome), Obstacle::ReadOnly);
    assert_eq!(made(&client).await, []);
}
