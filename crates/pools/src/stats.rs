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
    /// The statements that the connections to PostgreSQL keep prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements: Option<StatementCacheStats>,
    /// The servers, where they are a primary and its standbys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaStats>,
    /// What became of the reads that were not led to a standby, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<RoutingStats>,
    /// The connections that reads share, where there is a PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderStats>,
    /// Redis, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<ResourceStats>,
}

/// One of several servers, and the connections for reading from it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ReplicaStats {
    /// Host and port.
    pub server: String,
    /// What it is good for now.
    pub role: ReplicaRole,
    /// How many bytes of the log a standby has not replayed yet. None where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// How long ago the primary had written no more than a standby has replayed; zero where there is nothing to
    /// replay, none where that is not known.
    #[serde(
        rename = "lag_seconds",
        skip_serializing_if = "Option::is_none",
        serialize_with = "some_seconds"
    )]
    pub lag: Option<Duration>,
    /// Sessions for reading that were led to it, since the pool was built.
    pub reads: u64,
    /// Its connections for reading.
    pub connections: ResourceStats,
}

/// Sessions for reading that the primary had to serve, by reason, and causal tokens that were no good. Since
/// the pool was built.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoutingStats {
    /// The scope reads the primary, or the share of the standbys is not all.
    pub wanted: u64,
    /// No standby had come far enough in time.
    pub behind: u64,
    /// No standby could be read.
    pub no_standby: u64,
    /// Tokens of what is not known to be there any more, which is an error.
    pub lost_tokens: u64,
    /// Tokens of another database cluster, which were ignored.
    pub foreign_tokens: u64,
}

/// What a server is good for, as it was when it was asked last.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReplicaRole {
    /// It takes the writes.
    Primary,
    /// It may be read.
    Standby,
    /// It is a standby that is too far behind, or that could not be read a moment ago.
    LeftOut,
    /// It does not answer.
    Unreachable,
    /// It is of another database cluster. The configuration is wrong.
    Foreign,
    /// It was the primary before another server was promoted, or takes writes beside it.
    Superseded,
    /// It is a standby that has replayed what the promoted server never had.
    Diverged,
}

/// What a [`Reader`](crate::Reader) has done, since the pool was built, and what its connections do now.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Shared connections that are open.
    pub connections: usize,
    /// The most that there may be, besides the pool's.
    pub max_connections: usize,
    /// Reads under way on them, those included that nobody waits for any more.
    pub in_flight: usize,
    /// Reads that were answered on them.
    pub shared: u64,
    /// Reads that failed on them, or had no answer in time.
    pub failed: u64,
    /// Reads that were run again on a connection that was checked out: the server had not heard of them, or
    /// had undone or stopped them.
    pub again: u64,
    /// Reads for which a connection was checked out since all shared ones had enough to do.
    pub full: u64,
    /// Reads for which one was checked out since nobody knew yet how long their statement takes.
    pub unproven: u64,
    /// Reads for which one was checked out since their statement takes long.
    pub slow: u64,
    /// Reads for which one was checked out since no shared connection was open.
    pub unconnected: u64,
    /// Connections that were given up, since the server had stopped to answer.
    pub stalled: u64,
    /// Statements that take too long to be waited behind, of the 1,024 that were run last.
    pub slow_statements: usize,
    /// Reads whose time on the server is known: their answers were seen one after the other.
    pub served: u64,
    /// How long those have waited for the answers to others on their connections, in all.
    #[serde(rename = "blocked_seconds", serialize_with = "seconds")]
    pub blocked: Duration,
}

/// How well the statements serve that the connections of a pool keep prepared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StatementCacheStats {
    /// Statements that are kept now, on all connections together.
    pub kept: usize,
    /// Texts that were found prepared, since the pool was built.
    pub hits: u64,
    /// Texts that had to be prepared, each for one more round trip.
    pub misses: u64,
}

