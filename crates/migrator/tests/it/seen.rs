//! What tests see of a database.

use ruleiq_migrator::Ownership;
use ruleiq_test_support::TestDatabase;

pub(crate) async fn versions(database: &TestDatabase) -> Vec<i64> {
    let rows = database
        .client()
        .await
        .query("SELECT version FROM _sqlx_migrations ORDER BY version", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

pub(crate) fn owned(database: &TestDatabase) -> Ownership {
    Ownership {
        i_own: Some(database.name().to_owned()),
    }
}

pub(crate) async fn exists(database: &TestDatabase, relation: &str) -> bool {
    let row = database
        .client()
        .await
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&relation])
        .await
        .unwrap();
    row.get(0)
}

pub(crate) async fn is_valid(database: &TestDatabase, index: &str) -> bool {
    let row = database
        .client()
        .await
        .query_opt(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)",
            &[&index],
        )
        .await
        .unwrap();
    row.is_some_and(|row| row.get(0))
}
