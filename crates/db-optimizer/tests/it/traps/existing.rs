//! Indexes that are there already.

use super::{NONE, ORDERS, advice, advise, indexes, options, prepared};

const BY_CUSTOMER: &str = "SELECT * FROM orders WHERE customer_id = 42;";

#[tokio::test]
async fn the_beginning_of_a_primary_key_is_there() {
    let schema =
        "CREATE TABLE items (order_id int, line int, note text, PRIMARY KEY (order_id, line));
        INSERT INTO items SELECT i / 5, i % 5, repeat('x', 80) FROM generate_series(1, 20000) i;";
    assert_eq!(
        advise(schema, "SELECT * FROM items WHERE order_id = 42;").await,
        NONE
    );
}

#[tokio::test]
async fn the_beginning_of_a_unique_constraint_is_there() {
    let schema = format!("{ORDERS} ALTER TABLE orders ADD UNIQUE (customer_id, placed_at)");
    assert_eq!(advise(&schema, BY_CUSTOMER).await, NONE);
}

#[tokio::test]
async fn the_beginning_of_a_wider_index_is_there() {
    let schema = format!("{ORDERS} CREATE INDEX ON orders (customer_id, placed_at)");
    assert_eq!(advise(&schema, BY_CUSTOMER).await, NONE);
}

#[tokio::test]
async fn an_equal_index_is_there() {
    let schema = format!("{ORDERS} CREATE INDEX ON orders (customer_id)");
    assert_eq!(advise(&schema, BY_CUSTOMER).await, NONE);
}

#[tokio::test]
async fn a_later_column_of_a_wider_index_is_not_there() {
    let schema = format!("{ORDERS} CREATE INDEX ON orders (placed_at, customer_id)");
    assert_eq!(
        advise(&schema, BY_CUSTOMER).await,
        ["ON public.orders (customer_id)"]
    );
}

#[tokio::test]
async fn a_partial_index_of_other_rows_is_not_there() {
    let schema = format!("{ORDERS} CREATE INDEX ON orders (customer_id) WHERE state = 'lost'");
    assert_eq!(
        advise(&schema, BY_CUSTOMER).await,
        ["ON public.orders (customer_id)"]
    );
}

#[tokio::test]
async fn an_invalid_index_is_not_there() {
    let (_database, client) = prepared(ORDERS).await;
    let fails = "CREATE UNIQUE INDEX CONCURRENTLY broken ON orders (customer_id)";
    assert!(client.batch_execute(fails).await.is_err());
    let advice = advice(&client, BY_CUSTOMER, &options()).await;
    assert_eq!(indexes(&advice), ["ON public.orders (customer_id)"]);
}

#[tokio::test]
async fn an_index_that_begins_like_the_new_one_is_replaced() {
    let schema = format!("{ORDERS} CREATE INDEX narrow ON orders (customer_id)");
    let (_database, client) = prepared(&schema).await;
    let newest = "SELECT * FROM orders WHERE customer_id = 42 ORDER BY placed_at DESC LIMIT 1;";
    let advice = advice(&client, newest, &options()).await;
    assert_eq!(
        indexes(&advice),
        ["ON public.orders (customer_id, placed_at)"]
    );
    let replaced: Vec<&str> = advice.replaced.iter().map(|it| it.index.as_str()).collect();
    assert_eq!(replaced, ["narrow"]);
}

#[tokio::test]
async fn a_constraint_is_never_replaced() {
    let schema = "CREATE TABLE visits (who int, day int, note text, UNIQUE (who, day));
        INSERT INTO visits SELECT i / 200, i % 200, repeat('x', 80) FROM generate_series(1, 20000) i;";
    let (_database, client) = prepared(schema).await;
    let workload = "SELECT who, day, note FROM visits WHERE who = 4 ORDER BY day, note LIMIT 5;
        SELECT count(note) FROM visits WHERE who = 4;";
    let advice = advice(&client, workload, &options()).await;
    assert!(advice.replaced.is_empty(), "{advice}");
}

/// HypoPG's indexes have no height, so each seems cheaper than a real one that does the same.
#[tokio::test]
async fn what_one_row_is_found_by_needs_nothing_narrower() {
    let schema = "CREATE TABLE lines (a int UNIQUE, b int, note text);
        INSERT INTO lines SELECT i, i % 7, repeat('x', 80) FROM generate_series(1, 20000) i;";
    let workload = "SELECT * FROM lines WHERE a = 5 AND b = 6; SELECT note FROM lines WHERE a = 7;";
    assert_eq!(advise(schema, workload).await, NONE);
}
