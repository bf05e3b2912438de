//! Roles with few rights, and transactions.

use ruleiq_db_optimizer::DatabaseOptimizer;
use ruleiq_test_support::TestDatabase;

use super::{health, subjects, unseen};
use crate::{connect, database};

#[tokio::test]
async fn a_role_for_monitoring_sees_all_but_the_values_of_sequences() {
    let database = TestDatabase::migrated().await;
    let owner = database.client().await;
    owner
        .batch_execute("CREATE SEQUENCE hidden; SELECT setval('hidden', 5)")
        .await
        .unwrap();
    let report = health(&connect(database.monitor_url()).await).await;
    let unseen = unseen(&report);
    assert!(!unseen.contains(&"other_roles"), "{unseen:?}");
    assert!(unseen.contains(&"sequences"), "{unseen:?}");
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains(r#"{"code":"sequences","detail":""#), "{json}");
}

#[tokio::test]
async fn a_role_with_no_rights_is_told_what_it_does_not_see() {
    let database = TestDatabase::migrated().await;
    let report = health(&connect(database.app_url()).await).await;
    assert!(unseen(&report).contains(&"other_roles"), "{report}");
}

#[tokio::test]
async fn a_read_only_transaction_is_enough() {
    let (_database, mut client) = database("CREATE TABLE bare (x int)").await;
    let transaction = client
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .unwrap();
    let report = health(&transaction).await;
    assert_eq!(subjects(&report, "no_primary_key"), ["public.bare"]);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_has_failed_is_an_error_and_not_a_healthy_database() {
    let (_database, mut client) = database("SELECT 1").await;
    let transaction = client.transaction().await.unwrap();
    assert!(transaction.batch_execute("SELECT 1 / 0").await.is_err());
    assert!(DatabaseOptimizer::new(&transaction).health().await.is_err());
}
