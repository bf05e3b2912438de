//! What slow statements were like at some time, and which have become slower since.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{SlowQueries, SlowQuery};
use crate::duration::{self, from_milliseconds, milliseconds};

/// So many times its mean is a regression.
const FACTOR: f64 = 1.5;
/// Less than this is within what a clock and a cache do.
const LEAST_MS: f64 = 1.0;
/// The mean of fewer runs says little.
const LEAST_CALLS: u64 = 5;

/// What slow statements were like, to be kept and compared with later.
///
/// It holds fingerprints and counts, no texts. Take it with a threshold of zero: what is not in it
/// cannot be compared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Baseline {
    /// Since when the server had counted, where it said so.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// The statements.
    pub statements: Vec<BaselineStatement>,
}

/// A statement of a baseline.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BaselineStatement {
    /// Its fingerprint, as text.
    pub fingerprint: String,
    /// Whether a client sent it, and not a function.
    pub top_level: bool,
    /// How often it had run.
    pub calls: u64,
    /// All runs together, in milliseconds.
    pub total_ms: f64,
}

/// A statement that has become slower.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Regression {
    /// Its fingerprint, as text.
    pub fingerprint: String,
    /// Its text with `?` for each constant.
    pub query: Option<String>,
    /// The runs that were compared: those since the baseline, where the server has counted on.
    pub calls: u64,
    /// The mean run of the baseline.
    #[serde(rename = "before_ms", serialize_with = "duration::serialize")]
    pub before: Duration,
    /// The mean of the runs that were compared.
    #[serde(rename = "after_ms", serialize_with = "duration::serialize")]
    pub after: Duration,
    /// How many times as long it takes.
    pub factor: f64,
}

impl SlowQueries {
    /// What to compare a later analysis with.
    pub fn baseline(&self) -> Baseline {
        let statements = self.statements.iter().filter_map(|it| {
            Some(BaselineStatement {
                fingerprint: it.fingerprint?.to_string(),
                top_level: it.top_level,
                calls: it.calls,
                total_ms: milliseconds(it.total),
            })
        });
        Baseline {
            since: self.since,
            statements: statements.collect(),
        }
    }

    /// The statements whose mean run is at least half as long again as in the baseline, and 1 ms
    /// longer, over five runs or more; those that cost the most more first.
    pub fn regressions(&self, baseline: &Baseline) -> Vec<Regression> {
        let counts_on = self.since == baseline.since;
        let mut regressions: Vec<Regression> = self
            .statements
            .iter()
            .filter_map(|it| {
                let fingerprint = it.fingerprint?.to_string();
                let mut before = baseline.statements.iter();
                let before = before
                    .find(|was| was.fingerprint == fingerprint && was.top_level == it.top_level)?;
                regression(it, before, counts_on)
            })
            .collect();
        let cost =
            |it: &Regression| (milliseconds(it.after) - milliseconds(it.before)) * number(it.calls);
        regressions.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
        regressions
    }
}

fn regression(now: &SlowQuery, before: &BaselineStatement, counts_on: bool) -> Option<Regression> {
    let total = milliseconds(now.total);
    // An entry that was thrown away and came back counts from zero.
    let (calls, spent) = match counts_on && now.calls >= before.calls && total >= before.total_ms {
        true => (now.calls - before.calls, total - before.total_ms),
        false => (now.calls, total),
    };
    let was = before.total_ms / number(before.calls.max(1));
    let is = spent / number(calls.max(1));
    let is_slower = is >= was * FACTOR && is - was >= LEAST_MS && calls >= LEAST_CALLS;
    is_slower.then(|| Regression {
        fingerprint: before.fingerprint.clone(),
        query: now.query.clone(),
        calls,
        before: from_milliseconds(was),
        after: from_milliseconds(is),
        factor: is / was.max(f64::MIN_POSITIVE),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a mean needs no 53 bits")]
fn number(count: u64) -> f64 {
    count as f64
}
