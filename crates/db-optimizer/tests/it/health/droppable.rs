//! Indexes that could be dropped, and those that never are.

use std::time::Duration;

use ruleiq_db_optimizer::{DatabaseOptimizer, DropReason, DroppableIndex, HealthLimits};
use ruleiq_test_support::eventually;
use tokio_postgres::Client;

use super::{find, health, health_by, subjects, unseen};
use crate::database;

/// Whatever was not used yet is unused.
fn impatient() -> HealthLimits {
    HealthLimits {
        unused_for: Duration::ZERO,
        unused_index_bytes: 0,
        ..HealthLimits::default()
    }
}

async fn droppable(client: &Client, limits: &HealthLimits) -> Vec<DroppableIndex> {
    let optimizer = DatabaseOptimizer::new(client);
    optimizer.droppable_indexes(limits).await.unwrap()
}

/// The names and reasons, in the order of the names.
fn named(indexes: &[DroppableIndex]) -> Vec<(String, &'static str)> {
    let mut named: Vec<_> = indexes
        .iter()
        .map(|it| (it.index.replace("public.", ""), it.reason.code()))
        .collect();
    named.sort();
    named
}

async fn definitions(client: &Client) -> Vec<String> {
    let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|it| it.get(0)).collect()
}

#[tokio::test]
async fn duplicates_and_beginnings_of_others_are_found_and_nothing_that_differs() {
    let (_database, client) = database(
        r#"CREATE TABLE t (a int NOT NULL, b int, c text, d text COLLATE "C");
           CREATE INDEX one ON t (a);
           CREATE INDEX "Same ""as"" one" ON t (a) WITH (fillfactor = 50);
           CREATE INDEX wide ON t (a, b);
           CREATE INDEX expr ON t (lower(c));
           CREATE INDEX expr_again ON t (lower( c ));
           CREATE UNIQUE INDEX strict ON t (b, c);
           CREATE INDEX lenient ON t (b, c);
           CREATE INDEX including ON t (c) INCLUDE (a);
           CREATE INDEX including_more ON t (c) INCLUDE (a, b);
           -- None of these is another.
           CREATE INDEX other_order ON t (a DESC);
           CREATE INDEX other_nulls ON t (a NULLS FIRST);
           CREATE INDEX other_class ON t (d text_pattern_ops);
           CREATE INDEX plain_d ON t (d);
           CREATE INDEX other_collation ON t (d COLLATE "POSIX");
           CREATE INDEX positive ON t (a) WHERE b > 0;
           CREATE INDEX above_one ON t (a) WHERE b > 1;
           CREATE INDEX hashed ON t USING hash (a);
           CREATE INDEX crossed ON t (b, a)"#,
    )
    .await;

    let found = droppable(&client, &HealthLimits::default()).await;

    assert_eq!(
        named(&found),
        [
            (r#""Same ""as"" one""#.to_owned(), "duplicate_index"),
            ("expr_again".to_owned(), "duplicate_index"),
            ("including".to_owned(), "redundant_index"),
            ("lenient".to_owned(), "duplicate_index"),
            ("one".to_owned(), "redundant_index"),
        ]
    );
    let lenient = found
        .iter()
        .find(|it| it.index == "public.lenient")
        .unwrap();
    let of = DropReason::Duplicate {
        of: "public.strict".to_owned(),
    };
    assert_eq!(lenient.reason, of);
}

#[tokio::test]
async fn what_is_dropped_comes_back_as_it_was() {
    let (_database, client) = database(
        r#"CREATE TABLE t (a int, b int);
           CREATE INDEX "It's ON ONLY this" ON t (a) WITH (fillfactor = 70) WHERE b IS NULL;
           CREATE TABLE parted (a int, b int) PARTITION BY RANGE (a);
           CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (2);
           CREATE INDEX "On ONLY" ON parted (b);
           CREATE UNIQUE INDEX rule ON t (a)"#,
    )
    .await;
    let before = definitions(&client).await;

    let found = droppable(&client, &impatient()).await;

    assert_eq!(
        named(&found),
        [
            (r#""It's ON ONLY this""#.to_owned(), "unused_index"),
            (r#""On ONLY""#.to_owned(), "unused_index"),
        ]
    );
    for index in &found {
        client.batch_execute(&index.sql).await.unwrap();
    }
    assert_eq!(definitions(&client).await.len(), before.len() - 3);
    for index in &found {
        client.batch_execute(&index.rollback_sql).await.unwrap();
    }
    assert_eq!(definitions(&client).await, before);
}

#[tokio::test]
async fn an_index_that_somebody_needs_is_never_called_unused() {
    let (_database, client) = database(
        "CREATE TABLE parent (id int PRIMARY KEY, code int NOT NULL);
         CREATE UNIQUE INDEX target ON parent (code);
         ALTER TABLE parent ADD CONSTRAINT target UNIQUE USING INDEX target;
         CREATE TABLE child (id int, code int REFERENCES parent (code), period int4range, x int,
             EXCLUDE USING gist (period WITH &&));
         CREATE INDEX of_the_key ON child (code);
         CREATE UNIQUE INDEX rule ON child (x);
         CREATE TABLE kept (a int NOT NULL, b int);
         CREATE UNIQUE INDEX identity ON kept (a);
         ALTER TABLE kept REPLICA IDENTITY USING INDEX identity;
         CREATE INDEX clustering ON kept (b);
         ALTER TABLE kept CLUSTER ON clustering;
         CREATE INDEX wrong ON kept (b, a)",
    )
    .await;
    let found = droppable(&client, &impatient()).await;
    assert_eq!(named(&found), [("wrong".to_owned(), "unused_index")]);
    // Statistics of today call nothing unused, and that is said.
    let report = health(&client).await;
    assert_eq!(subjects(&report, "unused_index"), [""; 0]);
    assert!(unseen(&report).contains(&"window"));
    assert!(!unseen(&health_by(&client, &impatient()).await).contains(&"window"));
}

#[tokio::test]
async fn an_index_in_use_stays_and_so_does_what_an_unused_one_covers() {
    let (_database, client) = database(
        "CREATE TABLE t (a int, b text);
         INSERT INTO t SELECT it, repeat('x', 80) FROM generate_series(1, 1000) it;
         CREATE INDEX used ON t (a); CREATE INDEX unused ON t (a, b); SET enable_seqscan = off",
    )
    .await;
    // From 16 on, one that was used some time ago counts as unused, too.
    let limits = HealthLimits {
        unused_for: Duration::from_secs(5),
        ..impatient()
    };
    eventually(Duration::from_secs(30), || async {
        let uses = "SELECT FROM t WHERE a > 1; SELECT pg_stat_force_next_flush()";
        client.batch_execute(uses).await.unwrap();
        named(&droppable(&client, &limits).await) == [("unused".to_owned(), "unused_index")]
    })
    .await;
    // In the whole report it is said once.
    let report = health_by(&client, &limits).await;
    assert_eq!(subjects(&report, "unused_index"), ["public.unused"]);
    assert_eq!(subjects(&report, "redundant_index"), [""; 0]);
    let found = report.droppable_indexes.iter();
    assert_eq!(
        found.map(|it| it.index.as_str()).collect::<Vec<_>>(),
        ["public.unused"]
    );
}

#[tokio::test]
async fn an_invalid_index_is_reported_with_what_makes_it_whole() {
    let (_database, client) = database(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1);
         CREATE TABLE parted (a int) PARTITION BY RANGE (a);
         CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (2);
         CREATE INDEX partial ON ONLY parted (a)",
    )
    .await;
    let build = "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)";
    assert!(client.batch_execute(build).await.is_err());

    let report = health(&client).await;

    let mut found = subjects(&report, "invalid_index");
    found.sort_unstable();
    assert_eq!(found, ["public.broken", "public.partial"]);
    assert_eq!(
        find(&report, "invalid_index", "public.partial")
            .unwrap()
            .sql,
        None
    );
    let broken = find(&report, "invalid_index", "public.broken").unwrap();
    client.batch_execute("DELETE FROM t").await.unwrap();
    client
        .batch_execute(broken.sql.as_deref().unwrap())
        .await
        .unwrap();
    assert_eq!(
        subjects(&health(&client).await, "invalid_index"),
        ["public.partial"]
    );
}
