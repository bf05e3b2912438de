//! Plans of statements that were run.

use std::time::Duration;

use ruleiq_db_optimizer::{DatabaseOptimizer, Diagnosis, ExplainAnalyze, ExplainError};
use ruleiq_test_support::eventually;
use tokio_postgres::Client;

use crate::database;

const PATIENCE: Duration = Duration::from_secs(30);

/// `wide` has 2,000 pages; `a` and `b` are small.
const TABLES: &str = "
    CREATE TABLE wide (id int PRIMARY KEY, x int, same int, name text, pad char(200))
        WITH (fillfactor = 10, autovacuum_enabled = off);
    INSERT INTO wide SELECT it, it, it % 20, 'name ' || it, '' FROM generate_series(1, 6000) it;
    CREATE INDEX wide_x ON wide (x);
    CREATE INDEX wide_name ON wide (name);
    CREATE INDEX wide_same ON wide (same);
    CREATE TABLE a (x int, y int) WITH (autovacuum_enabled = off);
    INSERT INTO a SELECT it, it FROM generate_series(1, 1500) it;
    CREATE TABLE b (x int, y int) WITH (autovacuum_enabled = off);
    INSERT INTO b SELECT it, it FROM generate_series(1, 500) it;
    CREATE TABLE related (x int, y int) WITH (autovacuum_enabled = off);
    INSERT INTO related SELECT it % 20, it % 20 FROM generate_series(1, 10000) it;
    CREATE TABLE parted (at int, y int) PARTITION BY RANGE (at);
    CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
    CREATE TABLE part_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
    INSERT INTO parted SELECT it % 20, it FROM generate_series(1, 1000) it;
    SET max_parallel_workers_per_gather = 0;
    SET jit = off";

async fn explain(client: &Client, sql: &str) -> Diagnosis {
    let optimizer = DatabaseOptimizer::new(client);
    let explained = optimizer.explain_analyze(sql, ExplainAnalyze::default());
    explained.await.unwrap()
}

/// By these settings, the first statement shows what the rule is for and the second does not.
async fn check(client: &Client, code: &str, settings: &str, ill: &str, well: &str) {
    client
        .batch_execute(&format!("BEGIN; {settings}; COMMIT"))
        .await
        .unwrap();
    let found = explain(client, ill).await;
    let outline = found.plan.outline();
    let finding = found.findings.iter().find(|it| it.code == code);
    let finding =
        finding.unwrap_or_else(|| panic!("no `{code}` in {:?}\n{outline}", found.findings));
    assert!(!finding.seen.is_empty() && !finding.why.is_empty() && !finding.action.is_empty());
    let cured = explain(client, well).await;
    let still = cured.findings.iter().find(|it| it.code == code);
    assert_eq!(still, None, "{}", cured.plan.outline());
    client
        .batch_execute("RESET ALL; SET jit = off; SET max_parallel_workers_per_gather = 0")
        .await
        .unwrap();
}

#[tokio::test]
async fn scans_that_throw_rows_away_are_found() {
    let (_database, client) = database(TABLES).await;
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let check = async |code, settings, ill, well| check(&client, code, settings, ill, well).await;
    check(
        "filtered_scan",
        "SELECT 1",
        "SELECT id FROM wide WHERE pad = 'x'",
        "SELECT id FROM wide WHERE x = 5",
    )
    .await;
    check(
        "filtered_index",
        "SET enable_seqscan = off",
        "SELECT id FROM wide WHERE x > 0 AND pad = 'x'",
        "SELECT id FROM wide WHERE x > 5990 AND pad = 'x'",
    )
    .await;
    check(
        "lossy_bitmap",
        "SET work_mem = '64kB'; SET enable_seqscan = off; SET enable_indexscan = off",
        "SELECT pad FROM wide WHERE x > 0",
        "SELECT pad FROM wide WHERE x > 5900",
    )
    .await;
    check(
        "implicit_cast",
        "SELECT 1",
        "SELECT pad FROM wide WHERE x::text = '5'",
        "SELECT pad FROM wide WHERE pad::text = '5'",
    )
    .await;
    check(
        "function_on_column",
        "SELECT 1",
        "SELECT pad FROM wide WHERE lower(name) = 'name 5'",
        "SELECT pad FROM wide WHERE lower(pad) = 'name 5'",
    )
    .await;
    check(
        "or_condition",
        "SELECT 1",
        "SELECT id FROM wide WHERE x = 5 OR pad = 'x'",
        "SELECT id FROM wide WHERE x = 5 OR x = 6",
    )
    .await;
    check(
        "leading_wildcard",
        "SELECT 1",
        "SELECT id FROM wide WHERE name LIKE '%5'",
        "SELECT id FROM wide WHERE pad LIKE 'x%'",
    )
    .await;
    check(
        "partition_pruning",
        "SELECT 1",
        "SELECT * FROM parted WHERE y = 5",
        "SELECT * FROM parted WHERE at = 5",
    )
    .await;
}

