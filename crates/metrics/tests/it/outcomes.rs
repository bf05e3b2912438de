//! How a measured run can end.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::{FutureExt as _, poll};
use ruleiq_metrics::{Metrics, Outcome, measure_performance};

use crate::{counts_of, summary_of};

#[measure_performance("sync", metrics = metrics)]
fn sync(metrics: &Metrics, panics: bool) -> u32 {
    assert!(!panics, "as told");
    1
}

#[measure_performance("async", metrics = metrics)]
async fn stuck(metrics: &Metrics, panics: bool) {
    assert!(!panics, "as told");
    pending::<()>().await;
}

#[test]
fn a_panic_counts_as_an_error() {
    let metrics = Metrics::new();
    assert_eq!(sync(&metrics, false), 1);
    catch_unwind(AssertUnwindSafe(|| sync(&metrics, true))).unwrap_err();
    assert_eq!(counts_of(&metrics, "sync"), (2, 1, 0));
}

#[tokio::test]
async fn a_panic_of_an_async_function_counts_as_an_error() {
    let metrics = Metrics::new();
    let future = AssertUnwindSafe(stuck(&metrics, true)).catch_unwind();
    future.await.unwrap_err();
    assert_eq!(counts_of(&metrics, "async"), (1, 1, 0));
}

#[tokio::test]
async fn a_dropped_future_counts_as_cancelled() {
    let metrics = Metrics::new();
    let mut future = Box::pin(stuck(&metrics, false));
    assert!(poll!(&mut future).is_pending());
    assert!(metrics.summary().is_empty());
    drop(future);
    assert_eq!(counts_of(&metrics, "async"), (1, 0, 1));
}

#[tokio::test]
async fn a_future_that_was_never_polled_did_not_run() {
    let metrics = Metrics::new();
    drop(stuck(&metrics, false));
    assert!(metrics.summary().is_empty());
}

#[test]
fn a_timer_records_once_and_as_it_is_told() {
    let metrics = Metrics::new();
    let operation = metrics.operation("by hand");
    for outcome in Outcome::ALL {
        operation.start().finish(outcome);
    }
    drop(operation.start());
    assert_eq!(counts_of(&metrics, "by hand"), (4, 1, 2));
}

#[test]
fn a_run_that_was_measured_elsewhere_can_be_recorded() {
    let metrics = Metrics::new();
    let operation = metrics.operation("elsewhere");
    operation.record(Duration::from_millis(30), Outcome::Ok);
    metrics
        .operation("elsewhere")
        .record(Duration::from_millis(10), Outcome::Error);
    let summary = summary_of(&metrics, "elsewhere");
    assert_eq!((summary.count, summary.errors), (2, 1));
    assert_eq!(summary.mean, Duration::from_millis(20));
}
