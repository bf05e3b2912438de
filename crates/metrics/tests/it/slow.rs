use std::time::Duration;

use ruleiq_metrics::{Metrics, Outcome};

const SECOND: Duration = Duration::from_secs(1);

fn metrics(runs: &[(&str, u64)]) -> Metrics {
    let metrics = Metrics::new();
    for (name, ms) in runs {
        let operation = metrics.operation(name);
        operation.record(Duration::from_millis(*ms), Outcome::Ok);
    }
    metrics
}

#[test]
fn the_operation_that_was_slow_most_often_comes_first() {
    let metrics = metrics(&[
        ("fast", 999),
        ("once, for long", 60_000),
        ("twice", 1001),
        ("twice", 1500),
        ("twice", 10),
        ("twice", 10),
        ("once", 2000),
    ]);
    let slow = metrics.slow_operations(SECOND);
    let found: Vec<_> = slow
        .iter()
        .map(|it| (&*it.operation, it.slow, it.count))
        .collect();
    assert_eq!(
        found,
        [("twice", 2, 4), ("once, for long", 1, 1), ("once", 1, 1)]
    );
    assert!((slow[0].share - 0.5).abs() < f64::EPSILON);
    assert_eq!(slow[0].max, Duration::from_millis(1500));
}

#[test]
fn what_took_exactly_the_threshold_is_not_slow() {
    assert!(
        metrics(&[("exact", 1000)])
            .slow_operations(SECOND)
            .is_empty()
    );
}

#[test]
fn failures_and_cancelled_runs_are_slow_as_well() {
    let metrics = Metrics::new();
    let operation = metrics.operation("failing");
    operation.record(2 * SECOND, Outcome::Error);
    operation.record(3 * SECOND, Outcome::Cancelled);
    assert_eq!(metrics.slow_operations(SECOND)[0].slow, 2);
}

#[test]
fn a_threshold_within_a_bucket_still_finds_the_longest() {
    // 700 and 701 ms share a bucket, which is wider than 4 ms there.
    let slow = metrics(&[("near", 700), ("near", 701)]).slow_operations(Duration::from_millis(700));
    assert_eq!(slow[0].slow, 1);
}
