//! Times between PostgreSQL's milliseconds and ours.

use std::time::Duration;

use serde::Serializer;

/// What PostgreSQL counted. It never counts below zero, and 584 million years fit.
pub(crate) fn from_milliseconds(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or(Duration::MAX)
}

/// A limit as a setting of the server, at most a day. 0 would mean none at all.
pub(crate) fn limit_ms(limit: Duration) -> u128 {
    limit.as_millis().clamp(1, 86_400_000)
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(milliseconds(*duration))
}
