//! Workloads of several statements, and budgets.

use ruleiq_db_optimizer::{Budget, NotPlanned};

use super::{NONE, ORDERS, advice, indexes, options, prepared};

const BY_CUSTOMER: &str = "SELECT * FROM orders WHERE customer_id = 42;";

#[tokio::test]
async fn a_statement_that_cannot_be_planned_is_named_and_the_others_are_served() {
    let workload = format!(
        "-- name: lost
        SELECT * FROM nowhere WHERE a = 1;
        -- name: cut
        SELECT * FROM orders WHERE;
        -- name: command
        VACUUM orders;
        {BY_CUSTOMER}"
    );
    let (_database, client) = prepared(ORDERS).await;
    let advice = advice(&client, &workload, &options()).await;
    assert_eq!(indexes(&advice), ["ON public.orders (customer_id)"]);
    let unplanned: Vec<_> = (advice.unplanned.iter())
        .map(|it| (it.name.as_str(), &it.reason))
        .collect();
    assert_eq!(
        unplanned,
        [
            ("lost", &NotPlanned::Unknown),
            ("cut", &NotPlanned::Syntax),
            ("command", &NotPlanned::Command),
        ]
    );
}

#[tokio::test]
async fn a_statement_that_costs_most_of_all_does_not_hide_a_small_one() {
    let workload = format!(
        "-- name: giant weight: 1e7
        SELECT md5(note), count(*) FROM orders GROUP BY md5(note);
        {BY_CUSTOMER}"
    );
    let (_database, client) = prepared(ORDERS).await;
    let advice = advice(&client, &workload, &options()).await;
    assert_eq!(indexes(&advice), ["ON public.orders (customer_id)"]);
}

#[tokio::test]
async fn without_room_there_is_no_index_and_that_is_said() {
    let (_database, client) = prepared(ORDERS).await;
    let smallest = advice(&client, BY_CUSTOMER, &options()).await.size_bytes;
    for bytes in [0, smallest - 1] {
        let mut options = options();
        options.budget = Budget::Bytes(bytes);
        let advice = advice(&client, BY_CUSTOMER, &options).await;
        assert_eq!(indexes(&advice), NONE, "{bytes}");
        assert_eq!((advice.budget_bytes, advice.size_bytes), (bytes, 0));
        assert!(
            (advice.cost_after - advice.cost_before).abs() < 1e-9,
            "{advice:?}"
        );
        assert!(advice.is_complete, "{advice:?}");
    }
    let mut options = options();
    // A little of the budget is left free.
    options.budget = Budget::Bytes(smallest + smallest / 20);
    let advice = advice(&client, BY_CUSTOMER, &options).await;
    assert_eq!(indexes(&advice), ["ON public.orders (customer_id)"]);
}

#[tokio::test]
async fn the_same_question_has_the_same_answer() {
    let workload = format!(
        "{BY_CUSTOMER}
        SELECT customer_id, count(*) FROM orders WHERE state = 'open' GROUP BY customer_id;
        SELECT * FROM orders WHERE placed_at > '2026-01-14' ORDER BY customer_id LIMIT 5;
        SELECT o.note FROM orders o JOIN orders p ON p.customer_id = o.customer_id
        WHERE p.id = 7 AND o.deleted_at IS NULL;"
    );
    let (_database, client) = prepared(ORDERS).await;
    let first = advice(&client, &workload, &options()).await;
    let second = advice(&client, &workload, &options()).await;
    assert!(!first.indexes.is_empty());
    assert_eq!(first.create_statements(), second.create_statements());
    assert_eq!(first.explains, second.explains);
}
