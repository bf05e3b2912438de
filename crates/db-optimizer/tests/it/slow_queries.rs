//! Slow statements, and what is said when they cannot be seen.

use std::time::Duration;

use ruleiq_db_optimizer::{DatabaseOptimizer, Degradation, SlowQueries, SlowQuery};
use ruleiq_query::{Fingerprint, Queries};
use ruleiq_test_support::TestDatabase;
use tokio_postgres::Client;

use crate::{connect, database};

const EXTENSION: &str = "CREATE EXTENSION pg_stat_statements";

async fn analyze(client: &impl Queries, threshold: Duration) -> SlowQueries {
    let optimizer = DatabaseOptimizer::new(client);
    optimizer.analyze_slow_queries(threshold).await.unwrap()
}

/// All statements: none takes no time.
async fn all(client: &impl Queries) -> SlowQueries {
    analyze(client, Duration::ZERO).await
}

/// The statement of this shape.
fn find<'a>(slow: &'a SlowQueries, sql: &str) -> Option<&'a SlowQuery> {
    let fingerprint = Fingerprint::of(sql);
    let mut statements = slow.statements.iter();
    statements.find(|it| it.fingerprint == Some(fingerprint))
}

fn codes(slow: &SlowQueries) -> Vec<&'static str> {
    // A shared server may have been full at some time.
    let mut codes: Vec<_> = slow.degraded.iter().map(|it| it.code()).collect();
    codes.retain(|it| *it != "evicted");
    codes
}

