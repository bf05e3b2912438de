//! Drives the crate through its public API.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod ambient;
mod attribute;
mod concurrency;
mod export;
mod operations;
mod outcomes;
mod slow;
mod summary;

use ruleiq_metrics::{Metrics, OperationSummary};

/// The summary of an operation that has run.
#[track_caller]
fn summary_of(metrics: &Metrics, operation: &str) -> OperationSummary {
    let mut found = metrics.summary();
    found.retain(|it| it.operation == operation);
    assert_eq!(found.len(), 1, "of `{operation}`");
    found.remove(0)
}

/// How often an operation ran, failed and was cancelled.
#[track_caller]
fn counts_of(metrics: &Metrics, operation: &str) -> (u64, u64, u64) {
    let summary = summary_of(metrics, operation);
    (summary.count, summary.errors, summary.cancelled)
}
