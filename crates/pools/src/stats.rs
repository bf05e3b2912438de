//! What the pools hold, in one vocabulary for both.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// What the pools of a [`PoolManager`](crate::PoolManager) hold at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// PostgreSQL, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<ResourceStats>,
    /// Redis, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<ResourceStats>,
}

/// The connections to one server at one moment.
///
/// For PostgreSQL the counts are exact: they are read under one lock, and every connection is in
/// exactly one of `checked_out`, `checked_in`, `connecting` and `closing`. Redis connections are
/// shared by all callers, so there a connection counts as checked out while commands wait for it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ResourceStats {
    /// Connections that stay open, after autosizing.
    pub size: usize,
    /// Connections that may be opened beyond these.
    pub max_overflow: usize,
    /// Connections in use.
    pub checked_out: usize,
    /// Open connections that nobody uses.
    pub checked_in: usize,
    /// Connections beyond `size`.
    pub overflow: usize,
    /// Callers that wait for a connection; for Redis, commands that wait to be sent.
    pub waiting: usize,
    /// How long the first of them has waited; unknown for Redis, and zero where nobody waits.
    #[serde(rename = "oldest_wait_seconds", serialize_with = "seconds")]
    pub oldest_wait: Duration,
    /// Connections that are being opened.
    pub connecting: usize,
    /// Connections that are being rolled back or closed, and hold their places until it is done.
    pub closing: usize,
    /// `checked_out / (size + max_overflow)`, between 0 and 1.
    pub utilization: f64,
}

/// Which servers answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether PostgreSQL answers, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<bool>,
    /// Whether Redis answers, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<bool>,
}

impl Health {
    /// Whether every server that there is answers.
    pub fn is_healthy(&self) -> bool {
        self.database != Some(false) && self.redis != Some(false)
    }
}

impl ResourceStats {
    /// All connections, whatever they do.
    pub fn connections(&self) -> usize {
        self.checked_out + self.checked_in + self.connecting + self.closing
    }

    /// Fills in what follows from the counts.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^52 connections"
    )]
    pub(crate) fn derive(mut self) -> ResourceStats {
        self.overflow = self.connections().saturating_sub(self.size);
        self.utilization = self.checked_out as f64 / (self.size + self.max_overflow) as f64;
        self
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
