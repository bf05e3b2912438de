//! The report as a text, and as JSON.

use std::time::Duration;

use ruleiq_db_optimizer::HealthLimits;
use serde_json::Value;

use super::health_by;
use crate::database;

#[tokio::test]
async fn the_report_is_a_text_for_people_and_stable_json() {
    let (database, client) = database(
        "CREATE TABLE orders (id serial PRIMARY KEY, customer int);
         CREATE INDEX orders_customer ON orders (customer);
         CREATE INDEX orders_customer_again ON orders (customer);
         SELECT setval('orders_id_seq', 2000000000)",
    )
    .await;
    let limits = HealthLimits {
        long_transaction: Duration::MAX,
        idle_in_transaction: Duration::MAX,
        ..HealthLimits::default()
    };
    let mut report = health_by(&client, &limits).await;
    // What depends on the server that the tests share.
    report
        .findings
        .retain(|it| it.subject.starts_with("public."));
    report.degraded.retain(|it| it.code() == "other_roles");
    for finding in &mut report.findings {
        let window = finding
            .seen
            .find(" times since")
            .unwrap_or(finding.seen.len());
        finding.seen.truncate(window);
    }
    report.since = None;
    report.database = "shop".to_owned();
    report.server_version = "15.4".to_owned();
    insta::assert_snapshot!("report", report.to_string());

    let json = serde_json::to_value(&report).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        keys(&json),
        [
            "database",
            "degraded",
            "droppable_indexes",
            "findings",
            "is_standby",
            "server_version",
            "since"
        ]
    );
    assert_eq!(
        keys(&json["findings"][0]),
        [
            "action", "code", "numbers", "seen", "severity", "sql", "subject", "why"
        ]
    );
    assert_eq!(json["findings"][0]["severity"], "critical");
    assert_eq!(
        json["droppable_indexes"][0]["reason"],
        serde_json::json!({"code": "duplicate", "of": "public.orders_customer"})
    );
    drop(database);
}
