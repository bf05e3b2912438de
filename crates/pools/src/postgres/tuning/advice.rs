//! What is advised, in numbers and in words.

use std::time::Duration;

use serde::Serialize;

use super::{
    Bounds,
    climb::{Move, Why, staffing, waits},
    share::ConnectionShare,
};
use crate::{
    postgres::usage::PoolUsage,
    stats::{seconds, some_seconds},
};

/// Time-outs are round numbers.
const SECOND: Duration = Duration::from_secs(1);
/// No checkout should have less time than it takes to hear why it fails.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(6);
/// No report should be stopped because requests are quick.
const SHORTEST_STATEMENT: Duration = Duration::from_secs(5);
/// How many times longer than what was seen a time-out should be.
const TIMES: u32 = 10;
/// How much of the reads goes elsewhere at a time.
const SHARE_STEP: f64 = 0.25;

/// What the pool should be like, as [`optimize_pools`](crate::PoolManager::optimize_pools) has it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolOptimization {
    /// How the pool was used lately.
    pub usage: PoolUsage,
    /// Whether that is for a whole window with the settings that are in force, and at least 100 checkouts. Before,
    /// nothing is advised but to give up what is more than a fair share.
    pub is_measured: bool,
    /// What it may have of the server. None where a pooler stands between, or where the server did not say in
    /// time. Then no more connections are advised than it said last, or else than there were at first, unless there
    /// are more already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<ConnectionShare>,
    /// What should change, the most important first. Those about time-outs stay until somebody changes them.
    pub recommendations: Vec<PoolRecommendation>,
    /// What was applied lately, the last one last.
    pub steps: Vec<PoolStep>,
}

/// A setting that should change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PoolRecommendation {
    /// What it is.
    pub now: PoolSetting,
    /// What it should be.
    pub to: PoolSetting,
    /// What was measured, and what follows from it.
    pub evidence: String,
    /// What that should change.
    pub expected: String,
    /// Whether [`apply_optimization`](crate::PoolManager::apply_optimization) does it. The others are for whoever
    /// writes the configuration: how long callers may wait is a promise to them.
    pub is_applicable: bool,
    /// Whether it is measured then, and undone if it was no better.
    pub is_on_trial: bool,
}

/// One setting, or two that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "setting", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolSetting {
    /// How many connections stay open, and how many there may be beyond these.
    Connections {
        /// [`size`](crate::PostgresConfig::size).
        size: usize,
        /// [`max_overflow`](crate::PostgresConfig::max_overflow).
        max_overflow: usize,
    },
    /// How long a caller waits for a connection.
    Timeout {
        /// [`timeout`](crate::PostgresConfig::timeout).
        #[serde(rename = "seconds", serialize_with = "seconds")]
        limit: Duration,
    },
    /// How long a statement may run.
    StatementTimeout {
        /// [`statement_timeout`](crate::PostgresConfig::statement_timeout).
        #[serde(rename = "seconds", serialize_with = "some_seconds")]
        limit: Option<Duration>,
    },
    /// What part of the reads goes to standbys.
    ReplicaShare {
        /// [`share`](crate::ReplicaConfig::share).
        share: f64,
    },
}

/// A recommendation that was applied, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PoolStep {
    /// What it was.
    pub from: PoolSetting,
    /// What it was set to.
    pub to: PoolSetting,
    /// What was measured, and what followed from it.
    pub evidence: String,
    /// What that should change.
    pub expected: String,
    /// What came of it.
    pub outcome: StepOutcome,
    /// How the pool was used before.
    pub before: PoolUsage,
    /// How it was used with it. None until that was measured, or where too little was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<PoolUsage>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// It is being measured.
    OnTrial,
    /// It stays.
    Kept,
    /// It was no better, or too little was seen of it (`after` is none then), and all is as before.
    Undone,
    /// Somebody has set other limits meanwhile, which stay.
    Overruled,
}