/// Replaces the extension's view in this database by one of the test's.
async fn replace_view(client: &Client, view: &str) {
    let sql = format!(
        "ALTER EXTENSION pg_stat_statements DROP VIEW pg_stat_statements;
         ALTER VIEW pg_stat_statements RENAME TO original;
         {view}"
    );
    client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_slow_statement_is_found_with_what_it_cost() {
    let (_database, client) = database(EXTENSION).await;
    client
        .batch_execute("CREATE TABLE t AS SELECT generate_series(1, 100) AS x")
        .await
        .unwrap();
    for x in [3, 4] {
        let sql = format!("SELECT x, pg_sleep(0.05) FROM t WHERE x = {x}");
        client.query(&sql, &[]).await.unwrap();
    }

    let slow = analyze(&client, Duration::from_millis(50)).await;

    let found = find(&slow, "SELECT x, pg_sleep(1) FROM t WHERE x = 1").unwrap();
    assert_eq!(
        found.query.as_deref(),
        Some("select x , pg_sleep ( ? ) from t where x = ?")
    );
    assert_eq!((found.calls, found.rows, found.top_level), (2, 2, true));
    assert!(found.mean >= Duration::from_millis(50), "{found:?}");
    assert!(
        found.max >= found.mean && found.total >= found.max,
        "{found:?}"
    );
    assert!(
        found.shared_blocks_hit + found.shared_blocks_read > 0,
        "{found:?}"
    );
    assert!(slow.since.is_some());
    assert_eq!(codes(&slow), [""; 0]);
    let create = "CREATE TABLE t AS SELECT generate_series(1, 100) AS x";
    assert!(find(&all(&client).await, create).is_some());
    let never = analyze(&client, Duration::from_secs(86_400)).await;
    assert_eq!(never.statements, []);
}

#[tokio::test]
async fn one_slow_run_among_many_fast_ones_is_found() {
    let (_database, client) = database(EXTENSION).await;
    let sql = "SELECT pg_sleep($1::float8)";
    client.query(sql, &[&0.05]).await.unwrap();
    for _ in 0..20 {
        client.query(sql, &[&0.0]).await.unwrap();
    }
    let slow = analyze(&client, Duration::from_millis(50)).await;
    let found = find(&slow, sql).unwrap();
    assert_eq!(found.calls, 21);
    assert!(found.max >= Duration::from_millis(50), "{found:?}");
}

#[tokio::test]
async fn statements_of_another_database_are_not_ours() {
    let (_one, theirs) = database(EXTENSION).await;
    let (_two, ours) = database(EXTENSION).await;
    theirs
        .query("SELECT 1 AS foreign_statement", &[])
        .await
        .unwrap();
    assert!(find(&all(&theirs).await, "SELECT 1 AS foreign_statement").is_some());
    assert!(find(&all(&ours).await, "SELECT 1 AS foreign_statement").is_none());
}

#[tokio::test]
async fn no_constant_is_shown_not_even_of_statements_that_keep_theirs() {
    let (database, client) = database(EXTENSION).await;
    let role = format!("{}_secret", database.name());
    let create = format!("CREATE ROLE {role} PASSWORD 'hunter2'");
    client.batch_execute(&create).await.unwrap();
    client
        .batch_execute(&format!("DROP ROLE {role}"))
        .await
        .unwrap();
    client
        .batch_execute("DO $$ BEGIN PERFORM 'hunter2'; END $$")
        .await
        .unwrap();

    let slow = all(&client).await;

    assert!(find(&slow, &create).is_some());
    let json = serde_json::to_string(&slow).unwrap();
    assert!(
        json.contains(&format!("create role {role} password ?")),
        "{json}"
    );
    assert!(!json.contains("hunter2"), "{json}");
}

#[tokio::test]
async fn a_statement_counts_once_whoever_sent_it_and_however_long_its_lists_are() {
    let database = TestDatabase::migrated().await;
    let app = connect(database.app_url()).await;
    let monitor = connect(database.monitor_url()).await;
    for client in [&app, &monitor] {
        for list in ["1", "1, 2", "1, 2, 3"] {
            let sql = format!("SELECT 7 AS counted_once WHERE 1 IN ({list})");
            client.query(&sql, &[]).await.unwrap();
        }
    }
    let slow = all(&monitor).await;
    let found = find(&slow, "SELECT 7 AS counted_once WHERE 1 IN (1)").unwrap();
    assert_eq!((found.calls, found.rows), (6, 6));
    assert_eq!(codes(&slow), [""; 0]);
}

#[tokio::test]
async fn a_role_without_the_right_is_told_how_much_it_does_not_see() {
    let database = TestDatabase::migrated().await;
    let owner = database.client().await;
    owner.query("SELECT 1 AS of_the_owner", &[]).await.unwrap();
    let app = connect(database.app_url()).await;
    app.query("SELECT 1 AS of_the_app", &[]).await.unwrap();

    let slow = all(&app).await;

    assert!(find(&slow, "SELECT 1 AS of_the_app").is_some());
    assert!(find(&slow, "SELECT 1 AS of_the_owner").is_none());
    assert!(
        slow.degraded
            .iter()
            .any(|it| matches!(it, Degradation::Hidden { statements } if *statements > 0)),
        "{:?}",
        slow.degraded
    );
    let json = serde_json::to_string(&slow).unwrap();
    assert!(json.contains(r#""code":"hidden","detail":""#), "{json}");
    assert!(json.contains("grant it `pg_read_all_stats`"), "{json}");
    assert!(!json.contains("insufficient"), "{json}");
}

#[tokio::test]
async fn without_the_extension_the_answer_says_so() {
    let (_database, client) = database("SELECT 1").await;
    let slow = all(&client).await;
    assert_eq!(slow.statements, []);
    assert_eq!(slow.degraded, [Degradation::NotInstalled]);
    assert!(
        slow.degraded[0]
            .to_string()
            .contains("CREATE EXTENSION pg_stat_statements")
    );
}

#[tokio::test]
async fn without_the_library_the_answer_says_so() {
    let (_database, client) = database(EXTENSION).await;
    // What the library does where it was not preloaded.
    let refuse = "
        CREATE FUNCTION refuse() RETURNS SETOF original LANGUAGE plpgsql AS $$ BEGIN
            RAISE 'pg_stat_statements must be loaded via shared_preload_libraries'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END $$;
        CREATE VIEW pg_stat_statements AS SELECT * FROM refuse()";
    replace_view(&client, refuse).await;
    let slow = all(&client).await;
    assert_eq!(slow.statements, []);
    assert_eq!(slow.degraded, [Degradation::NotPreloaded]);
}

#[tokio::test]
async fn without_any_right_the_answer_says_so() {
    let database = TestDatabase::migrated().await;
    let revoke = "REVOKE ALL ON pg_stat_statements FROM PUBLIC";
    database.client().await.batch_execute(revoke).await.unwrap();
    let app = connect(database.app_url()).await;
    let slow = all(&app).await;
    assert_eq!(slow.statements, []);
    assert_eq!(slow.degraded, [Degradation::Forbidden]);
}

#[tokio::test]
async fn an_extension_of_another_age_in_another_schema_is_understood() {
    let (_database, client) = database(EXTENSION).await;
    // The columns of 1.7, as far as they were renamed since.
    let old = "
        CREATE VIEW pg_stat_statements AS
        SELECT userid, dbid, queryid, query, calls, total_exec_time AS total_time,
               max_exec_time AS max_time, rows, shared_blks_hit, shared_blks_read
        FROM original;
        CREATE SCHEMA \"Weird \"\"s\"\"\";
        ALTER EXTENSION pg_stat_statements ADD VIEW pg_stat_statements;
        ALTER EXTENSION pg_stat_statements ADD VIEW original;
        ALTER EXTENSION pg_stat_statements SET SCHEMA \"Weird \"\"s\"\"\"";
    replace_view(&client, old).await;
    client.query("SELECT 1 AS seen", &[]).await.unwrap();

    let slow = all(&client).await;

    assert!(find(&slow, "SELECT 1 AS seen").is_some());
    assert_eq!(codes(&slow), [""; 0]);
}

#[tokio::test]
async fn an_extension_that_nobody_knows_is_reported() {
    let (_database, client) = database(EXTENSION).await;
    replace_view(&client, "CREATE VIEW pg_stat_statements AS SELECT 1 AS x").await;
    assert_eq!(all(&client).await.degraded, [Degradation::UnknownColumns]);
}

#[tokio::test]
async fn a_text_that_is_lost_or_long_is_reported_as_far_as_it_is_there() {
    let (_database, client) = database(EXTENSION).await;
    let view = "
        CREATE VIEW pg_stat_statements AS
        SELECT dbid, queryid, true AS toplevel, calls, rows, shared_blks_hit, shared_blks_read,
               total_exec_time, max_exec_time,
               CASE WHEN query LIKE '%lost_text%' THEN NULL
                    ELSE query || repeat(' AND true', 5000) END AS query
        FROM original WHERE query LIKE '%\\_text%' AND query LIKE 'SELECT%'";
    replace_view(&client, view).await;
    let tables = "CREATE TABLE lost_text (); CREATE TABLE long_text ()";
    client.batch_execute(tables).await.unwrap();
    client.query("SELECT FROM lost_text", &[]).await.unwrap();
    client.query("SELECT FROM long_text", &[]).await.unwrap();

    let slow = all(&client).await;

    assert_eq!(slow.statements.len(), 2, "{slow:?}");
    let (lost, long): (Vec<_>, Vec<_>) = slow.statements.iter().partition(|it| it.query.is_none());
    assert_eq!((lost.len(), long.len()), (1, 1));
    let text = long[0].query.as_deref().unwrap();
    assert!(
        text.len() <= 4096 && text.starts_with("select from long_text and true"),
        "{text}"
    );
    assert_eq!(long[0].fingerprint, None);
    assert_eq!(codes(&slow), ["texts_lost", "not_planned"]);
}

#[tokio::test]
async fn the_most_costly_statements_are_kept_when_there_are_too_many() {
    let (_database, client) = database(EXTENSION).await;
    let columns: Vec<_> = (0..250).map(|it| format!("c_{it} int")).collect();
    let selects: String = (0..250)
        .map(|it| format!("SELECT c_{it} FROM wide;"))
        .collect();
    let sql = format!("CREATE TABLE wide ({}); {selects}", columns.join(", "));
    client.batch_execute(&sql).await.unwrap();
    client.query("SELECT pg_sleep(0.2)", &[]).await.unwrap();

    let slow = all(&client).await;

    assert_eq!(slow.statements.len(), 100);
    assert!(slow.statements.is_sorted_by(|a, b| a.total >= b.total));
    assert!(find(&slow, "SELECT pg_sleep(1)").is_some());
    assert_eq!(codes(&slow), ["too_many"]);
}
