use prometheus::{Registry, TextEncoder};
use ruleiq_pools::{BulkheadConfig, PoolManager, PoolMetrics, PostgresConfig};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{TestDatabase, eventually};

use crate::{
    fixture::{PATIENCE, single, stats},
    replicas::{Pair, quick},
};

fn text(registry: &Registry) -> String {
    TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap()
}

fn assert_lines(registry: &Registry, lines: &[&str]) {
    let text = text(registry);
    for line in lines {
        assert!(text.lines().any(|it| it == *line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn what_happens_is_counted_and_what_is_there_is_shown() {
    let database = TestDatabase::empty().await;
    let registry = Registry::new();
    let metrics = PoolMetrics::register(&registry).unwrap();
    let pools = PoolManager::builder()
        .postgres(PostgresConfig {
            bulkheads: vec![BulkheadConfig {
                name: "reports".to_owned(),
                share: 0.5,
            }],
            ..single(database.url())
        })
        .metrics(metrics)
        .build()
        .unwrap();

    let session = pools.session().await.unwrap();
    session.query("SELECT 1", &[]).await.unwrap();
    session.batch_execute("DEALLOCATE ALL").await.unwrap();
    session.query("SELECT 1", &[]).await.unwrap();
    session.driver().simple_query("SELECT 1").await.unwrap();
    assert_lines(
        &registry,
        &[
            r#"ruleiq_pools_connections{resource="database",state="checked_out"} 1"#,
            r#"ruleiq_pools_connections{resource="database",state="checked_in"} 0"#,
            r#"ruleiq_pools_connections_limit{resource="database"} 1"#,
            r#"ruleiq_pools_waiting{resource="database"} 0"#,
            "ruleiq_pools_checkout_wait_seconds_count 1",
            "ruleiq_pools_connects_total 1",
            "ruleiq_pools_driver_uses_total 1",
            "ruleiq_pools_statements_healed_total 1",
            r#"ruleiq_pools_statement_lookups_total{result="hit"} 1"#,
            r#"ruleiq_pools_statement_lookups_total{result="miss"} 1"#,
            r#"ruleiq_pools_oldest_wait_seconds{resource="database"} 0"#,
            "ruleiq_pools_oldest_transaction_seconds 0",
            r#"ruleiq_pools_bulkhead_connections{bulkhead="reports"} 0"#,
            r#"ruleiq_pools_bulkhead_waiting{bulkhead="reports"} 0"#,
        ],
    );
    let statements = pools.stats().statements.unwrap();
    assert_eq!(
        (statements.kept, statements.hits, statements.misses),
        (1, 1, 1)
    );
    assert_eq!(statements.hit_rate(), Some(0.5));

    session.batch_execute("BEGIN").await.unwrap();
    eventually(PATIENCE, || async {
        !text(&registry).contains("ruleiq_pools_oldest_transaction_seconds 0\n")
    })
    .await;
    session.batch_execute("COMMIT").await.unwrap();

    drop(session);
    eventually(PATIENCE, || async { stats(&pools).checked_in == 1 }).await;
    pools.close().await;
    drop(pools.session().await.unwrap_err());
    assert_lines(
        &registry,
        &[
            r#"ruleiq_pools_connections{resource="database",state="checked_in"} 0"#,
            r#"ruleiq_pools_connections_discarded_total{reason="closed"} 1"#,
            r#"ruleiq_pools_checkouts_failed_total{reason="closed"} 1"#,
            // Those of a connection that is no more count too.
            r#"ruleiq_pools_statement_lookups_total{result="hit"} 1"#,
        ],
    );

    drop(pools);
    assert!(!text(&registry).contains("ruleiq_pools_connections{"));
}

#[tokio::test]
async fn what_becomes_of_reads_is_shown() {
    let pair = Pair::start().await;
    let registry = Registry::new();
    let pools = PoolManager::builder()
        .postgres(pair.config(quick()))
        .metrics(PoolMetrics::register(&registry).unwrap())
        .build()
        .unwrap();
    let reader = pools.reader();
    eventually(PATIENCE, || async {
        reader.query("SELECT 1", &[]).await.is_ok()
            && pools.stats().reader.is_some_and(|it| it.shared > 0)
            && pools
                .read_session()
                .await
                .is_ok_and(|it| !it.is_on_primary())
    })
    .await;
    let scope = Scope::builder().build().reading_primary();
    drop(scope.run(pools.read_session()).await.unwrap());

    let text = text(&registry);
    let value = |series: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        let line = line.unwrap_or_else(|| panic!("no `{series}` in\n{text}"));
        line.trim().parse::<f64>().unwrap()
    };
    for series in [
        r#"ruleiq_pools_reads_total{way="shared"}"#,
        r#"ruleiq_pools_reads_total{way="unproven"}"#,
        "ruleiq_pools_reader_connections",
        "ruleiq_pools_reader_served_total",
        r#"ruleiq_pools_reads_on_primary_total{reason="wanted"}"#,
    ] {
        assert!(value(series) > 0.0, "{series} in\n{text}");
    }
    for series in [
        r#"ruleiq_pools_reads_total{way="failed"}"#,
        "ruleiq_pools_reader_in_flight",
        "ruleiq_pools_reader_slow_statements",
        "ruleiq_pools_reader_stalled_total",
        r#"ruleiq_pools_causal_tokens_refused_total{reason="lost"}"#,
    ] {
        assert!(value(series).abs() < f64::EPSILON, "{series} in\n{text}");
    }
    let standby = pools.stats().replicas;
    let standby = standby.iter().find(|it| it.reads > 0).unwrap();
    for family in ["up", "lag_bytes", "lag_seconds", "reads_total"] {
        let series = format!(
            "ruleiq_pools_replica_{family}{{server=\"{}\"}}",
            standby.server
        );
        assert!(value(&series) >= 0.0, "{series}");
    }
}