/// What a pool is set to, and how its standbys do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) size: usize,
    pub(crate) max_overflow: usize,
    pub(crate) timeout: Duration,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) standbys: Option<Standbys>,
    /// Connections that may be in use now, where these are fewer.
    pub(crate) permitted: Option<usize>,
    /// How long a connection was kept at most, to any server.
    pub(crate) longest_hold: Duration,
}

/// How those servers do that are read beside the primary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standbys {
    /// Of the reads.
    pub(crate) share: f64,
    /// Of their connections, how many are in use.
    pub(crate) utilization: f64,
    pub(crate) waits: bool,
}

impl Situation {
    pub(crate) fn limit(&self) -> usize {
        self.size + self.max_overflow
    }

    fn connections(&self) -> PoolSetting {
        PoolSetting::Connections {
            size: self.size,
            max_overflow: self.max_overflow,
        }
    }

    /// How many of so many connections should stay open.
    fn split(limit: usize, in_use: f64) -> PoolSetting {
        let size = staffing(in_use).min(limit);
        PoolSetting::Connections {
            size,
            max_overflow: limit - size,
        }
    }

    /// The number of connections is another one from now on.
    pub(super) fn of_move(
        &self,
        it: Move,
        bounds: Bounds,
        usage: &PoolUsage,
    ) -> PoolRecommendation {
        let (limit, to) = (self.limit(), it.to);
        let (evidence, expected) = match it.why {
            Why::TooMany => (
                too_many(limit, bounds),
                format!(
                    "no instance is refused a connection by the server for want of {} that this one holds",
                    limit - to
                ),
            ),
            Why::Waiting => (
                format!(
                    "callers wait for {} on average and {} at the 95th percentile, to keep a connection for \
                     {}; {:.1} of {limit} are in use (Little's law: {:.0} a second times that)",
                    brief(usage.wait_mean),
                    brief(usage.wait_p95),
                    brief(usage.hold_mean),
                    usage.in_use,
                    usage.throughput,
                ),
                format!(
                    "up to {:.1} times the throughput or as much less waiting, if the database has more to \
                     give; {} more connections that are opened under load",
                    ratio(to, limit),
                    to - limit
                ),
            ),
            Why::Fewer => (
                format!(
                    "{:.1} connections are in use at a time, for {} each, and more of them were not seen to \
                     do more: they may be waiting for each other in the database",
                    usage.in_use,
                    brief(usage.hold_mean)
                ),
                format!(
                    "the same throughput, {:.0} a second, by {} fewer server processes",
                    usage.throughput,
                    limit - to
                ),
            ),
        };
        let to = match it.why {
            // How many are in use may not be known.
            Why::TooMany => PoolSetting::Connections {
                size: self.size.min(to),
                max_overflow: to.saturating_sub(self.size),
            },
            Why::Waiting | Why::Fewer => Situation::split(to, usage.in_use),
        };
        PoolRecommendation {
            now: self.connections(),
            to,
            evidence,
            expected,
            is_applicable: true,
            is_on_trial: it.why != Why::TooMany,
        }
    }

    /// How many stay open, where all in all there are enough.
    pub(super) fn size(&self, usage: &PoolUsage) -> Option<PoolRecommendation> {
        let to = staffing(usage.in_use).min(self.limit());
        let is_far = to > self.size.saturating_mul(2) || to < self.size.div_ceil(2);
        if !is_far {
            return None;
        }
        let expected = match to > self.size {
            true => "fewer logins when load comes back after a pause".to_owned(),
            false => format!(
                "up to {} fewer server processes while nothing happens",
                self.size - to
            ),
        };
        Some(PoolRecommendation {
            now: self.connections(),
            to: Situation::split(self.limit(), usage.in_use),
            evidence: format!(
                "{:.1} connections are in use on average (Little's law: {:.0} a second times {}), which {to} \
                 serve almost without waiting (square-root staffing)",
                usage.in_use,
                usage.throughput,
                brief(usage.hold_mean)
            ),
            expected,
            is_applicable: true,
            is_on_trial: false,
        })
    }

