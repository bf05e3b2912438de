//! The slow statements, from `pg_stat_statements`.
//!
//! Its texts have `$1` for constants, but only in statements that are planned: `CREATE ROLE …
//! PASSWORD '…'` is kept as it was sent. So no text leaves here that has not gone through
//! [`Fingerprint::normalized`].

mod baseline;
mod degradation;
mod plans;

use std::time::Duration;

use ruleiq_query::{Error as QueryError, Fingerprint, Queries};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use tokio_postgres::{Row, error::SqlState};

pub use self::{
    baseline::{Baseline, BaselineStatement, Regression},
    degradation::Degradation,
};
use crate::{
    Error, Finding, NotPlanned, count,
    duration::{self, from_milliseconds, milliseconds},
    statement_text::shown,
    statements_view::{self, Found, StatementsView},
};

/// The most statements that are reported.
const MAX_STATEMENTS: usize = 100;
/// The most entries that are read; several may be the same statement.
const MAX_ENTRIES: usize = 2 * MAX_STATEMENTS;
/// So much of a text is read, in characters.
const MAX_READ_CHARS: usize = 16_384;

/// The slow statements of a database.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowQueries {
    /// What a statement's mean or longest run had to exceed.
    #[serde(rename = "threshold_ms", serialize_with = "duration::serialize")]
    pub threshold: Duration,
    /// Since when the server has counted, where it says so.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// The statements, those with the most time in all first; at most 100.
    pub statements: Vec<SlowQuery>,
    /// What could not be seen, and why. Empty when this is all there is to know.
    pub degraded: Vec<Degradation>,
}

/// A statement that is slow, over all its runs whoever sent it.
///
/// Serialized, durations are milliseconds and their names end in `_ms`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowQuery {
    /// The statement with `?` for each constant, at most 4 KiB of it; `None` where the server has
    /// lost the text.
    pub query: Option<String>,
    /// Names its shape, as the statement log of a scope does; `None` where not all of the text
    /// was read.
    #[serde(serialize_with = "serialize_fingerprint")]
    pub fingerprint: Option<Fingerprint>,
    /// Whether a client sent it, and not a function.
    pub top_level: bool,
    /// How often it ran.
    pub calls: u64,
    /// The mean run.
    #[serde(rename = "mean_ms", serialize_with = "duration::serialize")]
    pub mean: Duration,
    /// The longest run.
    #[serde(rename = "max_ms", serialize_with = "duration::serialize")]
    pub max: Duration,
    /// All runs together.
    #[serde(rename = "total_ms", serialize_with = "duration::serialize")]
    pub total: Duration,
    /// How many rows it returned or changed in all.
    pub rows: u64,
    /// How many 8 KiB blocks it found in shared memory.
    pub shared_blocks_hit: u64,
    /// How many it had to read.
    pub shared_blocks_read: u64,
    /// The plan for any constants, one node a line; `None` where there is none, and `not_planned`
    /// says why.
    pub plan: Option<String>,
    /// What the planner believes a run costs.
    pub estimated_cost: Option<f64>,
    /// Why there is no plan.
    pub not_planned: Option<NotPlanned>,
    /// What is wrong with it, as far as a plan that was not run shows; the most severe first.
    pub findings: Vec<Finding>,
}

/// A statement with its text, of which nothing may leave that has not been normalized.
struct Entry {
    statement: SlowQuery,
    /// The text, where all of it was read.
    text: Option<String>,
}

/// The slow statements of this database.
pub(crate) async fn analyze(
    queries: &impl Queries,
    threshold: Duration,
    max_plans: usize,
) -> Result<SlowQueries, Error> {
    let mut slow = SlowQueries {
        threshold,
        since: None,
        statements: Vec::new(),
        degraded: Vec::new(),
    };
    let found = match statements_view::find(queries).await? {
        Found::View(view) => fill(&mut slow, queries, &view).await,
        Found::Nothing => {
            slow.degraded.push(Degradation::NotInstalled);
            Ok(Vec::new())
        }
        Found::UnknownColumns => {
            slow.degraded.push(Degradation::UnknownColumns);
            Ok(Vec::new())
        }
    };
    match found {
        Ok(texts) => plans::add(&mut slow, queries, &texts, max_plans).await?,
        Err(error) => {
            let refusal = refusal(&error);
            slow.degraded
                .push(refusal.ok_or_else(|| Error::reading("pg_stat_statements")(error))?);
        }
    }
    Ok(slow)
}

/// What an error of the view takes away, if it is one that can be lived with.
fn refusal(error: &QueryError) -> Option<Degradation> {
    match *error.sql_state()? {
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => Some(Degradation::NotPreloaded),
        SqlState::INSUFFICIENT_PRIVILEGE => Some(Degradation::Forbidden),
        _ => None,
    }
}

