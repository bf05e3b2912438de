use std::time::Duration;

use ruleiq_metrics::{Metrics, Outcome};

use crate::summary_of;

#[track_caller]
fn assert_near(found: Duration, expect: Duration) {
    let off = found.abs_diff(expect);
    assert!(off * 128 <= expect, "{found:?} instead of {expect:?}");
}

#[test]
fn percentiles_are_those_of_the_nearest_rank_within_a_128th() {
    let metrics = Metrics::new();
    let operation = metrics.operation("load");
    for ms in 1..=1000 {
        operation.record(Duration::from_millis(ms), Outcome::Ok);
    }
    let summary = summary_of(&metrics, "load");
    let ms = Duration::from_millis;
    assert_eq!((summary.min, summary.max), (ms(1), ms(1000)));
    assert_eq!(summary.mean, Duration::from_micros(500_500));
    assert_near(summary.p50, ms(500));
    assert_near(summary.p90, ms(900));
    assert_near(summary.p95, ms(950));
    assert_near(summary.p99, ms(990));
    assert_near(summary.p999, ms(999));
    assert!(summary.rate_per_second > 0.0);
}

#[test]
fn a_single_run_is_its_own_percentile() {
    let metrics = Metrics::new();
    let took = Duration::from_micros(1234);
    metrics.operation("once").record(took, Outcome::Cancelled);
    let summary = summary_of(&metrics, "once");
    assert_eq!(
        [summary.p50, summary.p999, summary.min, summary.max],
        [took; 4]
    );
}

#[test]
fn operations_come_by_name_with_all_their_outcomes() {
    let metrics = Metrics::new();
    for (name, outcome) in [
        ("b", Outcome::Ok),
        ("a", Outcome::Error),
        ("b", Outcome::Cancelled),
        ("b", Outcome::Error),
    ] {
        metrics
            .operation(name)
            .record(Duration::from_millis(1), outcome);
    }
    let summary = metrics.summary();
    let found: Vec<_> = summary
        .iter()
        .map(|it| (&*it.operation, it.count, it.errors, it.cancelled))
        .collect();
    assert_eq!(found, [("a", 1, 1, 0), ("b", 3, 1, 1)]);
}

#[test]
fn durations_are_serialized_as_milliseconds() {
    let metrics = Metrics::new();
    metrics
        .operation("once")
        .record(Duration::from_micros(2500), Outcome::Ok);
    let mut json = serde_json::to_value(metrics.summary()).unwrap();
    let summary = json[0].as_object_mut().unwrap();
    // It depends on when it is asked.
    assert!(summary.remove("rate_per_second").unwrap().is_f64());
    let expect = serde_json::json!({
        "operation": "once", "count": 1, "errors": 0, "cancelled": 0,
        "mean_ms": 2.5, "min_ms": 2.5, "max_ms": 2.5,
        "p50_ms": 2.5, "p90_ms": 2.5, "p95_ms": 2.5, "p99_ms": 2.5, "p999_ms": 2.5,
    });
    assert_eq!(json[0], expect);
}