#[tokio::test]
async fn joins_and_sub_queries_that_go_round_and_round_are_found() {
    let (_database, client) = database(TABLES).await;
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let check = async |code, settings, ill, well| check(&client, code, settings, ill, well).await;
    check(
        "join_filter",
        "SELECT 1",
        "SELECT FROM a JOIN b ON abs(a.x - b.x) > 9999",
        "SELECT FROM a JOIN b ON a.x = b.x",
    )
    .await;
    let loops = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
                 SET enable_memoize = off";
    check(
        "nested_loop",
        loops,
        "SELECT FROM a LEFT JOIN b ON a.x = b.x",
        "SELECT FROM a JOIN b ON a.x = b.x WHERE a.x < 10",
    )
    .await;
    let each = "SELECT (SELECT count(*) FROM b WHERE b.y < a.y) FROM a";
    let once = "SELECT (SELECT count(*) FROM b) FROM a";
    check("repeated_subplan", "SELECT 1", each, once).await;
    check("correlated_subquery", "SELECT 1", each, once).await;
    check(
        "not_in",
        "SELECT 1",
        "SELECT FROM a WHERE x NOT IN (SELECT x FROM b)",
        "SELECT FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.x = a.x)",
    )
    .await;
    check(
        "misestimate",
        "SELECT 1",
        "SELECT FROM related WHERE x = 5 AND y = 5",
        "SELECT FROM related WHERE x = 5",
    )
    .await;
    check(
        "offset_paging",
        "SELECT 1",
        "SELECT x FROM a ORDER BY x LIMIT 5 OFFSET 1200",
        "SELECT x FROM a WHERE x > 1200 ORDER BY x LIMIT 5",
    )
    .await;
}

#[tokio::test]
async fn what_goes_to_disk_or_lacks_workers_is_found() {
    let (_database, client) = database(TABLES).await;
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let check = async |code, settings, ill, well| check(&client, code, settings, ill, well).await;
    check(
        "sort_spill",
        "SET work_mem = '64kB'",
        "SELECT it FROM generate_series(1, 50000) it ORDER BY it DESC",
        "SELECT it FROM generate_series(1, 50) it ORDER BY it DESC",
    )
    .await;
    check(
        "hash_spill",
        "SET work_mem = '64kB'; SET enable_mergejoin = off; SET enable_nestloop = off",
        "SELECT FROM related r JOIN wide w ON w.id = r.x",
        "SELECT FROM a JOIN b ON a.x = b.x WHERE b.x < 10 AND a.x < 10",
    )
    .await;
    let parallel = "SET max_parallel_workers = 0; SET max_parallel_workers_per_gather = 2;
                    SET enable_indexonlyscan = off;
                    SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
                    SET min_parallel_table_scan_size = 0";
    check("workers", parallel, "SELECT count(*) FROM wide", "SELECT 1").await;
    client
        .batch_execute("SET enable_bitmapscan = off")
        .await
        .unwrap();
    let odd = explain(&client, "SELECT FROM a").await;
    let found = odd
        .findings
        .iter()
        .find(|it| it.code == "planner_settings")
        .unwrap();
    assert_eq!(found.seen, "enable_bitmapscan = off");
}

