//! Which foreign keys lack an index.

use ruleiq_db_optimizer::{DatabaseOptimizer, Recommendation};
use tokio_postgres::Client;

use crate::database;

const TABLES: &str = "
    CREATE TABLE parent (a text, b text, PRIMARY KEY (a, b), UNIQUE (a));
    CREATE TABLE child (a text, b text, c text, d date,
        CONSTRAINT one FOREIGN KEY (a) REFERENCES parent (a),
        CONSTRAINT two FOREIGN KEY (b, c) REFERENCES parent);";

async fn recommend(client: &Client) -> Vec<Recommendation> {
    let optimizer = DatabaseOptimizer::new(client).min_table_bytes(0);
    optimizer.recommend_indexes().await.unwrap()
}

/// The names of the keys that lack an index, in order of the recommendations.
async fn missing(client: &Client) -> Vec<String> {
    let found = recommend(client).await;
    let keys = found.into_iter().flat_map(|it| it.foreign_keys);
    keys.map(|it| it.name).collect()
}

#[tokio::test]
async fn an_index_serves_a_key_that_is_its_leading_columns() {
    let (_database, client) = database(TABLES).await;
    assert_eq!(missing(&client).await, ["one", "two"]);

    let serving = [
        ("one", "USING btree (a)"),
        ("one", "USING hash (a)"),
        ("one", "USING btree (a DESC, d)"),
        ("one", "USING btree (a text_pattern_ops)"),
        ("two", "USING btree (b, c)"),
        ("two", "USING btree (c, b)"),
        ("two", "USING btree (c, b, a)"),
        ("two", "USING btree (b, c) INCLUDE (a)"),
        ("", "USING btree (b)"),
        ("", "USING btree (b, a, c)"),
        ("", "USING btree (b) INCLUDE (c)"),
        ("", "USING btree (d, a)"),
        ("", "USING btree (a) WHERE a > ''"),
        ("", "USING btree (lower(a))"),
        ("", "USING btree (a COLLATE \"C\")"),
        ("", "USING brin (a)"),
        ("", "USING gin (to_tsvector('simple', a))"),
    ];
    for (served, index) in serving {
        let sql = format!("CREATE INDEX it ON child {index}");
        client.batch_execute(&sql).await.unwrap();
        let left: Vec<_> = ["one", "two"]
            .into_iter()
            .filter(|it| *it != served)
            .collect();
        assert_eq!(missing(&client).await, left, "{index}");
        client.batch_execute("DROP INDEX it").await.unwrap();
    }
}

#[tokio::test]
async fn an_index_that_failed_to_build_serves_nothing_and_is_named() {
    let (_database, client) = database(TABLES).await;
    let rows = "INSERT INTO parent VALUES ('x', 'y'); INSERT INTO child (a) VALUES ('x'), ('x')";
    client.batch_execute(rows).await.unwrap();
    let unique = "CREATE UNIQUE INDEX CONCURRENTLY idx_child_a ON child (a)";
    assert!(client.batch_execute(unique).await.is_err());

    let found = recommend(&client).await;
    let one = found.iter().find(|it| it.columns == ["a"]).unwrap();
    assert!(
        one.reason
            .contains("idx_child_a has these columns and is not valid"),
        "{one:?}"
    );
    assert_eq!(one.index, "idx_child_a_1");
    client.batch_execute(&one.sql).await.unwrap();
    assert_eq!(missing(&client).await, ["two"]);
}

#[tokio::test]
async fn one_index_is_recommended_for_keys_that_share_columns() {
    let (_database, client) = database(
        "CREATE TABLE tenant (id int PRIMARY KEY);
         CREATE TABLE project (tenant int, id int, PRIMARY KEY (id, tenant));
         CREATE TABLE task (project int, tenant int REFERENCES tenant,
             FOREIGN KEY (project, tenant) REFERENCES project (id, tenant));",
    )
    .await;

    let found = recommend(&client).await;

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].columns, ["tenant", "project"]);
    assert_eq!(found[0].foreign_keys.len(), 2);
    assert!(
        found[0].reason.contains("public.project or public.tenant"),
        "{found:?}"
    );
    client.batch_execute(&found[0].sql).await.unwrap();
    assert_eq!(recommend(&client).await, []);
}

