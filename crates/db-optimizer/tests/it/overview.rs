//! The database as a whole.

use ruleiq_db_optimizer::DatabaseOptimizer;
use ruleiq_test_support::TestDatabase;

use crate::connect;

#[tokio::test]
async fn every_role_sees_the_database_as_a_whole() {
    let database = TestDatabase::migrated().await;
    for url in [database.url(), database.app_url(), database.monitor_url()] {
        let client = connect(url).await;
        let overview = DatabaseOptimizer::new(&client).overview().await.unwrap();
        assert_eq!(overview.database, database.name());
        assert!(overview.size_bytes > 1_000_000, "{overview:?}");
        assert!(overview.connections >= 1, "{overview:?}");
        assert!(
            overview.server_connections >= overview.connections,
            "{overview:?}"
        );
        assert!(
            overview.max_connections >= overview.server_connections,
            "{overview:?}"
        );
        assert!(
            overview
                .cache_hit_ratio
                .is_none_or(|it| (0.0..=1.0).contains(&it))
        );
    }
}

#[tokio::test]
async fn a_transaction_serves_as_well_as_a_client() {
    let database = TestDatabase::migrated().await;
    let mut client = database.client().await;
    let transaction = client.transaction().await.unwrap();
    let optimizer = DatabaseOptimizer::new(&transaction);
    optimizer.overview().await.unwrap();
    optimizer.recommend_indexes().await.unwrap();
    assert!(optimizer.table_stats("users").await.unwrap().is_some());
    assert!(optimizer.table_stats("no one's").await.unwrap().is_none());
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn an_error_says_what_could_not_be_read() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute("BEGIN; SAVEPOINT s").await.unwrap();
    assert!(client.batch_execute("SELECT 1 / 0").await.is_err());

    let error = DatabaseOptimizer::new(&client)
        .overview()
        .await
        .unwrap_err();

    assert_eq!(
        error.to_string(),
        "could not read the statistics of the database"
    );
    let state = error.query_error().sql_state().unwrap();
    assert_eq!(state.code(), "25P02", "the transaction had failed");
}
