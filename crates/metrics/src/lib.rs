#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_types,
    reason = "no tokio here, and what an operation took is a matter of the real clock"
)]

#[doc(hidden)]
pub mod __macro;
mod ambient;
mod buckets;
mod histogram;
mod metrics;
mod operation;
mod operations;
mod summary;

pub use ruleiq_metrics_macros::measure_performance;

pub use crate::{
    ambient::{AlreadyInstalled, install, installed},
    metrics::Metrics,
    operation::{Operation, Outcome, Timer},
    operations::{MAX_NAME_BYTES, MAX_OPERATIONS, OTHER},
    summary::{OperationSummary, SlowOperation},
};
