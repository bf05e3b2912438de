//! Vacuuming and analyzing.

use std::time::Duration;

use ruleiq_db_optimizer::{ChangeError, DatabaseOptimizer};
use ruleiq_test_support::eventually;

use crate::database;

#[tokio::test]
async fn a_table_is_vacuumed_and_analyzed() {
    let (_database, client) = database(
        "CREATE TABLE \"T t\" (x int) WITH (autovacuum_enabled = off);
         INSERT INTO \"T t\" SELECT generate_series(1, 100); DELETE FROM \"T t\" WHERE x > 50",
    )
    .await;
    client
        .batch_execute("SET statement_timeout = '33s'")
        .await
        .unwrap();
    let optimizer = DatabaseOptimizer::new(&client);

    assert_eq!(
        optimizer.vacuum("\"T t\"").await.unwrap(),
        "VACUUM public.\"T t\""
    );
    assert_eq!(
        optimizer.analyze("public.\"T t\"").await.unwrap(),
        "ANALYZE public.\"T t\""
    );

    eventually(Duration::from_secs(30), || async {
        let stats = optimizer.table_stats("\"T t\"").await.unwrap().unwrap();
        stats.last_vacuum.is_some() && stats.last_analyze.is_some() && stats.dead_rows == 0
    })
    .await;
    let limit = client
        .query_one("SHOW statement_timeout", &[])
        .await
        .unwrap();
    assert_eq!(limit.get::<_, &str>(0), "33s");
}

#[tokio::test]
async fn what_cannot_be_vacuumed_is_told() {
    let (_database, client) = database("CREATE VIEW v AS SELECT 1 AS x").await;
    let optimizer = DatabaseOptimizer::new(&client);
    for (name, message) in [
        ("t", "there is no table `t` that this connection finds"),
        (
            "v",
            "`public.v` is neither a table nor a materialized view, on which this cannot be done",
        ),
    ] {
        assert_eq!(
            optimizer.vacuum(name).await.unwrap_err().to_string(),
            message
        );
    }
    let error = optimizer.analyze("t; DROP VIEW v").await.unwrap_err();
    assert!(matches!(error, ChangeError::NoName { .. }), "{error}");
}
