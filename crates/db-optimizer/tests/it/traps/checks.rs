//! What foreign keys ask, and what no plan shows.

use ruleiq_db_optimizer::Rule;

use super::{advice, indexes, options, prepared};

const SHOP: &str = "
    CREATE TABLE customers (id int PRIMARY KEY, code int UNIQUE NOT NULL, name text NOT NULL);
    CREATE TABLE orders (
        id int PRIMARY KEY, note text NOT NULL,
        customer_id int NOT NULL REFERENCES customers ON DELETE CASCADE,
        \"Referrer\" int REFERENCES customers (code));
    INSERT INTO customers SELECT i, i, 'n' FROM generate_series(1, 2000) i;
    INSERT INTO orders SELECT i, repeat('x', 80), 1 + i % 2000, 1 + i % 1999
    FROM generate_series(1, 20000) i;";
const BY_CUSTOMER: &str = "ON public.orders (customer_id)";
const BY_REFERRER: &str = "ON public.orders (\"Referrer\")";

async fn check(workload: &str, expected: &[&str]) {
    let (_database, client) = prepared(SHOP).await;
    let advice = advice(&client, workload, &options()).await;
    assert_eq!(indexes(&advice), expected, "{workload}: {advice}");
    for index in &advice.indexes {
        assert_eq!(index.rule, Rule::ForeignKey);
        assert!(
            index.helps[0].name.starts_with("foreign key orders_"),
            "{index}"
        );
    }
}

#[tokio::test]
async fn a_row_that_goes_is_looked_for_in_all_that_refer_to_it() {
    check(
        "DELETE FROM customers WHERE id = 7",
        &[BY_REFERRER, BY_CUSTOMER],
    )
    .await;
}

#[tokio::test]
async fn a_key_that_changes_is_looked_for_by_those_that_refer_to_it() {
    check(
        "UPDATE customers SET code = 9000 WHERE id = 7",
        &[BY_REFERRER],
    )
    .await;
    check("UPDATE customers SET name = 'm' WHERE id = 7", &[]).await;
    check("SELECT * FROM customers WHERE id = 7", &[]).await;
}

/// Ten rows that nobody deletes are not worth what twenty thousand inserts cost.
#[tokio::test]
async fn a_key_that_is_rarely_asked_for_is_not_worth_all_writes() {
    check(
        "-- weight: 1\nDELETE FROM customers WHERE id = 7;
         -- weight: 1000000\nINSERT INTO orders VALUES (1, 'x', 1, 1)",
        &[],
    )
    .await;
}
