//! How many operations have a name of their own.

use std::time::Duration;

use ruleiq_metrics::{MAX_NAME_BYTES, MAX_OPERATIONS, Metrics, OTHER, Outcome};

use crate::counts_of;

#[track_caller]
fn overflow(metrics: &Metrics) -> u64 {
    let text = metrics.encode().unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("ruleiq_metrics_operations_overflow_total "));
    value.unwrap().parse().unwrap()
}

#[test]
fn operations_beyond_the_limit_share_one_and_are_counted() {
    let metrics = Metrics::new();
    for n in 0..MAX_OPERATIONS {
        let name = format!("operation {n}");
        assert_eq!(metrics.operation(&name).name(), name);
    }
    assert_eq!(overflow(&metrics), 0);

    for name in ["one too many", "another", "one too many"] {
        let operation = metrics.operation(name);
        assert_eq!(operation.name(), OTHER);
        operation.record(Duration::ZERO, Outcome::Ok);
    }
    assert_eq!(overflow(&metrics), 3);
    assert_eq!(counts_of(&metrics, OTHER), (3, 0, 0));
    // Those that have a name keep it.
    assert_eq!(metrics.operation("operation 0").name(), "operation 0");
}

#[test]
fn a_name_that_is_empty_or_too_long_is_not_told_apart() {
    let metrics = Metrics::new();
    let longest = "x".repeat(MAX_NAME_BYTES);
    assert_eq!(metrics.operation(&longest).name(), longest);
    assert_eq!(metrics.operation(&format!("{longest}x")).name(), OTHER);
    assert_eq!(metrics.operation("").name(), OTHER);
    assert_eq!(overflow(&metrics), 2);
    // Asked for by its name it is no overflow.
    assert_eq!(metrics.operation(OTHER).name(), OTHER);
    assert_eq!(overflow(&metrics), 2);
}

#[test]
fn an_operation_that_was_never_recorded_is_not_summarized() {
    let metrics = Metrics::new();
    assert_eq!(metrics.operation("idle").name(), "idle");
    assert!(metrics.summary().is_empty());
    let text = metrics.encode().unwrap();
    assert!(text.contains(r#"operation="idle""#), "{text}");
    assert!(!text.contains(r#"operation="_other""#), "{text}");
}
