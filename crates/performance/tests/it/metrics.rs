//! `GET …/metrics`.

use std::time::Duration;

use ruleiq_metrics::Outcome;

use crate::service::Service;

#[actix_web::test]
async fn operations_are_summed_up_and_the_slow_ones_named() {
    let (service, _database, _redis) = Service::start().await;
    let record = |name: &str, milliseconds, outcome| {
        let operation = service.metrics.operation(name);
        operation.record(Duration::from_millis(milliseconds), outcome);
    };
    record("fast", 2, Outcome::Ok);
    record("fast", 4, Outcome::Error);
    record("slow", 1500, Outcome::Ok);

    let report = service.get("/api/v1/performance/metrics").await.ok();

    assert_eq!(report["threshold_ms"], 1000);
    let operations = report["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2, "{report}");
    assert_eq!(operations[0]["operation"], "fast");
    assert_eq!(operations[0]["count"], 2);
    assert_eq!(operations[0]["errors"], 1);
    assert_eq!(operations[0]["mean_ms"], 3.0);
    assert_eq!(
        report["slow_operations"].as_array().unwrap().len(),
        1,
        "{report}"
    );
    assert_eq!(report["slow_operations"][0]["operation"], "slow");

    let path = "/api/v1/performance/metrics?threshold_ms=3";
    let report = service.get(path).await.ok();
    assert_eq!(
        report["slow_operations"].as_array().unwrap().len(),
        2,
        "{report}"
    );
}