/// The connections to one server at one moment.
///
/// For PostgreSQL the counts are exact: they are read under one lock, and every connection is in
/// exactly one of `checked_out`, `checked_in`, `connecting` and `closing`. Redis connections are
/// shared by all callers, so there a connection counts as checked out while it owes answers.
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
    /// Connections that may be in use now, where [`adaptive`](crate::TuningConfig::adaptive) allows fewer than
    /// `size + max_overflow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: Option<usize>,
    /// Callers that wait for a connection; for Redis, commands that wait to be sent.
    pub waiting: usize,
    /// How long the first of them has waited; unknown for Redis, and zero where nobody waits.
    #[serde(rename = "oldest_wait_seconds", serialize_with = "seconds")]
    pub oldest_wait: Duration,
    /// Connections that are being opened.
    pub connecting: usize,
    /// Connections that are being rolled back or closed, and hold their places until it is done.
    pub closing: usize,
    /// `checked_out / (size + max_overflow)`, or of those that are permitted: between 0 and 1, and above 1 until those come back that are
    /// too many since a [`resize`](crate::PoolManager::resize).
    pub utilization: f64,
}

/// Whether a pool has enough connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// There are connections to spare.
    Ok,
    /// More than 80 % of all that there may be are in use.
    HighUtilization,
    /// All that there may be are in use, and callers wait.
    Exhausted,
}

/// Above it a pool wants to be larger, or its users faster.
const HIGH_UTILIZATION: f64 = 0.8;

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
    /// How many connections PostgreSQL has for the pool, where it answered on one and no pooler stands
    /// between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<ConnectionBudget>,
}

/// The connections that a pool may open, and those that its server would take.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConnectionBudget {
    /// `size + max_overflow`, and what [`reader`](crate::PostgresConfig::reader) and
    /// [`replicas`](crate::PostgresConfig::replicas) add.
    pub wanted: usize,
    /// `max_connections` of the server less what it reserves for superusers. All its other clients
    /// share them.
    pub allowed: usize,
}

impl ConnectionBudget {
    /// Whether the pool would be refused connections even if nobody else had any.
    pub fn is_exceeded(self) -> bool {
        self.wanted > self.allowed
    }
}

impl Health {
    /// Whether every server that there is answers.
    pub fn is_healthy(&self) -> bool {
        self.database != Some(false) && self.redis != Some(false)
    }
}

impl StatementCacheStats {
    /// `hits / (hits + misses)`; none before the first statement.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody needs the rate to more digits"
    )]
    pub fn hit_rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }

    /// These and those of another connection.
    #[cfg(feature = "postgres")]
    pub(crate) fn and(self, other: StatementCacheStats) -> StatementCacheStats {
        StatementCacheStats {
            kept: self.kept + other.kept,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
        }
    }
}

impl ResourceStats {
    /// All connections, whatever they do.
    pub fn connections(&self) -> usize {
        self.checked_out + self.checked_in + self.connecting + self.closing
    }

    /// Whether there are enough connections to PostgreSQL. Those to Redis are shared: how many of them are
    /// in use says nothing of how many there should be.
    pub fn verdict(&self) -> Verdict {
        let is_full = self.connections() >= self.size + self.max_overflow
            || self.permitted.is_some_and(|it| self.checked_out >= it);
        if self.waiting > 0 && is_full {
            Verdict::Exhausted
        } else if self.utilization > HIGH_UTILIZATION {
            Verdict::HighUtilization
        } else {
            Verdict::Ok
        }
    }

    /// The most connections that may be in use.
    pub(crate) fn limit(&self) -> usize {
        self.permitted.unwrap_or(self.size + self.max_overflow)
    }

    /// Fills in what follows from the counts.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^52 connections"
    )]
    pub(crate) fn derive(mut self) -> ResourceStats {
        self.overflow = self.connections().saturating_sub(self.size);
        self.utilization = self.checked_out as f64 / self.limit() as f64;
        self
    }
}

impl Verdict {
    /// What to do about it, if anything.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Verdict::Ok => None,
            Verdict::HighUtilization => Some(
                "more than 80 % of the connections are in use: if that lasts, raise the pool's size, or \
                 make its statements faster",
            ),
            Verdict::Exhausted => Some(
                "callers wait for connections: find what holds these, such as a transaction that waits for \
                 something else; then raise the pool's size if the database can bear it",
            ),
        }
    }
}

pub(crate) fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
pub(crate) fn some_seconds<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}
