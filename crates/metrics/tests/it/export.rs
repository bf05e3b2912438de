//! The text that Prometheus reads.

use std::time::Duration;

use prometheus::{IntCounter, Registry};
use ruleiq_metrics::{Metrics, Outcome};

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
}

#[test]
fn a_histogram_counts_what_is_at_most_as_long_as_each_limit() {
    let metrics = Metrics::new();
    let operation = metrics.operation("GET /users/{id}");
    for ms in [5, 6, 1000, 1001, 20_000] {
        operation.record(Duration::from_millis(ms), Outcome::Ok);
    }
    operation.record(Duration::from_millis(250), Outcome::Error);

    let text = metrics.encode().unwrap();
    assert_has(&text, "# TYPE ruleiq_operation_duration_seconds histogram");
    let ok = r#"operation="GET /users/{id}",outcome="ok""#;
    let check = |le: &str, count: u32| {
        let name = "ruleiq_operation_duration_seconds_bucket";
        assert_has(&text, &format!(r#"{name}{{{ok},le="{le}"}} {count}"#));
    };
    check("0.005", 1);
    check("0.01", 2);
    check("0.75", 2);
    check("1", 3);
    check("2.5", 4);
    check("10", 4);
    check("+Inf", 5);
    let of = |what: &str, labels: &str, value: &str| {
        assert_has(
            &text,
            &format!("ruleiq_operation_duration_seconds_{what}{{{labels}}} {value}"),
        );
    };
    of("count", ok, "5");
    of("sum", ok, "22.012");
    let error = r#"operation="GET /users/{id}",outcome="error""#;
    of("count", error, "1");
    of("sum", error, "0.25");
    // Before the first of its kind, so that `rate()` sees that one.
    of(
        "count",
        r#"operation="GET /users/{id}",outcome="cancelled""#,
        "0",
    );
}

#[test]
fn an_operations_name_is_escaped() {
    let metrics = Metrics::new();
    let operation = metrics.operation("a \"b\" \\ c");
    operation.record(Duration::ZERO, Outcome::Ok);
    let count = r#"{operation="a \"b\" \\ c",outcome="ok"} 1"#;
    let text = metrics.encode().unwrap();
    assert_has(
        &text,
        &format!("ruleiq_operation_duration_seconds_count{count}"),
    );
}

#[test]
fn what_others_register_is_exported_too() {
    let registry = Registry::new();
    let counter = IntCounter::new("others_total", "What others count.").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    counter.inc();

    let metrics = Metrics::with_registry(registry.clone()).unwrap();
    assert_has(&metrics.encode().unwrap(), "others_total 1");
    let late = IntCounter::new("late_total", "What is registered later.").unwrap();
    metrics.registry().register(Box::new(late)).unwrap();
    assert_has(&metrics.encode().unwrap(), "late_total 0");

    assert!(Metrics::with_registry(registry).is_err());
}