/// Fills in the statements and answers their texts, in the same order.
async fn fill(
    slow: &mut SlowQueries,
    queries: &impl Queries,
    view: &StatementsView,
) -> Result<Vec<Option<String>>, QueryError> {
    let threshold_ms = milliseconds(slow.threshold);
    let limit = i64::try_from(MAX_ENTRIES).unwrap_or(i64::MAX);
    let entries = queries
        .query(&visible(view), &[&threshold_ms, &limit])
        .await?;
    let hidden = queries.query_one(&hidden(view), &[&threshold_ms]).await?;
    if view.has_info {
        let info = format!(
            "SELECT stats_reset, dealloc FROM {}.pg_stat_statements_info",
            view.schema
        );
        let info = queries.query_one(&info, &[]).await?;
        slow.since = info.get(0);
        let evictions = count::of(info.get(1));
        if evictions > 0 {
            slow.degraded.push(Degradation::Evicted { evictions });
        }
    }

    let statements = count::of(hidden.get(0));
    if statements > 0 {
        slow.degraded.push(Degradation::Hidden { statements });
    }
    let texts;
    (slow.statements, texts) = merged(&entries)
        .into_iter()
        .map(|it| (it.statement, it.text))
        .unzip();
    if slow.statements.iter().any(|it| it.query.is_none()) {
        slow.degraded.push(Degradation::TextsLost);
    }
    if entries.len() == MAX_ENTRIES || slow.statements.len() > MAX_STATEMENTS {
        slow.statements.truncate(MAX_STATEMENTS);
        slow.degraded.push(Degradation::TooMany {
            reported: slow.statements.len(),
        });
    }
    Ok(texts)
}

/// The entries whose text may be read. Each role has entries of its own for the same statement.
fn visible(view: &StatementsView) -> String {
    let StatementsView {
        schema,
        total_time,
        max_time,
        top_level,
        ..
    } = view;
    format!(
        "WITH entry AS (
             SELECT queryid, {top_level} AS top_level,
                    min(left(query, {MAX_READ_CHARS} + 1)) AS query,
                    sum(calls)::bigint AS calls,
                    sum({total_time}) AS total_ms,
                    max({max_time}) AS max_ms,
                    sum(rows)::bigint AS rows,
                    sum(shared_blks_hit)::bigint AS hit,
                    sum(shared_blks_read)::bigint AS read
             FROM {schema}.pg_stat_statements
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND queryid IS NOT NULL AND calls > 0
             GROUP BY queryid, top_level
         )
         SELECT query, top_level, calls, total_ms, max_ms, rows, hit, read
         FROM entry
         WHERE total_ms / calls > $1::float8 OR max_ms > $1::float8
         ORDER BY total_ms DESC, queryid
         LIMIT $2::bigint"
    )
}

/// How many entries are slow and not ours to read: those have no `queryid` either.
fn hidden(view: &StatementsView) -> String {
    let StatementsView {
        schema,
        total_time,
        max_time,
        ..
    } = view;
    format!(
        "SELECT count(*)
         FROM {schema}.pg_stat_statements
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND queryid IS NULL AND calls > 0
           AND ({total_time} / calls > $1::float8 OR {max_time} > $1::float8)"
    )
}

/// Joins the entries that are the same statement but for the length of a list or its spelling.
fn merged(entries: &[Row]) -> Vec<Entry> {
    let mut statements: Vec<Entry> = Vec::new();
    for entry in entries.iter().map(Entry::of) {
        let same = statements.iter_mut().find(|it| {
            it.statement.fingerprint.is_some()
                && it.statement.fingerprint == entry.statement.fingerprint
                && it.statement.top_level == entry.statement.top_level
        });
        match same {
            Some(found) => found.statement.add(&entry.statement),
            None => statements.push(entry),
        }
    }
    statements.sort_by_key(|it| std::cmp::Reverse(it.statement.total));
    statements
}

impl Entry {
    fn of(row: &Row) -> Entry {
        let text: Option<String> = row.get(0);
        let whole = text
            .as_ref()
            .filter(|it| it.chars().count() <= MAX_READ_CHARS);
        Entry {
            statement: SlowQuery::of(row, text.as_deref(), whole.map(String::as_str)),
            text: whole.cloned(),
        }
    }
}

impl SlowQuery {
    fn of(entry: &Row, text: Option<&str>, whole: Option<&str>) -> SlowQuery {
        let (calls, total_ms): (i64, f64) = (entry.get(2), entry.get(3));
        SlowQuery {
            query: text.map(shown),
            fingerprint: whole.map(Fingerprint::of),
            top_level: entry.get(1),
            calls: count::of(calls),
            mean: mean(total_ms, count::of(calls)),
            max: from_milliseconds(entry.get(4)),
            total: from_milliseconds(total_ms),
            rows: count::of(entry.get(5)),
            shared_blocks_hit: count::of(entry.get(6)),
            shared_blocks_read: count::of(entry.get(7)),
            plan: None,
            estimated_cost: None,
            not_planned: None,
            findings: Vec::new(),
        }
    }

    fn add(&mut self, other: &SlowQuery) {
        self.calls += other.calls;
        self.total = self.total.saturating_add(other.total);
        self.mean = mean(milliseconds(self.total), self.calls);
        self.max = self.max.max(other.max);
        self.rows += other.rows;
        self.shared_blocks_hit += other.shared_blocks_hit;
        self.shared_blocks_read += other.shared_blocks_read;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean needs no 53 bits")]
fn mean(total_ms: f64, calls: u64) -> Duration {
    from_milliseconds(total_ms / calls.max(1) as f64)
}

fn serialize_fingerprint<S: Serializer>(
    fingerprint: &Option<Fingerprint>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match fingerprint {
        Some(fingerprint) => serializer.collect_str(fingerprint),
        None => serializer.serialize_none(),
    }
}
