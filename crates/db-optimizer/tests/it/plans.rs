//! Slow statements with their plans, and what has become slower.

use std::time::Duration;

use ruleiq_db_optimizer::{Baseline, DatabaseOptimizer, NotPlanned, SlowQueries, SlowQuery};
use ruleiq_query::{Fingerprint, Queries};
use ruleiq_test_support::TestDatabase;

use crate::{connect, database};

async fn all(client: &impl Queries) -> SlowQueries {
    let optimizer = DatabaseOptimizer::new(client);
    optimizer
        .analyze_slow_queries(Duration::ZERO)
        .await
        .unwrap()
}

fn find<'a>(slow: &'a SlowQueries, sql: &str) -> &'a SlowQuery {
    let fingerprint = Some(Fingerprint::of(sql));
    let mut statements = slow.statements.iter();
    statements.find(|it| it.fingerprint == fingerprint).unwrap()
}

#[tokio::test]
async fn a_slow_statement_comes_with_its_plan_and_what_is_wrong() {
    let (_database, client) = database(
        "CREATE EXTENSION pg_stat_statements;
         CREATE TABLE wide (x int, pad char(200)) WITH (fillfactor = 10, autovacuum_enabled = off);
         INSERT INTO wide SELECT it, '' FROM generate_series(1::int, 6000) it;
         ANALYZE wide",
    )
    .await;
    let sql = "SELECT pad FROM wide WHERE x = $1";
    client.query(sql, &[&5]).await.unwrap();

    let slow = all(&client).await;

    let found = find(&slow, sql);
    let plan = found.plan.as_deref().unwrap();
    assert!(plan.starts_with("Seq Scan on public.wide (cost "), "{plan}");
    assert!(found.estimated_cost.unwrap() > 1_000.0);
    assert_eq!(found.not_planned, None);
    assert_eq!(
        found.findings[0].code, "filtered_scan",
        "{:?}",
        found.findings
    );
    // Commands have no plan, and nobody misses it.
    let create = find(&slow, "ANALYZE wide");
    assert_eq!(
        (&create.plan, &create.not_planned),
        (&None, &Some(NotPlanned::Command))
    );
    assert!(
        !slow.degraded.iter().any(|it| it.code() == "not_planned"),
        "{:?}",
        slow.degraded
    );
}

#[tokio::test]
async fn texts_that_only_a_constant_made_right_are_planned_all_the_same() {
    let (_database, client) = database(
        "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int, at timestamptz, tags jsonb)",
    )
    .await;
    let statements = [
        "SELECT FROM t WHERE at > now() - interval '1 day'",
        "SELECT extract(year FROM at) FROM t",
        "SELECT jsonb_build_object('a', 'b') FROM t",
        "SELECT FROM t WHERE tags ? 'x' AND id IN (1, 2, 3)",
        "SELECT date '2026-01-01' FROM t LIMIT 5",
        "WITH gone AS (DELETE FROM t WHERE id = 5 RETURNING id) SELECT * FROM gone",
        "INSERT INTO t (id) VALUES (5) RETURNING id",
    ];
    for sql in statements {
        client.query(sql, &[]).await.unwrap();
    }
    let count = "SELECT count(*) FROM t";
    let before: i64 = client.query_one(count, &[]).await.unwrap().get(0);

    let slow = all(&client).await;

    for sql in statements {
        // The server takes the name of the field for a constant, too.
        let found = find(&slow, &sql.replace("year FROM", "$1 FROM"));
        assert!(
            found.plan.is_some(),
            "{sql}: {:?} {:?}",
            found.query,
            found.not_planned
        );
    }
    let after: i64 = client.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!((before, after), (1, 1));
    // Nothing is left behind on the connection.
    let left = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'ruleiq%'";
    let left: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    let mode = client.query_one("SHOW plan_cache_mode", &[]).await.unwrap();
    assert_eq!(mode.get::<_, &str>(0), "auto");
}

#[tokio::test]
async fn what_a_role_may_not_read_is_counted_and_costs_nothing_else() {
    let database = TestDatabase::migrated().await;
    let owner = database.client().await;
    owner
        .batch_execute("CREATE TABLE secret (x int)")
        .await
        .unwrap();
    owner.query("SELECT x FROM secret", &[]).await.unwrap();
    owner.query("SELECT 1 AS open_to_all", &[]).await.unwrap();

    let slow = all(&connect(database.monitor_url()).await).await;

    let secret = find(&slow, "SELECT x FROM secret");
    assert_eq!(secret.not_planned, Some(NotPlanned::Forbidden));
    assert!(find(&slow, "SELECT 1 AS open_to_all").plan.is_some());
    assert!(slow.degraded.iter().any(|it| it.code() == "not_planned"));
}

#[tokio::test]
async fn the_callers_transaction_goes_on() {
    let (_database, mut client) =
        database("CREATE EXTENSION pg_stat_statements; CREATE TABLE t (x int); SELECT FROM t")
            .await;
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    let slow = all(&transaction).await;
    assert!(find(&slow, "SELECT FROM t").plan.is_some());
    transaction
        .execute("INSERT INTO t VALUES (2)", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let count = client
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    assert_eq!(count.get::<_, i64>(0), 2);
}

#[tokio::test]
async fn a_statement_that_has_become_slower_is_found_by_its_later_runs_alone() {
    let (_database, client) = database("CREATE EXTENSION pg_stat_statements").await;
    let sql = "SELECT pg_sleep($1::float8)";
    let steady = "SELECT pg_sleep($1::float8), 'steady'";
    let run = async |sql: &str, seconds: f64| {
        for _ in 0..5 {
            client.query(sql, &[&seconds]).await.unwrap();
        }
    };
    run(sql, 0.001).await;
    run(steady, 0.03).await;
    let baseline = all(&client).await.baseline();
    let stored = serde_json::to_string(&baseline).unwrap();
    let baseline: Baseline = serde_json::from_str(&stored).unwrap();
    assert_eq!(all(&client).await.regressions(&baseline), []);

    run(sql, 0.03).await;
    run(steady, 0.03).await;
    let regressions = all(&client).await.regressions(&baseline);

    let [found] = regressions.as_slice() else {
        panic!("{regressions:?}")
    };
    assert_eq!(found.fingerprint, Fingerprint::of(sql).to_string());
    assert_eq!(found.calls, 5);
    assert!(
        found.after >= Duration::from_millis(30) && found.before < found.after,
        "{found:?}"
    );
}