#[tokio::test]
async fn pages_that_vacuum_has_not_seen_and_tables_that_analyze_has_not_are_found() {
    let (_database, client) = database(TABLES).await;
    let flush = "SELECT pg_stat_force_next_flush()";
    client.query(flush, &[]).await.unwrap();
    client
        .batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        .await
        .unwrap();
    let scan = "SELECT x FROM wide WHERE x > 0";
    let codes = async || -> Vec<&'static str> {
        explain(&client, scan)
            .await
            .findings
            .iter()
            .map(|it| it.code)
            .collect()
    };
    eventually(PATIENCE, || async {
        codes().await.contains(&"stale_statistics")
    })
    .await;
    assert!(codes().await.contains(&"heap_fetches"));
    // Rows whose commit is not on disk yet are not marked as visible to all: the next one does.
    eventually(PATIENCE, || async {
        client.batch_execute("VACUUM ANALYZE wide").await.unwrap();
        let codes = codes().await;
        !codes.contains(&"stale_statistics") && !codes.contains(&"heap_fetches")
    })
    .await;
}

#[tokio::test]
async fn a_foreign_key_without_an_index_is_found_where_it_takes_the_time_and_nothing_is_written() {
    let (_database, client) = database(
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child (parent int REFERENCES parent ON DELETE CASCADE);
         INSERT INTO parent SELECT generate_series(1, 500);
         INSERT INTO child SELECT it % 400 + 1 FROM generate_series(1, 20000) it;
         CREATE SEQUENCE seq",
    )
    .await;
    let optimizer = DatabaseOptimizer::new(&client);
    let delete = "DELETE FROM parent WHERE id > 400";

    let refused = optimizer
        .explain_analyze(delete, ExplainAnalyze::default())
        .await;

    assert!(matches!(refused, Err(ExplainError::Writes)), "{refused:?}");
    let options = ExplainAnalyze {
        allow_writes: true,
        ..ExplainAnalyze::default()
    };
    let found = optimizer.explain_analyze(delete, options).await.unwrap();
    let trigger = found
        .findings
        .iter()
        .find(|it| it.code == "triggers")
        .unwrap();
    assert_eq!(trigger.subject, "trigger \"child_parent_fkey\"");
    let left = client
        .query_one("SELECT count(*) FROM parent", &[])
        .await
        .unwrap();
    assert_eq!(left.get::<_, i64>(0), 500);
}

#[tokio::test]
async fn a_statement_that_is_run_is_bounded_alone_and_in_no_transaction_of_others() {
    let (_database, mut client) = database("CREATE TABLE t (x int)").await;
    let explain = async |sql: &str, timeout| {
        let options = ExplainAnalyze {
            timeout,
            ..ExplainAnalyze::default()
        };
        DatabaseOptimizer::new(&client)
            .explain_analyze(sql, options)
            .await
    };
    let slow = explain("SELECT pg_sleep(600)", Duration::from_millis(50)).await;
    assert!(
        matches!(slow, Err(ExplainError::TimedOut { .. })),
        "{slow:?}"
    );
    let limit = Duration::from_secs(30);
    let two = explain("SELECT 1; DROP TABLE t", limit).await;
    assert!(matches!(two, Err(ExplainError::Statement(_))), "{two:?}");
    let error = explain("SELECT 'hunter2' FROM nothing", limit)
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
    explain("TABLE t", limit).await.unwrap();

    let transaction = client.transaction().await.unwrap();
    let nested = DatabaseOptimizer::new(&transaction)
        .explain_analyze("SELECT 1", ExplainAnalyze::default())
        .await;
    assert!(
        matches!(nested, Err(ExplainError::InTransaction)),
        "{nested:?}"
    );
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let left = client
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(left.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn nothing_is_wrong_with_a_row_by_its_key_and_no_constant_is_told() {
    let (_database, client) = database(TABLES).await;
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let well = explain(&client, "SELECT x FROM wide WHERE id = 5").await;
    assert_eq!(well.findings, []);
    let ill = explain(
        &client,
        "SELECT x FROM wide WHERE pad = 'hunter2' OR name LIKE '%hunter2'",
    )
    .await;
    assert!(!ill.findings.is_empty());
    assert!(
        !serde_json::to_string(&ill.findings)
            .unwrap()
            .contains("hunter2")
    );
    assert!(!ill.plan.outline().contains("hunter2"));
}
