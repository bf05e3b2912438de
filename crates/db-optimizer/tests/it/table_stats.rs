//! What is counted about one table.

use std::time::Duration;

use ruleiq_db_optimizer::{DatabaseOptimizer, TableStats};
use ruleiq_query::Queries;
use ruleiq_test_support::{TestDatabase, eventually};

use crate::{connect, database};

const PATIENCE: Duration = Duration::from_secs(30);

async fn stats(client: &impl Queries, name: &str) -> Option<TableStats> {
    let optimizer = DatabaseOptimizer::new(client);
    optimizer.table_stats(name).await.unwrap()
}

#[tokio::test]
async fn a_table_is_counted() {
    let (_database, client) = database(
        "CREATE TABLE t (id int PRIMARY KEY, x int) WITH (autovacuum_enabled = off);
         CREATE INDEX t_x ON t (x) WHERE x > 0;
         INSERT INTO t SELECT it, it FROM generate_series(1, 1000) it",
    )
    .await;
    let fresh = stats(&client, "t").await.unwrap();
    assert_eq!((fresh.last_vacuum, fresh.last_analyze), (None, None));
    client
        .batch_execute("DELETE FROM t WHERE x % 10 = 0")
        .await
        .unwrap();
    client
        .batch_execute("SET enable_seqscan = off")
        .await
        .unwrap();
    client
        .query("SELECT FROM t WHERE id = 201", &[])
        .await
        .unwrap();
    // What is passed on after ANALYZE would be added to what that has counted.
    let flush = "SELECT pg_stat_force_next_flush()";
    client.query(flush, &[]).await.unwrap();
    eventually(PATIENCE, || async {
        stats(&client, "t").await.unwrap().index_scans > 0
    })
    .await;
    client.batch_execute("ANALYZE t").await.unwrap();

    let t = stats(&client, "t").await.unwrap();
    assert_eq!((t.table.as_str(), t.partitions), ("public.t", None));
    assert_eq!((t.rows_estimate, t.live_rows, t.dead_rows), (900, 900, 100));
    assert_eq!(
        (t.rows_inserted, t.rows_deleted, t.rows_updated),
        (1000, 100, 0)
    );
    assert!(
        t.sequential_scans > 0 && t.sequential_rows_read >= 1000,
        "{t:?}"
    );
    assert!(t.last_analyze.is_some() && t.last_vacuum.is_none(), "{t:?}");
    let index_bytes: u64 = t.indexes.iter().map(|it| it.bytes).sum();
    assert_eq!(t.index_bytes, index_bytes);
    assert!(
        t.table_bytes >= 8192 && t.total_bytes >= t.table_bytes + t.index_bytes,
        "{t:?}"
    );
    let [key, partial] = t.indexes.as_slice() else {
        panic!("{t:?}")
    };
    assert_eq!(
        (key.name.as_str(), key.is_primary, key.is_unique),
        ("t_pkey", true, true)
    );
    assert_eq!((partial.name.as_str(), partial.is_primary), ("t_x", false));
    assert!(partial.definition.ends_with("WHERE (x > 0)"), "{partial:?}");
    assert!(key.is_valid && partial.is_valid);
    assert_eq!(key.scans, t.index_scans);
}

#[tokio::test]
async fn a_partitioned_table_is_the_sum_of_its_partitions() {
    let (_database, client) = database(
        "CREATE TABLE t (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
         CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         INSERT INTO t SELECT it, date '2025-01-01' + it FROM generate_series(0, 729) it;
         ANALYZE t",
    )
    .await;
    let whole = stats(&client, "t").await.unwrap();
    let (one, two) = (
        stats(&client, "t_1").await.unwrap(),
        stats(&client, "t_2").await.unwrap(),
    );
    assert_eq!(whole.partitions, Some(2));
    assert_eq!((one.rows_estimate, whole.rows_estimate), (365, 730));
    assert_eq!(whole.table_bytes, one.table_bytes + two.table_bytes);
    assert_eq!(whole.indexes.len(), 1);
    assert_eq!(whole.indexes[0].bytes, one.index_bytes + two.index_bytes);
}

#[tokio::test]
async fn a_name_is_found_as_in_sql() {
    let (_database, client) = database(
        "CREATE SCHEMA \"Other\";
         CREATE TABLE t (x int);
         CREATE TABLE \"Other\".\"T\" (x int);
         CREATE TABLE \"Other\".t (x int);
         CREATE MATERIALIZED VIEW \"Ansicht ä\" AS SELECT 1 AS x;
         CREATE VIEW v AS SELECT 1 AS x;
         CREATE SEQUENCE s",
    )
    .await;
    let named = async |name: &str| stats(&client, name).await.map(|it| it.table);
    assert_eq!(named("T").await.as_deref(), Some("public.t"));
    assert_eq!(named("PUBLIC.t").await.as_deref(), Some("public.t"));
    assert_eq!(named("\"Other\".t").await.as_deref(), Some("\"Other\".t"));
    assert_eq!(
        named("\"Other\".\"T\"").await.as_deref(),
        Some("\"Other\".\"T\"")
    );
    assert_eq!(
        named("\"Ansicht ä\"").await.as_deref(),
        Some("public.\"Ansicht ä\"")
    );
    for unknown in [
        "v",
        "s",
        "\"T\"",
        "other.t",
        "public.\"T\"",
        "no_such_table",
    ] {
        assert_eq!(named(unknown).await, None, "{unknown}");
    }
    client
        .batch_execute("SET search_path = \"Other\"")
        .await
        .unwrap();
    assert_eq!(named("t").await.as_deref(), Some("\"Other\".t"));
}

#[tokio::test]
async fn any_text_is_a_parameter() {
    let (_database, client) = database("CREATE TABLE t (x int)").await;
    let texts = [
        "",
        "t; DROP TABLE t",
        "t'",
        "'t'",
        "t--",
        "\"",
        "\"t",
        "a.b.c.d",
        ".",
        "\0",
        "t\0",
        "\u{feff}t",
        "%",
        "$1",
        "1",
        "\"'; DROP TABLE t; --\"",
        "pg_catalog.\"x' OR 1=1\"",
        &"x".repeat(64),
        &"é".repeat(100),
        &"x".repeat(100_000),
    ];
    for text in texts {
        assert_eq!(stats(&client, text).await, None, "{text:?}");
    }
    assert!(stats(&client, "t").await.is_some());
}

#[tokio::test]
async fn a_role_without_rights_on_the_table_sees_its_statistics() {
    let database = TestDatabase::migrated().await;
    let hidden = "CREATE SCHEMA hidden; CREATE TABLE hidden.t (x int PRIMARY KEY)";
    database.client().await.batch_execute(hidden).await.unwrap();
    for url in [database.app_url(), database.monitor_url()] {
        let client = connect(url).await;
        assert_eq!(stats(&client, "hidden.t").await.unwrap().indexes.len(), 1);
        assert_eq!(stats(&client, "users").await.unwrap().table, "public.users");
        assert_eq!(stats(&client, "t").await, None);
    }
}