#[tokio::test]
async fn small_tables_are_left_out_and_large_ones_come_first() {
    let (_database, client) = database(
        "CREATE TABLE parent (id int PRIMARY KEY);
         INSERT INTO parent VALUES (1);
         CREATE TABLE small (id int REFERENCES parent);
         CREATE TABLE large (id int REFERENCES parent);
         CREATE TABLE larger (id int REFERENCES parent);
         INSERT INTO small VALUES (1);
         INSERT INTO large SELECT 1 FROM generate_series(1, 4000);
         INSERT INTO larger SELECT 1 FROM generate_series(1, 8000);
         ANALYZE large;",
    )
    .await;

    let found = DatabaseOptimizer::new(&client)
        .recommend_indexes()
        .await
        .unwrap();

    let tables: Vec<_> = found.iter().map(|it| it.table.as_str()).collect();
    assert_eq!(tables, ["public.larger", "public.large"]);
    assert!(found.is_sorted_by(|a, b| a.table_bytes > b.table_bytes));
    assert!(found.iter().all(|it| it.table_bytes >= 64 * 1024));
    assert_eq!(found[1].rows_estimate, 4000);
}

#[tokio::test]
async fn a_table_that_somebody_has_locked_is_not_waited_for() {
    let (database, client) = database(TABLES).await;
    client.batch_execute("ANALYZE").await.unwrap();
    let mut other = database.client().await;
    let migration = other.transaction().await.unwrap();
    let lock = "LOCK TABLE parent, child IN ACCESS EXCLUSIVE MODE";
    migration.batch_execute(lock).await.unwrap();
    assert_eq!(missing(&client).await, ["one", "two"]);
    migration.rollback().await.unwrap();
}

const PARTITIONED: &str = "
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE event (id int, parent int CONSTRAINT to_parent REFERENCES parent, at date)
        PARTITION BY RANGE (at);
    CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE event_2 (at date, parent int, id int);
    ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')";

#[tokio::test]
async fn a_partitioned_table_is_reported_once_and_not_by_its_partitions() {
    let (_database, client) = database(PARTITIONED).await;

    let found = recommend(&client).await;

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].table, "public.event");
    assert!(found[0].blocks_writes);
    client.batch_execute(&found[0].sql).await.unwrap();
    assert_eq!(recommend(&client).await, []);
}

#[tokio::test]
async fn a_partitioned_table_is_served_when_each_partition_is() {
    let (_database, client) = database(PARTITIONED).await;
    client
        .batch_execute("CREATE INDEX ON event_1 (parent)")
        .await
        .unwrap();
    assert_eq!(missing(&client).await, ["to_parent"]);
    client
        .batch_execute("CREATE INDEX ON event_2 (parent)")
        .await
        .unwrap();
    assert!(missing(&client).await.is_empty());
}

#[tokio::test]
async fn a_key_that_refers_to_a_partitioned_table_is_reported_once() {
    let (_database, client) = database(
        "CREATE TABLE parent (id int PRIMARY KEY) PARTITION BY HASH (id);
         CREATE TABLE parent_0 PARTITION OF parent FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE parent_1 PARTITION OF parent FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         CREATE TABLE child (parent int CONSTRAINT to_parent REFERENCES parent)",
    )
    .await;
    assert_eq!(missing(&client).await, ["to_parent"]);
}

#[tokio::test]
async fn tables_that_are_not_the_applications_are_left_out() {
    let (_database, client) = database(
        "CREATE TEMPORARY TABLE parent (id int PRIMARY KEY);
         CREATE TEMPORARY TABLE child (id int REFERENCES parent);
         CREATE TABLE theirs (id int PRIMARY KEY, up int REFERENCES theirs);
         ALTER EXTENSION plpgsql ADD TABLE theirs",
    )
    .await;
    assert!(missing(&client).await.is_empty());
}
