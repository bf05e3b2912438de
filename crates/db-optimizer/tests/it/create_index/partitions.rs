//! Partitioned tables: leaf by leaf, whatever is there already.

use std::time::Duration;

use ruleiq_db_optimizer::{CreateIndexOptions, DatabaseOptimizer, Failure, Obstacle};
use ruleiq_test_support::eventually;
use tokio_postgres::Client;

use super::{
    PATIENCE, create, created, existing, failure, made, obstacle, pid, unsuspecting, waits,
};
use crate::database;

/// Two partitions, one of them with two partitions of its own, in another order of columns and in
/// another schema.
const TREE: &str = "
    CREATE SCHEMA old;
    CREATE TABLE t (id int, a int, at date) PARTITION BY RANGE (at);
    CREATE TABLE t_2025 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE old.t_2024 (at date, gone int, a int, id int) PARTITION BY HASH (id);
    ALTER TABLE old.t_2024 DROP COLUMN gone;
    ALTER TABLE t ATTACH PARTITION old.t_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE old.\"Odd\" PARTITION OF old.t_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE old.t_2024_1 PARTITION OF old.t_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO t SELECT it, it, date '2024-01-01' + it FROM generate_series(0, 729) it;
    ANALYZE t";

/// The names of all indexes under the one of the whole table, itself included.
async fn tree(client: &Client, index: &str) -> Vec<String> {
    let sql = "SELECT relid::regclass::text FROM pg_partition_tree($1::text::regclass)
               ORDER BY level, 1";
    let rows = client.query(sql, &[&index]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_tree_is_indexed_leaf_by_leaf_and_put_together_at_the_end() {
    let (_database, client) = database(TREE).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let plan = optimizer.plan_create_index("t", &["a"]).await.unwrap();

    let index = created(optimizer.create_index("t", &["a"]).await);

    assert_eq!(index.statements, plan.statements);
    let concurrently = plan
        .statements
        .iter()
        .filter(|it| it.starts_with("CREATE INDEX CONC"));
    assert_eq!(concurrently.count(), 3);
    let expected = [
        "idx_t_a",
        "idx_t_2025_a",
        "old.idx_t_2024_a",
        "old.\"idx_Odd_a\"",
        "old.idx_t_2024_1_a",
    ];
    assert_eq!(tree(&client, "idx_t_a").await, expected);
    let left = made(&client).await;
    assert!(
        left.len() == expected.len() && left.iter().all(|(_, is_valid)| *is_valid),
        "{left:?}"
    );
    assert!(
        index.size_bytes >= 3 * 8192 && index.estimated_bytes.is_some(),
        "{index:?}"
    );
    existing(optimizer.create_index("t", &["a"]).await);
    // A partition that is added later gets the index by itself.
    let later =
        "CREATE TABLE later PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')";
    client.batch_execute(later).await.unwrap();
    assert_eq!(tree(&client, "idx_t_a").await.len(), 6);
    assert_eq!(index.rollback_sql, "DROP INDEX public.idx_t_a");
    client.batch_execute(&index.rollback_sql).await.unwrap();
    assert_eq!(made(&client).await, []);
}

#[tokio::test]
async fn a_build_that_stops_half_way_leaves_no_invalid_index_and_goes_on_where_it_stopped() {
    let (database, client) = database(TREE).await;
    let other = database.client().await;
    // The last leaf in the order of the draft.
    other
        .batch_execute("BEGIN; LOCK TABLE old.t_2024_1 IN SHARE ROW EXCLUSIVE MODE")
        .await
        .unwrap();

    let (failure, leftover) = failure(create(&client, &["a"], &unsuspecting()).await);

    assert!(matches!(failure, Failure::Blocked { .. }), "{failure}");
    assert_eq!(leftover, None);
    let half = made(&client).await;
    assert_eq!(half.len(), 2, "{half:?}");
    assert!(
        half.iter()
            .all(|(name, is_valid)| *is_valid && name.contains("idx_")),
        "{half:?}"
    );
    other.batch_execute("COMMIT").await.unwrap();
    let index = created(create(&client, &["a"], &unsuspecting()).await);
    let built = index
        .statements
        .iter()
        .filter(|it| it.starts_with("CREATE INDEX CONC"));
    assert_eq!(built.count(), 1, "{index:?}");
    assert_eq!(tree(&client, "idx_t_a").await.len(), 5);
}

#[tokio::test]
async fn what_partitions_have_already_is_used() {
    let (_database, client) = database(TREE).await;
    client
        .batch_execute("CREATE INDEX mine ON t_2025 (a); CREATE INDEX wide ON old.\"Odd\" (a, id)")
        .await
        .unwrap();
    let index = created(create(&client, &["a"], &unsuspecting()).await);
    let built = index
        .statements
        .iter()
        .filter(|it| it.starts_with("CREATE INDEX CONC"));
    assert_eq!(built.count(), 2, "one that is wider cannot be a part");
    let parts = tree(&client, "idx_t_a").await;
    assert!(
        parts.contains(&"mine".to_owned()) && !parts.contains(&"wide".to_owned()),
        "{parts:?}"
    );
}

#[tokio::test]
async fn an_index_of_a_partition_that_is_partitioned_is_used_whole() {
    let (_database, client) = database(TREE).await;
    client
        .batch_execute("CREATE INDEX sub ON old.t_2024 (a)")
        .await
        .unwrap();
    let index = created(create(&client, &["a"], &unsuspecting()).await);
    let built = index
        .statements
        .iter()
        .filter(|it| it.starts_with("CREATE INDEX CONC"));
    assert_eq!(built.count(), 1);
    let parts = tree(&client, "idx_t_a").await;
    assert!(
        parts.contains(&"old.sub".to_owned()) && parts.len() == 5,
        "{parts:?}"
    );
}

#[tokio::test]
async fn a_partition_that_is_added_meanwhile_is_not_forgotten() {
    let (database, client) = database(TREE).await;
    let (other, builder) = (database.client().await, pid(&client).await);
    let third = database.client().await;
    other
        .batch_execute("BEGIN; UPDATE old.t_2024_1 SET a = 0")
        .await
        .unwrap();
    let options = unsuspecting().wait_limit(PATIENCE);
    let adding = async {
        eventually(PATIENCE, || waits(&third, builder)).await;
        let added = "CREATE TABLE added (id int, a int, at date);
            ALTER TABLE t ATTACH PARTITION added
                FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')";
        third.batch_execute(added).await.unwrap();
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(create(&client, &["a"], &options), adding);
    created(outcome);
    let parts = tree(&client, "idx_t_a").await;
    assert!(
        parts.len() == 6 && parts.contains(&"idx_added_a".to_owned()),
        "{parts:?}"
    );
    assert!(made(&client).await.iter().all(|(_, is_valid)| *is_valid));
}

#[tokio::test]
async fn a_parent_that_is_locked_is_waited_for_and_nothing_is_left_invalid() {
    let (database, client) = database(TREE).await;
    let other = database.client().await;
    other
        .batch_execute("BEGIN; LOCK TABLE ONLY t IN ROW EXCLUSIVE MODE")
        .await
        .unwrap();
    let options = unsuspecting().wait_limit(Duration::from_millis(700));
    let (failure, leftover) = failure(create(&client, &["a"], &options).await);
    assert!(matches!(failure, Failure::Blocked { .. }), "{failure}");
    let left = made(&client).await;
    assert_eq!((leftover, left.len()), (None, 3), "{left:?}");
    assert!(left.iter().all(|(_, is_valid)| *is_valid), "{left:?}");
    other.batch_execute("COMMIT").await.unwrap();
    let index = created(create(&client, &["a"], &options).await);
    assert_eq!(index.statements.len(), 1, "{index:?}");
}

#[tokio::test]
async fn a_table_without_partitions_and_a_partition_alone_are_indexed() {
    let (_database, client) = database(TREE).await;
    client
        .batch_execute("CREATE TABLE e (a int) PARTITION BY LIST (a)")
        .await
        .unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    created(optimizer.create_index("e", &["a"]).await);
    existing(optimizer.create_index("e", &["a"]).await);
    let one = created(optimizer.create_index("t_2025", &["a"]).await);
    assert_eq!(
        one.rollback_sql,
        "DROP INDEX CONCURRENTLY public.idx_t_2025_a"
    );
}

#[tokio::test]
async fn a_foreign_table_among_the_partitions_is_refused_before_anything_is_built() {
    let (_database, client) = database(TREE).await;
    let sql = "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
        CREATE FOREIGN TABLE f PARTITION OF t FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')
            SERVER s";
    client.batch_execute(sql).await.unwrap();
    let outcome = create(&client, &["a"], &CreateIndexOptions::default()).await;
    assert!(matches!(obstacle(outcome), Obstacle::NotIndexable { .. }));
    assert_eq!(made(&client).await, []);
    assert!(client.query_one("SELECT 1", &[]).await.is_ok());
}
