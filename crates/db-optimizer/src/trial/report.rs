//! What a trial has seen.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::duration;

/// What statements took with the indexes that were advised, and without.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Trial {
    /// Each statement that was run, with the indexes that are left.
    pub statements: Vec<TriedStatement>,
    /// The statements that were not.
    pub not_run: Vec<NotRun>,
    /// The indexes to leave out.
    pub discarded: Vec<DiscardedIndex>,
    /// The names of those that are left and that a plan takes.
    pub taken: Vec<String>,
    /// The names of those that could not be tried: rows were changed in place that somebody still sees, so the
    /// planner passes the index over until its transaction has ended; or the index of a partition is there already, and
    /// taking out the new one would take that with it.
    pub passed_over: Vec<String>,
    /// What those take that are left, built.
    pub size_bytes: u64,
    /// What the statements took with all of them, each as often as it runs; none where the trial ended before that.
    #[serde(
        rename = "with_all_ms",
        serialize_with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub with_all: Option<Duration>,
    /// Whether it came to its end; otherwise a limit was reached, and some statement may still be slower.
    pub is_complete: bool,
}

/// What a statement took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TriedStatement {
    /// Its name in the workload.
    pub name: String,
    /// How often it runs.
    pub calls: f64,
    /// The fastest run without the indexes, planned and executed.
    #[serde(rename = "before_ms", serialize_with = "duration::serialize")]
    pub before: Duration,
    /// The fastest run with them; none where the trial ended before its turn came.
    #[serde(
        rename = "after_ms",
        serialize_with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Duration>,
    /// Why it does not come to its end with them; `after` is the limit then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails: Option<NotRunReason>,
    /// Whether it is slower: a limit came first, or no index could be found that makes it so.
    pub is_slower: bool,
    /// The plan with them, without constants, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_after: Option<String>,
}

/// A statement that was not run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NotRun {
    /// Its name in the workload.
    pub name: String,
    /// Why.
    pub reason: NotRunReason,
}

/// Why a statement was not run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
#[non_exhaustive]
pub enum NotRunReason {
    /// It has parameters, and nothing tells their values.
    Parameters,
    /// It is a command that has no plan.
    Command,
    /// It writes.
    Writes,
    /// It took longer than a run may.
    TooSlow,
    /// The time was over before its turn came.
    NotTried,
    /// The server refused it.
    Refused {
        /// The code.
        sql_state: String,
    },
}

/// An index to leave out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DiscardedIndex {
    /// The name that was advised.
    pub name: String,
    /// Why.
    #[serde(flatten)]
    pub reason: DiscardReason,
}

/// Why an index is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum DiscardReason {
    /// With it and others, a statement was slower than without all of them.
    Slower {
        /// The statement's name.
        statement: String,
        /// Its fastest run without all of them.
        #[serde(rename = "before_ms", serialize_with = "duration::serialize")]
        before: Duration,
        /// Its fastest run with them.
        #[serde(rename = "after_ms", serialize_with = "duration::serialize")]
        after: Duration,
        /// Why it did not come to its end with them; `after` is the limit then.
        #[serde(skip_serializing_if = "Option::is_none")]
        fails: Option<NotRunReason>,
    },
    /// No plan takes it, though each statement that it was advised for was run.
    Unused,
    /// It could not be built.
    NotBuilt {
        /// The server's code.
        sql_state: String,
    },
}

impl Trial {
    /// What the workload takes without the indexes: each statement as often as it runs.
    pub fn before(&self) -> Duration {
        sum(self.statements.iter().map(|it| (it.calls, it.before)))
    }

    /// What it takes with those that are left, if each statement was run with them.
    pub fn after(&self) -> Option<Duration> {
        let times = self.statements.iter();
        let times: Option<Vec<_>> = times.map(|it| Some((it.calls, it.after?))).collect();
        times.map(|it| sum(it.into_iter()))
    }
}

/// Times, each as often as it comes.
pub(super) fn sum(times: impl Iterator<Item = (f64, Duration)>) -> Duration {
    let seconds = times.map(|(calls, it)| calls * it.as_secs_f64()).sum();
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

fn milliseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => duration::serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}
