//! Tables: dead rows, statistics, updates, keys.

use std::time::Duration;

use ruleiq_db_optimizer::HealthLimits;
use ruleiq_test_support::eventually;
use tokio_postgres::Client;

use super::{find, health, health_by, subjects};
use crate::database;

const PATIENCE: Duration = Duration::from_secs(30);

async fn flush(client: &Client) {
    let flush = "SELECT pg_stat_force_next_flush()";
    client.query(flush, &[]).await.unwrap();
}

#[tokio::test]
async fn dead_rows_beyond_the_tables_own_threshold_are_reported() {
    let (_database, client) = database(
        r#"CREATE TABLE "Lagging" (x int) WITH (autovacuum_enabled = off,
               autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0);
           CREATE TABLE patient (x int) WITH (autovacuum_enabled = off,
               autovacuum_vacuum_threshold = 1000);
           INSERT INTO "Lagging" SELECT generate_series(1, 100);
           INSERT INTO patient SELECT generate_series(1, 100);
           DELETE FROM "Lagging";
           DELETE FROM patient"#,
    )
    .await;
    flush(&client).await;
    eventually(PATIENCE, || async {
        !subjects(&health(&client).await, "vacuum_lag").is_empty()
    })
    .await;

    let report = health(&client).await;

    assert_eq!(subjects(&report, "vacuum_lag"), [r#"public."Lagging""#]);
    let found = find(&report, "vacuum_lag", r#"public."Lagging""#).unwrap();
    assert_eq!(found.numbers["dead_rows"], 100.0);
    assert_eq!(found.numbers["threshold_rows"], 10.0);
    assert!(found.seen.ends_with("but is off"), "{found}");
    assert_eq!(
        found.sql.as_deref(),
        Some(r#"VACUUM (ANALYZE) public."Lagging""#)
    );
    client
        .batch_execute(found.sql.as_deref().unwrap())
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        subjects(&health(&client).await, "vacuum_lag").is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_table_that_changed_since_it_was_analyzed_is_reported_until_it_is() {
    let (_database, client) = database(
        "CREATE TABLE t (x int) WITH (autovacuum_enabled = off);
         INSERT INTO t SELECT generate_series(1, 1000)",
    )
    .await;
    flush(&client).await;
    eventually(PATIENCE, || async {
        !subjects(&health(&client).await, "stale_statistics").is_empty()
    })
    .await;
    let report = health(&client).await;
    let found = find(&report, "stale_statistics", "public.t").unwrap();
    assert_eq!(found.numbers["changed_rows"], 1000.0);
    client
        .batch_execute(found.sql.as_deref().unwrap())
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        subjects(&health(&client).await, "stale_statistics").is_empty()
    })
    .await;
}

#[tokio::test]
async fn updates_of_an_indexed_column_are_told_from_others() {
    let (_database, client) = database(
        "CREATE TABLE counted (id int PRIMARY KEY, x int) WITH (fillfactor = 50);
         CREATE INDEX ON counted (x);
         CREATE TABLE plain (id int PRIMARY KEY, x int) WITH (fillfactor = 50);
         INSERT INTO counted SELECT it, 0 FROM generate_series(1, 100) it;
         INSERT INTO plain SELECT it, 0 FROM generate_series(1, 100) it;
         UPDATE counted SET x = x + 1;
         UPDATE plain SET x = x + 1",
    )
    .await;
    flush(&client).await;
    let limits = HealthLimits {
        hot_update_count: 100,
        ..HealthLimits::default()
    };
    eventually(PATIENCE, || async {
        !subjects(&health_by(&client, &limits).await, "hot_updates").is_empty()
    })
    .await;
    let report = health_by(&client, &limits).await;
    assert_eq!(subjects(&report, "hot_updates"), ["public.counted"]);
    let found = find(&report, "hot_updates", "public.counted").unwrap();
    assert_eq!(
        (found.numbers["hot_ratio"], found.numbers["indexes"]),
        (0.0, 2.0)
    );
    // The pages have room already.
    assert_eq!(found.sql, None);
    assert_eq!(subjects(&health(&client).await, "hot_updates"), [""; 0]);
}

#[tokio::test]
async fn tables_without_a_key_are_reported_with_the_index_that_can_become_it() {
    let (_database, client) = database(
        "CREATE TABLE keyed (id int PRIMARY KEY);
         CREATE TABLE bare (id int);
         CREATE TABLE nearly (id int NOT NULL, x int UNIQUE);
         CREATE UNIQUE INDEX \"Nearly id\" ON nearly (id);
         CREATE UNIQUE INDEX nullable ON bare (id);
         CREATE TABLE parted (id int) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (2);
         CREATE TEMP TABLE passing (id int)",
    )
    .await;
    let report = health(&client).await;
    let mut found = subjects(&report, "no_primary_key");
    found.sort_unstable();
    assert_eq!(found, ["public.bare", "public.nearly", "public.parted"]);
    assert_eq!(
        find(&report, "no_primary_key", "public.bare").unwrap().sql,
        None
    );
    let nearly = find(&report, "no_primary_key", "public.nearly").unwrap();
    let sql = nearly.sql.as_deref().unwrap();
    assert_eq!(
        sql,
        r#"ALTER TABLE public.nearly ADD PRIMARY KEY USING INDEX "Nearly id""#
    );
    client.batch_execute(sql).await.unwrap();
    assert_eq!(
        find(&health(&client).await, "no_primary_key", "public.nearly"),
        None
    );
}

#[tokio::test]
async fn ages_are_compared_with_what_there_is() {
    let (database, client) = database("CREATE TABLE t (id int PRIMARY KEY)").await;
    assert_eq!(subjects(&health(&client).await, "wraparound"), [""; 0]);
    let limits = HealthLimits {
        wraparound: 0.0,
        ..HealthLimits::default()
    };
    let report = health_by(&client, &limits).await;
    let ours = format!("database {}", database.name());
    let found = find(&report, "wraparound", &ours).unwrap();
    assert!(found.numbers["share"] < 0.4, "{found}");
    // Only so many are listed, and that is said.
    assert_eq!(subjects(&report, "wraparound").len(), 50);
    assert!(super::unseen(&report).contains(&"too_many"));
}
