//! Indexes that are there already.

use ruleiq_db_optimizer::{Advice, DropReason};

use super::{NONE, ORDERS, advice, advise, hidden, indexes, options, prepared};

const BY_CUSTOMER: &str = "SELECT * FROM orders WHERE customer_id = 42;";
const NEWEST: &str = "SELECT * FROM orders WHERE customer_id = 42 ORDER BY placed_at DESC LIMIT 1;";

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
    let invalid = &advice.droppable[0];
    assert_eq!(
        (&*invalid.index, &invalid.reason),
        ("public.broken", &DropReason::Invalid)
    );
}

/// What is no longer needed, and whether a new index serves all that it does, and plans show it.
fn replaced(advice: &Advice) -> Vec<(&str, bool, bool)> {
    let replaced = advice.replaced.iter();
    replaced
        .map(|it| (it.index.as_str(), it.by.is_some(), it.is_tested))
        .collect()
}

#[tokio::test]
async fn an_index_that_begins_like_the_new_one_is_replaced() {
    let schema = format!("{ORDERS} CREATE INDEX narrow ON orders (customer_id)");
    let (_database, client) = prepared(&schema).await;
    let advice = advice(&client, NEWEST, &options()).await;
    assert_eq!(
        indexes(&advice),
        ["ON public.orders (customer_id, placed_at)"]
    );
    assert_eq!(replaced(&advice), [("public.narrow", true, true)]);
}

#[tokio::test]
async fn an_index_that_no_plan_takes_any_more_is_replaced_for_this_workload() {
    let schema = format!(
        "{ORDERS} CREATE INDEX \"Other\" ON orders (customer_id, note);
         CREATE INDEX unrelated ON orders (state, note)"
    );
    let (_database, client) = prepared(&schema).await;
    let advice = advice(&client, NEWEST, &options()).await;
    assert_eq!(
        indexes(&advice),
        ["ON public.orders (customer_id, placed_at)"]
    );
    assert_eq!(replaced(&advice), [("public.\"Other\"", false, true)]);
    let text = advice.to_string();
    assert!(text.contains("other statements may"), "{text}");
}

/// Each would do without the other: what is said to go must leave one of them.
#[tokio::test]
async fn of_indexes_that_do_the_same_one_stays() {
    for spare in [
        "CREATE INDEX one ON orders (customer_id); CREATE INDEX two ON orders (customer_id, note)",
        "CREATE INDEX one ON orders (customer_id); CREATE INDEX two ON orders (customer_id)",
        "CREATE INDEX one ON orders (customer_id, id); CREATE INDEX two ON orders (customer_id, note)",
    ] {
        let (_database, client) = prepared(&format!("{ORDERS} {spare}")).await;
        let workload = "SELECT * FROM orders WHERE customer_id = 42;
            SELECT * FROM orders WHERE customer_id = 42 AND note < 'w';";
        let advice = advice(&client, workload, &options()).await;
        let gone = advice.replaced.len() + advice.droppable.len();
        assert!(gone <= 1, "{spare}: {advice}");
    }
}

#[tokio::test]
async fn an_index_that_a_foreign_key_looks_by_stays() {
    let schema = format!(
        "{ORDERS} CREATE TABLE customers (id int PRIMARY KEY);
         INSERT INTO customers SELECT generate_series(0, 999);
         ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers;
         CREATE INDEX of_the_key ON orders (customer_id, note)"
    );
    let (_database, client) = prepared(&schema).await;
    let advice = advice(&client, NEWEST, &options()).await;
    assert_eq!(replaced(&advice), [], "{advice}");
}

#[tokio::test]
async fn an_index_whose_work_another_does_as_well_is_found_by_hiding_it() {
    let schema = format!(
        "{ORDERS} CREATE INDEX one ON orders (customer_id, id);
         CREATE INDEX two ON orders (customer_id, placed_at)"
    );
    let (_database, client) = prepared(&schema).await;
    let advice = advice(&client, BY_CUSTOMER, &options()).await;
    let Some(left) = hidden(&client).await else {
        // HypoPG before 1.4: a plan takes it, and nobody knows what would be without it.
        assert_eq!(replaced(&advice), [], "{advice}");
        return;
    };
    // Both would do; which the plan takes is the planner's affair.
    let [(index, false, true)] = replaced(&advice)[..] else {
        panic!("{advice}");
    };
    assert!(["public.one", "public.two"].contains(&index), "{index}");
    // Nothing is hidden from the session's later statements.
    assert_eq!(left, 0);
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
