//! What the operations took, for people.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{
    histogram::Snapshot,
    operation::{Operation, Outcome},
};

/// What one operation took since the start, whatever its outcomes.
///
/// `mean`, `min` and `max` are exact; the percentiles are nearest ranks within 1/128 (0.8 %) of the
/// exact ones. Serialized, durations are milliseconds and their names end in `_ms`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OperationSummary {
    /// Its name.
    pub operation: String,
    /// How often it ran.
    pub count: u64,
    /// How often it failed or panicked.
    pub errors: u64,
    /// How often it was dropped before it was done.
    pub cancelled: u64,
    /// How often it ran per second since the start.
    pub rate_per_second: f64,
    /// The mean.
    #[serde(rename = "mean_ms", serialize_with = "milliseconds")]
    pub mean: Duration,
    /// The shortest.
    #[serde(rename = "min_ms", serialize_with = "milliseconds")]
    pub min: Duration,
    /// The longest.
    #[serde(rename = "max_ms", serialize_with = "milliseconds")]
    pub max: Duration,
    /// The median.
    #[serde(rename = "p50_ms", serialize_with = "milliseconds")]
    pub p50: Duration,
    /// What 9 of 10 did not exceed.
    #[serde(rename = "p90_ms", serialize_with = "milliseconds")]
    pub p90: Duration,
    /// What 19 of 20 did not exceed.
    #[serde(rename = "p95_ms", serialize_with = "milliseconds")]
    pub p95: Duration,
    /// What 99 of 100 did not exceed.
    #[serde(rename = "p99_ms", serialize_with = "milliseconds")]
    pub p99: Duration,
    /// What 999 of 1000 did not exceed.
    #[serde(rename = "p999_ms", serialize_with = "milliseconds")]
    pub p999: Duration,
}

/// An operation that took longer than a threshold.
///
/// Serialized, durations are milliseconds and their names end in `_ms`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowOperation {
    /// Its name.
    pub operation: String,
    /// How often it ran.
    pub count: u64,
    /// How often it took longer than the threshold. Exact for the limits of the exported histogram,
    /// which 1 s is one of; for another threshold, those that exceeded it by less than 1/64 may be
    /// missing.
    pub slow: u64,
    /// `slow` per `count`, above 0 and at most 1.
    pub share: f64,
    /// What 19 of 20 did not exceed, within 1/128.
    #[serde(rename = "p95_ms", serialize_with = "milliseconds")]
    pub p95: Duration,
    /// The longest.
    #[serde(rename = "max_ms", serialize_with = "milliseconds")]
    pub max: Duration,
}

impl OperationSummary {
    /// `None` where it has not run.
    pub(crate) fn of(operation: &Operation, since_start: Duration) -> Option<OperationSummary> {
        let by_outcome = operation.snapshots();
        let all = merged(&by_outcome);
        (all.count() > 0).then(|| OperationSummary {
            operation: operation.name().into(),
            count: all.count(),
            errors: by_outcome[Outcome::Error as usize].count(),
            cancelled: by_outcome[Outcome::Cancelled as usize].count(),
            rate_per_second: float(all.count()) / since_start.as_secs_f64(),
            mean: all.mean(),
            min: all.min(),
            max: all.max(),
            p50: all.quantile(500),
            p90: all.quantile(900),
            p95: all.quantile(950),
            p99: all.quantile(990),
            p999: all.quantile(999),
        })
    }
}

impl SlowOperation {
    /// `None` where it never took longer.
    pub(crate) fn of(operation: &Operation, threshold: Duration) -> Option<SlowOperation> {
        let all = merged(&operation.snapshots());
        (all.max() > threshold).then(|| {
            // The longest is one of them, also when it shares the threshold's bucket.
            let slow = all.longer_than(threshold).max(1);
            SlowOperation {
                operation: operation.name().into(),
                count: all.count(),
                slow,
                share: float(slow) / float(all.count()),
                p95: all.quantile(950),
                max: all.max(),
            }
        })
    }
}

fn merged(by_outcome: &[Snapshot]) -> Snapshot {
    let mut all = Snapshot::default();
    for snapshot in by_outcome {
        all.merge(snapshot);
    }
    all
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio of counts needs no 53 bits"
)]
fn float(count: u64) -> f64 {
    count as f64
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1e3)
}
