use std::{thread, time::Duration};

use ruleiq_metrics::{Metrics, Outcome};

use crate::summary_of;

const THREADS: u64 = 16;
const RUNS: u64 = 10_000;

#[test]
fn what_many_threads_record_adds_up() {
    let metrics = Metrics::new();
    thread::scope(|threads| {
        for thread in 0..THREADS {
            // Each resolves for itself: they get the same operation.
            let operation = metrics.operation("shared");
            threads.spawn(move || {
                for run in 0..RUNS {
                    let outcome = Outcome::ALL[usize::try_from(run % 3).unwrap()];
                    operation.record(Duration::from_nanos(1 + thread * RUNS + run), outcome);
                }
            });
        }
        // A reader in between sees no more than there will be.
        for _ in 0..100 {
            let seen: u64 = metrics.summary().iter().map(|it| it.count).sum();
            assert!(seen <= THREADS * RUNS);
        }
    });

    let all = THREADS * RUNS;
    let summary = summary_of(&metrics, "shared");
    assert_eq!(summary.count, all);
    assert_eq!(summary.errors, THREADS * RUNS.div_euclid(3));
    assert_eq!(summary.cancelled, THREADS * RUNS.div_euclid(3));
    assert_eq!(summary.min, Duration::from_nanos(1));
    assert_eq!(summary.max, Duration::from_nanos(all));
    // The numbers 1 to `all`, whose sum Gauss knew.
    assert_eq!(summary.mean, Duration::from_nanos(all.midpoint(1)));

    let text = metrics.encode().unwrap();
    let counts = text.lines().filter_map(|line| {
        let count = line.strip_prefix("ruleiq_operation_duration_seconds_count")?;
        count.rsplit(' ').next()?.parse::<u64>().ok()
    });
    assert_eq!(counts.sum::<u64>(), all, "{text}");
}
