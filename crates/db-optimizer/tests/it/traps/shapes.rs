//! Conditions and orders, with the keys that serve them.

use ruleiq_db_optimizer::{Budget, Confidence};

use super::{ORDERS, advice, advise, indexes, options, prepared};

const PAIRS: &str = "
    CREATE TABLE pairs (a int, b int, note text);
    INSERT INTO pairs SELECT i % 1000, i * 7919 % 20000, repeat('x', 80)
    FROM generate_series(1, 20000) i;";

#[tokio::test]
async fn directions_that_differ_are_said() {
    let workload = "SELECT * FROM pairs ORDER BY a DESC, b ASC LIMIT 10;";
    assert_eq!(
        advise(PAIRS, workload).await,
        ["ON public.pairs (a, b DESC)"]
    );
}

#[tokio::test]
async fn directions_that_are_all_descending_are_read_backwards() {
    let workload = "SELECT * FROM pairs ORDER BY a DESC, b DESC LIMIT 10;";
    assert_eq!(advise(PAIRS, workload).await, ["ON public.pairs (a, b)"]);
}

#[tokio::test]
async fn nulls_stand_where_they_are_wanted() {
    let workload = "SELECT * FROM pairs ORDER BY b DESC NULLS LAST LIMIT 10;";
    assert_eq!(
        advise(PAIRS, workload).await,
        ["ON public.pairs (b NULLS FIRST)"]
    );
}

#[tokio::test]
async fn a_list_comes_before_a_range() {
    let workload = "SELECT * FROM pairs WHERE a IN (1, 2, 3) AND b BETWEEN 100 AND 900;";
    assert_eq!(advise(PAIRS, workload).await, ["ON public.pairs (a, b)"]);
}

#[tokio::test]
async fn equality_comes_before_an_order() {
    let workload = "SELECT * FROM orders WHERE customer_id = 42 ORDER BY placed_at DESC LIMIT 1;";
    assert_eq!(
        advise(ORDERS, workload).await,
        ["ON public.orders (customer_id, placed_at)"]
    );
}

/// An index on one of them leaves the other to a scan of the whole table.
#[tokio::test]
async fn both_sides_of_an_or_need_an_index_and_one_alone_is_never_advised() {
    let workload = "SELECT * FROM pairs WHERE a = 42 OR b = 77;";
    let (_database, client) = prepared(PAIRS).await;
    let both = advice(&client, workload, &options()).await;
    assert_eq!(
        indexes(&both),
        ["ON public.pairs (a)", "ON public.pairs (b)"]
    );
    let mut for_one = options();
    for_one.budget = Budget::Bytes(both.size_bytes - 1);
    let one = advice(&client, workload, &for_one).await;
    // From 18 on, the planner may skip through the first key of an index on both.
    let version = "SELECT current_setting('server_version_num')::int >= 180000";
    let skips: bool = client.query_one(version, &[]).await.unwrap().get(0);
    let found = indexes(&one);
    let is_on_both = skips && found == ["ON public.pairs (b, a)"];
    assert!(found.is_empty() || is_on_both, "{one}");
}

#[tokio::test]
async fn rows_that_are_not_deleted_are_a_part() {
    let workload = "SELECT * FROM orders WHERE customer_id = 40 AND deleted_at IS NULL;";
    assert_eq!(
        advise(ORDERS, workload).await,
        ["ON public.orders (customer_id) WHERE deleted_at IS NULL"]
    );
}

/// The plan for any value cannot use an index over the rows with one.
#[tokio::test]
async fn parameters_are_keys_and_never_a_predicate() {
    let workload = "SELECT * FROM orders WHERE customer_id = $1 AND state = $2;";
    let (_database, client) = prepared(ORDERS).await;
    let advice = advice(&client, workload, &options()).await;
    let [index] = advice.indexes.as_slice() else {
        panic!("{advice:?}");
    };
    assert_eq!(index.definition.predicate, None);
    assert_eq!(
        index.definition.keys[0].as_column().unwrap().name(),
        "customer_id"
    );
    assert_eq!(index.confidence, Confidence::ConfirmedForAnyConstants);
}

/// Its plan names the columns without the table, as there is no other.
#[tokio::test]
async fn what_is_grouped_and_counted_in_one_table_is_answered_by_the_index_alone() {
    let schema = format!("{ORDERS} UPDATE orders SET customer_id = customer_id % 50");
    let (_database, client) = prepared(&schema).await;
    client.batch_execute("VACUUM FULL orders").await.unwrap();
    client
        .batch_execute("VACUUM (ANALYZE) orders")
        .await
        .unwrap();
    let workload = "SELECT state, count(*), max(placed_at) FROM orders
                    WHERE customer_id = 42 GROUP BY state;";
    let advice = advice(&client, workload, &options()).await;
    let after = advice.statements[0].plan_after.as_deref().unwrap_or("");
    assert!(after.contains("Index Only Scan"), "{advice}\n{after}");
}
