//! The server: cache, connections, temporary files, settings.

use std::time::Duration;

use ruleiq_db_optimizer::{HealthLimits, Severity};
use ruleiq_test_support::eventually;

use super::{find, health, health_by, subjects};
use crate::{connect, database};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_share_of_hits_below_the_limit_is_reported() {
    let (database, client) = database("SELECT 1").await;
    let limits = HealthLimits {
        cache_hit_ratio: 1.1,
        cache_blocks: 1,
        ..HealthLimits::default()
    };
    client
        .query("SELECT pg_stat_force_next_flush()", &[])
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        !subjects(&health_by(&client, &limits).await, "cache_hits").is_empty()
    })
    .await;
    let report = health_by(&client, &limits).await;
    let found = find(&report, "cache_hits", database.name()).unwrap();
    assert!((0.0..=1.0).contains(&found.numbers["hit_ratio"]), "{found}");
    // So few blocks say nothing.
    assert_eq!(subjects(&health(&client).await, "cache_hits"), [""; 0]);
}

#[tokio::test]
async fn a_share_of_connections_beyond_the_limit_is_reported() {
    let (_database, client) = database("SELECT 1").await;
    let limits = HealthLimits {
        connections_used: 0.0,
        ..HealthLimits::default()
    };
    let report = health_by(&client, &limits).await;
    let found = find(&report, "connections", "the server").unwrap();
    assert!(found.numbers["used"] >= 1.0, "{found}");
    let never = HealthLimits {
        connections_used: 1e9,
        ..HealthLimits::default()
    };
    assert_eq!(
        subjects(&health_by(&client, &never).await, "connections"),
        [""; 0]
    );
}

#[tokio::test]
async fn what_did_not_fit_into_memory_is_reported() {
    let (database, client) = database("SELECT 1").await;
    let limits = HealthLimits {
        temporary_bytes: 1,
        ..HealthLimits::default()
    };
    assert_eq!(
        subjects(&health_by(&client, &limits).await, "temporary_files"),
        [""; 0]
    );
    client
        .batch_execute(
            "SET work_mem = '64kB';
             SELECT count(*) FROM (SELECT it FROM generate_series(1, 100000) it ORDER BY it DESC) x;
             SELECT pg_stat_force_next_flush()",
        )
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        !subjects(&health_by(&client, &limits).await, "temporary_files").is_empty()
    })
    .await;
    let report = health_by(&client, &limits).await;
    let found = find(&report, "temporary_files", database.name()).unwrap();
    assert!(found.numbers["bytes"] > 100_000.0, "{found}");
    assert!(found.seen.ends_with("`work_mem` is 64kB"), "{found}");
}

#[tokio::test]
async fn a_setting_is_reported_while_it_is_worth_a_look() {
    let (database, client) = database("SELECT 1").await;
    let set = format!(
        "ALTER DATABASE {} SET random_page_cost = 1.1;
         ALTER DATABASE {0} SET enable_seqscan = off;
         ALTER DATABASE {0} SET synchronous_commit = off",
        database.name()
    );
    let before = health(&client).await;
    assert!(find(&before, "setting", "random_page_cost").is_some());
    assert!(find(&before, "setting", "enable_seqscan").is_none());
    client.batch_execute(&set).await.unwrap();

    let report = health(&connect(database.url()).await).await;

    assert!(find(&report, "setting", "random_page_cost").is_none());
    let planner = find(&report, "setting", "enable_seqscan").unwrap();
    assert_eq!(planner.severity, Severity::Warning);
    assert_eq!(planner.seen, "`enable_seqscan` is off, by database");
    assert!(find(&report, "setting", "synchronous_commit").is_some());
    assert!(
        report
            .findings
            .is_sorted_by(|a, b| a.severity >= b.severity)
    );
}
