//! What is read may be a part of a table, or no table at all.

use super::{NONE, ORDERS, advice, advise, indexes, make, options, prepared};

const BY_CUSTOMER: &str = "SELECT * FROM shown WHERE customer_id = 42;";

#[tokio::test]
async fn partitions_get_the_index_of_their_parent() {
    let schema =
        "CREATE TABLE events (id int, kind int, at date, note text) PARTITION BY RANGE (at);
        CREATE TABLE events_a PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE events_b PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
        INSERT INTO events SELECT i, i % 1000, '2026-01-01'::date + i % 59, repeat('x', 80)
        FROM generate_series(1, 20000) i;";
    let (_database, client) = prepared(schema).await;
    let advice = advice(&client, "SELECT * FROM events WHERE kind = 42;", &options()).await;
    assert_eq!(indexes(&advice), ["ON public.events (kind)"]);
    // The parent refuses CONCURRENTLY.
    make(&client, &advice.indexes).await;
}

#[tokio::test]
async fn a_view_is_served_by_its_table() {
    let schema = format!("{ORDERS} CREATE VIEW shown AS SELECT * FROM orders");
    assert_eq!(
        advise(&schema, BY_CUSTOMER).await,
        ["ON public.orders (customer_id)"]
    );
}

#[tokio::test]
async fn a_view_of_a_view_is_served_by_its_table() {
    let schema = format!(
        "{ORDERS} CREATE VIEW inner_view AS SELECT customer_id AS who, note FROM orders;
         CREATE VIEW shown AS SELECT who AS customer_id, note FROM inner_view"
    );
    assert_eq!(
        advise(&schema, BY_CUSTOMER).await,
        ["ON public.orders (customer_id)"]
    );
}

#[tokio::test]
async fn a_materialized_view_has_indexes_of_its_own() {
    let schema = format!("{ORDERS} CREATE MATERIALIZED VIEW shown AS SELECT * FROM orders");
    assert_eq!(
        advise(&schema, BY_CUSTOMER).await,
        ["ON public.shown (customer_id)"]
    );
}

#[tokio::test]
async fn a_temporary_table_gets_none() {
    let schema = format!("{ORDERS} CREATE TEMP TABLE shown AS SELECT * FROM orders");
    assert_eq!(advise(&schema, BY_CUSTOMER).await, NONE);
}

#[tokio::test]
async fn a_table_of_an_extension_gets_none() {
    let schema = format!(
        "{ORDERS} CREATE TABLE shown AS SELECT * FROM orders;
         ALTER EXTENSION hypopg ADD TABLE shown"
    );
    assert_eq!(advise(&schema, BY_CUSTOMER).await, NONE);
}

#[tokio::test]
async fn a_foreign_table_gets_none() {
    let schema = "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE shown (customer_id text) SERVER files
        OPTIONS (program 'seq 1 100000')";
    let workload = "SELECT * FROM shown WHERE customer_id = '42';";
    assert_eq!(advise(schema, workload).await, NONE);
}

#[tokio::test]
async fn a_table_of_the_system_gets_none() {
    let workload = "SELECT * FROM pg_attribute WHERE attlen = 42;
        SELECT * FROM pg_proc WHERE prosrc = 'x' ORDER BY pronargs LIMIT 3;";
    assert_eq!(advise("SELECT 1", workload).await, NONE);
}