    /// Reads go where connections are free.
    pub(super) fn replica_share(&self, usage: &PoolUsage) -> Option<PoolRecommendation> {
        let standbys = self.standbys?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "there are fewer than 2^52 connections"
        )]
        let primary = usage.in_use / self.limit() as f64;
        let share = standbys.share;
        let is_free = |one: f64, than: f64| one < than / 2.0;
        let to = if waits(usage) && is_free(standbys.utilization, primary) {
            (share + SHARE_STEP).min(1.0)
        } else if standbys.waits && is_free(primary, standbys.utilization) {
            (share - SHARE_STEP).max(0.0)
        } else {
            return None;
        };
        ((to - share).abs() > f64::EPSILON).then(|| PoolRecommendation {
            now: PoolSetting::ReplicaShare { share },
            to: PoolSetting::ReplicaShare { share: to },
            evidence: format!(
                "{:.0} % of the primary's connections are in use and {:.0} % of the standbys', and callers \
                 wait for the busier ones",
                100.0 * primary,
                100.0 * standbys.utilization
            ),
            expected: "less waiting, for the same connections".to_owned(),
            is_applicable: true,
            is_on_trial: true,
        })
    }

    /// How long callers wait.
    pub(super) fn timeout(&self, usage: &PoolUsage) -> Option<PoolRecommendation> {
        let to = round_up(usage.wait_p99 * TIMES).max(SHORTEST_TIMEOUT);
        let is_far = self.timeout > to * 2;
        (waits(usage) && is_far).then(|| PoolRecommendation {
            now: PoolSetting::Timeout {
                limit: self.timeout,
            },
            to: PoolSetting::Timeout { limit: to },
            evidence: format!(
                "99 of 100 callers wait for {} at most",
                brief(usage.wait_p99)
            ),
            expected: format!(
                "when the database does not keep up, callers hear so after {} at the latest, and the queue is \
                 shed that much sooner",
                brief(to)
            ),
            is_applicable: false,
            is_on_trial: false,
        })
    }

    /// How long statements run.
    pub(super) fn statement_timeout(&self) -> Option<PoolRecommendation> {
        let to = round_up(self.longest_hold * TIMES).max(SHORTEST_STATEMENT);
        let is_far = self.statement_timeout.is_none_or(|it| it > to * 2);
        is_far.then(|| PoolRecommendation {
            now: PoolSetting::StatementTimeout {
                limit: self.statement_timeout,
            },
            to: PoolSetting::StatementTimeout { limit: Some(to) },
            evidence: format!(
                "no connection was kept for longer than {} since the process began: look to it that this covers the \
                 slowest report or migration",
                brief(self.longest_hold)
            ),
            expected: format!(
                "a statement gone astray keeps a connection for {} at most",
                brief(to)
            ),
            is_applicable: false,
            is_on_trial: false,
        })
    }
}

fn too_many(limit: usize, Bounds { most, share }: Bounds) -> String {
    let Some(share) = share.filter(|it| it.connections <= most) else {
        return format!(
            "there may be {limit} connections, and {most} are the most that may be tuned to"
        );
    };
    let ConnectionShare {
        allowed,
        others,
        instances,
        besides,
        connections,
    } = share;
    let rule = format!(
        "the server allows {allowed}, others use {others}, {instances} instances share the rest, and each opens \
         {besides} besides"
    );
    match connections {
        0 => format!("`max_connections` is too small for all instances: {rule}, which leaves none"),
        _ => format!(
            "{limit} connections are more than a fair share: {rule}, which leaves {connections}"
        ),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are fewer than 2^52 connections"
)]
fn ratio(to: usize, from: usize) -> f64 {
    to as f64 / from.max(1) as f64
}

fn round_up(time: Duration) -> Duration {
    SECOND * u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1) + SECOND
}

/// To three digits.
fn brief(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    match ms {
        ..1.0 => format!("{ms:.2} ms"),
        ..100.0 => format!("{ms:.1} ms"),
        ..1_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}
