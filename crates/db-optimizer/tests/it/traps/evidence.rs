//! What comes with advice.

use ruleiq_db_optimizer::{Advice, DropReason};

use super::{ORDERS, advice, indexes, options, prepared};

fn plans(advice: &Advice) -> (&str, &str) {
    let statement = &advice.statements[0];
    (
        statement.plan_before.as_deref().unwrap_or(""),
        statement.plan_after.as_deref().unwrap_or(""),
    )
}

#[tokio::test]
async fn the_plans_before_and_after_are_told_without_constants() {
    let (_database, client) = prepared(ORDERS).await;
    let workload = "SELECT * FROM orders WHERE customer_id = 421; SELECT count(*) FROM orders";
    let advice = advice(&client, workload, &options()).await;
    let (before, after) = plans(&advice);
    assert!(before.starts_with("Seq Scan on public.orders"), "{before}");
    let name = &advice.indexes[0].name;
    assert!(after.contains(&format!(" {name} ")), "{after}");
    assert!(
        !before.contains("421") && !after.contains("421"),
        "{before}{after}"
    );
    assert_eq!(advice.statements[1].plan_before, None);
}

#[tokio::test]
async fn an_index_that_repeats_another_could_go() {
    let schema = format!(
        "{ORDERS} CREATE INDEX one ON orders (state, placed_at);
         CREATE INDEX two ON orders (state, placed_at); CREATE INDEX three ON orders (state);
         CREATE TABLE other (x int); CREATE INDEX four ON other (x); CREATE INDEX five ON other (x)"
    );
    let (_database, client) = prepared(&schema).await;
    let workload = "SELECT * FROM orders WHERE customer_id = 42";
    let advice = advice(&client, workload, &options()).await;
    let mut droppable: Vec<(&str, bool)> = (advice.droppable.iter())
        .map(|it| {
            (
                it.index.as_str(),
                matches!(it.reason, DropReason::Prefix { .. }),
            )
        })
        .collect();
    droppable.sort_unstable();
    assert_eq!(
        droppable,
        [("public.three", true), ("public.two", false)],
        "{advice}"
    );
    let text = advice.to_string();
    assert!(
        text.contains("DROP INDEX CONCURRENTLY public.two;"),
        "{text}"
    );
}

/// Nine in ten orders are deleted, and one customer has half of them all.
const SKEWED: &str = "
    CREATE TABLE orders (
        id int PRIMARY KEY, customer_id int NOT NULL, placed_at timestamptz NOT NULL, note text NOT NULL);
    INSERT INTO orders
    SELECT i, CASE WHEN i % 2 = 0 THEN 4217 ELSE i END,
           '2026-01-01'::timestamptz + i * interval '1 minute', repeat('x', 80)
    FROM generate_series(1, 20000) i;";

#[tokio::test]
async fn constants_are_drawn_where_they_matter_and_never_told() {
    let (_database, client) = prepared(SKEWED).await;
    let workload = "SELECT * FROM orders WHERE customer_id = $1 LIMIT $2;
                    SELECT * FROM orders WHERE id = $1;
                    SELECT * FROM orders WHERE placed_at > $1 AND placed_at < $2;
                    SELECT * FROM orders WHERE customer_id = ANY ($1) AND length(note) = $2";
    let advice = advice(&client, workload, &options()).await;
    let sampled = |at: usize| advice.statements[at].sampled.as_ref();
    let skewed = sampled(0).unwrap();
    assert_eq!(skewed.draws, 3);
    assert!(skewed.custom_cost > 0.0 && skewed.generic_cost > 0.0);
    // One row, whichever it is; and nothing is known of a function's value.
    assert!(sampled(1).is_none() && sampled(3).is_none());
    assert!(sampled(2).is_some());
    let json = serde_json::to_string(&advice).unwrap();
    assert!(
        !json.contains("4217") && !json.contains("2026-01"),
        "{json}"
    );
    let is_on_customer = |it: &String| it.starts_with("ON public.orders (customer_id");
    assert!(indexes(&advice).iter().any(is_on_customer), "{advice}");
}
