//! What a search leaves behind: nothing.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::timeout;

use super::*;

const TABLE: &str = "
    CREATE TABLE t (a integer, b integer, x text); CREATE SEQUENCE s;
    INSERT INTO t SELECT n % 3000, n, repeat('x', 200) FROM generate_series(1, 20000) n";
const WORKLOAD: &str = "SELECT *, nextval('s') FROM t WHERE a = 7; SELECT * FROM t WHERE b = $1;
                        UPDATE t SET x = '' WHERE b = 7; DELETE FROM t WHERE a = 8";

/// Hypothetical indexes, prepared statements of SQL, and settings that differ.
async fn left(client: &Client) -> (i64, i64, String) {
    let sql = "SELECT (SELECT count(*) FROM hypopg()),
                      (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
                      current_setting('statement_timeout') || current_setting('jit')
                      || current_setting('plan_cache_mode')";
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn nothing_is_left_and_nothing_was_run() {
    let (_database, client) = with_hypopg(TABLE).await;
    let before = left(&client).await;
    let advice = advise(&client, WORKLOAD).await.unwrap();
    assert!(!advice.indexes.is_empty());
    assert_eq!(left(&client).await, before);
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM t), (SELECT is_called FROM s)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, bool>(1)),
        (20_000, false)
    );
}

#[tokio::test]
async fn a_text_cannot_break_out() {
    let (_database, client) = with_hypopg(TABLE).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let statements = [
        "SELECT 1; DROP TABLE t",
        "ANALYZE t",
        "SELECT $1; DROP TABLE t",
        "(FORMAT JSON, ANALYZE) DELETE FROM t",
        "SELECT * FROM t WHERE a = 1 -- \n; DELETE FROM t",
        "EXECUTE x",
        "DO 'BEGIN DELETE FROM t; END'",
    ];
    for sql in statements {
        let statement = ruleiq_db_optimizer::WorkloadStatement::new("evil", sql, 1.0);
        let outcome = optimizer
            .advise(&Workload::new([statement]), &ample(), |_| ())
            .await;
        assert!(outcome.is_err(), "{sql}");
    }
    let row = client
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 20_000);
}

#[tokio::test]
async fn a_search_that_is_dropped_is_cleaned_up_by_the_next() {
    let (_database, client) = with_hypopg(TABLE).await;
    let before = left(&client).await;
    for ms in [1, 3, 10, 30, 60] {
        drop(timeout(Duration::from_millis(ms), advise(&client, WORKLOAD)).await);
        client
            .batch_execute("ROLLBACK; RESET ALL; DEALLOCATE ALL")
            .await
            .unwrap();
    }
    let client = _database.client().await;
    advise(&client, WORKLOAD).await.unwrap();
    assert_eq!(left(&client).await, before);
}

#[tokio::test]
async fn a_session_that_only_reads_is_enough() {
    let (_database, client) = with_hypopg(TABLE).await;
    client
        .batch_execute("SET default_transaction_read_only = on")
        .await
        .unwrap();
    let advice = advise(&client, "SELECT * FROM t WHERE a = 7")
        .await
        .unwrap();
    assert_eq!(made(&advice), ["t (a)"]);
}

#[tokio::test]
async fn a_search_that_is_told_to_stop_answers_all_the_same() {
    let (_database, client) = with_hypopg(TABLE).await;
    let workload = Workload::parse("SELECT * FROM t WHERE a = 7").unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let mut stopped = ample();
    stopped.stop = Some(Arc::new(AtomicBool::new(true)));
    let mut without_time = ample();
    without_time.time = Duration::ZERO;
    let mut without_plans = ample();
    without_plans.explains = 0;
    for options in [stopped, without_time, without_plans] {
        let advice = optimizer.advise(&workload, &options, |_| ()).await.unwrap();
        assert!(advice.indexes.is_empty() && !advice.is_complete, "{advice}");
    }
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let (_database, client) = database(&format!("{TABLE}; ANALYZE")).await;
    let estimated = advise(&client, "SELECT * FROM t WHERE a = 7")
        .await
        .unwrap();
    let text = estimated.to_string();
    let expected = "estimated from statistics (HypoPG is not installed: `CREATE EXTENSION hypopg`)";
    assert!(text.contains(expected), "{text}");
    client
        .batch_execute("CREATE EXTENSION hypopg")
        .await
        .unwrap();
    let error = advise(&client, "SELECT * FROM nowhere").await.unwrap_err();
    assert!(
        matches!(error, AdviseError::NothingPlanned { .. }),
        "{error}"
    );
    let nothing = DatabaseOptimizer::new(&client)
        .advise(&Workload::default(), &ample(), |_| ())
        .await;
    assert!(matches!(nothing.unwrap_err(), AdviseError::NoStatements));
}
