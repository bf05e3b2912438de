use futures_util::future::join_all;
use ruleiq_test_support::TestDatabase;

use crate::server::run;

const UP: &[&str] = &["migrate", "up"];

async fn applied(database: &TestDatabase) -> Vec<i64> {
    let client = database.client().await;
    let rows = client
        .query(
            "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn ten_programs_migrate_an_empty_database_at_once() {
    let database = TestDatabase::empty().await;

    join_all((0..10).map(|_| run(&database, UP))).await;

    let mut versions = applied(&database).await;
    let count = versions.len();
    versions.dedup();
    assert_eq!(
        (versions.len(), versions.last()),
        (count, Some(&ruleiq_migrator::latest_version()))
    );
}

#[tokio::test]
async fn ten_programs_build_an_index_concurrently_on_a_filled_database() {
    let database = TestDatabase::empty().await;
    run(&database, UP).await;
    let seed = ["seed", "--scale", "small", "--i-own", database.name()];
    run(&database, &seed).await;
    let all = applied(&database).await;
    // The last three build their index concurrently.
    for _ in 0..3 {
        run(&database, &["migrate", "down"]).await;
    }
    assert_eq!(applied(&database).await, all[..all.len() - 3]);

    join_all((0..10).map(|_| run(&database, UP))).await;

    assert_eq!(applied(&database).await, all);
    let client = database.client().await;
    let invalid = client
        .query(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
            &[],
        )
        .await
        .unwrap();
    assert!(invalid.is_empty());
}
