//! The health of a database: what the server's own statistics say that somebody should know.
//!
//! One check per file, each of them one statement over the catalogue. Columns that came with later
//! versions are read by way of `to_jsonb`, where a column that is not there is null.

mod blocking;
mod cache_hits;
mod check;
mod circumstances;
mod connections;
mod droppable;
mod duplicate_indexes;
mod hot_updates;
mod indexes;
mod invalid_indexes;
mod limits;
mod long_transactions;
mod prefix_indexes;
mod primary_keys;
mod replication_lag;
mod replication_slots;
mod sequences;
mod settings;
mod stale_statistics;
mod temporary_files;
mod unseen;
mod unused_indexes;
mod vacuum_lag;
mod wraparound;

use std::{cmp::Reverse, fmt};

use ruleiq_query::Queries;
use serde::Serialize;
use time::OffsetDateTime;

use self::{
    check::{Check, MAX_FINDINGS},
    circumstances::Circumstances,
};
pub use self::{
    droppable::{DropReason, DroppableIndex},
    limits::HealthLimits,
    unseen::Unseen,
};
use crate::{Error, Finding, read_only::ReadOnly};

/// The health of a database and of the server that it is on.
///
/// Displayed, it is a text for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HealthReport {
    /// The database.
    pub database: String,
    /// The server's version, as in `15.4`.
    pub server_version: String,
    /// Whether the server is a standby.
    pub is_standby: bool,
    /// Since when the counters of the database count; `None` where the server does not say.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// What deserves attention, the most severe first; at most 50 of a kind.
    pub findings: Vec<Finding>,
    /// The indexes among them that could be dropped; at most 50 of a kind.
    pub droppable_indexes: Vec<DroppableIndex>,
    /// What could not be seen, and why.
    pub degraded: Vec<Unseen>,
}

const CHECKS: &[Check] = &[
    wraparound::CHECK,
    blocking::CHECK,
    connections::CHECK,
    sequences::CHECK,
    replication_slots::CHECK,
    replication_lag::OF_OTHERS,
    replication_lag::OWN,
    long_transactions::CHECK,
    vacuum_lag::CHECK,
    stale_statistics::CHECK,
    cache_hits::CHECK,
    temporary_files::CHECK,
    invalid_indexes::CHECK,
    hot_updates::CHECK,
    primary_keys::CHECK,
    settings::CHECK,
];

/// Over catalogues compiling costs seconds and gains nothing. A check that waits for a lock, or that
/// takes long, is given up.
const SETTINGS: &str = "SET LOCAL jit = off; SET LOCAL statement_timeout = '5s';
    SET LOCAL lock_timeout = '1s'; SAVEPOINT ruleiq_check";

/// Runs all checks. One that the server refuses takes nothing from the others.
pub(crate) async fn report(
    queries: &impl Queries,
    limits: &HealthLimits,
) -> Result<HealthReport, Error> {
    let failed = Error::reading("the health of the database");
    let reading = ReadOnly::begin(queries, SETTINGS).await.map_err(failed)?;
    let report = check_all(queries, limits).await;
    let failed = Error::reading("the health of the database");
    // Whatever has happened, or the caller is left in a transaction.
    let ended = reading.end().await.map_err(failed);
    let report = report?;
    ended.map(|()| report)
}

async fn check_all(queries: &impl Queries, limits: &HealthLimits) -> Result<HealthReport, Error> {
    let circumstances = Circumstances::read(queries).await?;
    let mut report = HealthReport {
        findings: Vec::new(),
        droppable_indexes: Vec::new(),
        degraded: circumstances.unseen(limits),
        database: circumstances.database.clone(),
        server_version: circumstances.server_version.clone(),
        is_standby: circumstances.is_standby,
        since: circumstances.since,
    };
    for check in CHECKS {
        match check.run(queries, limits).await {
            Ok(found) => report.add(check.code, found.findings, found.is_cut),
            Err(error) => report
                .degraded
                .push(refusal(queries, check.code, error).await?),
        }
    }
    match indexes::read(queries, limits, &circumstances.window()).await {
        Ok(found) => {
            report.droppable_indexes = found.indexes;
            report.findings.extend(found.findings);
            found.cut.into_iter().for_each(|it| report.cut(it));
        }
        Err(error) => {
            let refusal = refusal(queries, "droppable_indexes", error).await?;
            report.degraded.push(refusal);
        }
    }
    report.findings.sort_by_key(|it| Reverse(it.severity));
    Ok(report)
}

/// The indexes that could be dropped, without the rest of the report.
pub(crate) async fn droppable_indexes(
    queries: &impl Queries,
    limits: &HealthLimits,
) -> Result<Vec<DroppableIndex>, Error> {
    let failed = Error::reading("the indexes from the catalogue");
    let reading = ReadOnly::begin(queries, SETTINGS).await.map_err(failed)?;
    let found = indexes::read(queries, limits, "").await;
    let failed = Error::reading("the indexes from the catalogue");
    let ended = reading.end().await.map_err(failed);
    let found = found?;
    ended.map(|()| found.indexes)
}

/// What a check's error takes away, if it is the check alone that fails; what comes after it goes on.
async fn refusal(
    queries: &impl Queries,
    check: &'static str,
    error: Error,
) -> Result<Unseen, Error> {
    let sql_state = match error.query_error().sql_state() {
        Some(state) if !error.query_error().is_connection_lost() => state.code().to_owned(),
        _ => return Err(error),
    };
    let undone = queries
        .batch_execute("ROLLBACK TO SAVEPOINT ruleiq_check")
        .await;
    undone.map_err(Error::reading("the health of the database"))?;
    Ok(Unseen::Refused { check, sql_state })
}

impl HealthReport {
    fn add(&mut self, code: &'static str, findings: Vec<Finding>, is_cut: bool) {
        self.findings.extend(findings);
        if is_cut {
            self.cut(code);
        }
    }

    fn cut(&mut self, check: &'static str) {
        self.degraded.push(Unseen::TooMany {
            check,
            reported: MAX_FINDINGS,
        });
    }
}

impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.is_standby {
            true => "standby",
            false => "primary",
        };
        let (database, version) = (&self.database, &self.server_version);
        writeln!(f, "database {database:?}, PostgreSQL {version}, {role}")?;
        match self.since {
            Some(since) => writeln!(f, "counted since {}", since.date())?,
            None => writeln!(f, "counted since nobody knows when")?,
        }
        if self.findings.is_empty() {
            writeln!(f, "nothing deserves attention")?;
        }
        for finding in &self.findings {
            writeln!(f, "\n{finding}")?;
        }
        if !self.degraded.is_empty() {
            writeln!(f, "\nnot seen:")?;
        }
        for unseen in &self.degraded {
            writeln!(f, "    {unseen}")?;
        }
        Ok(())
    }
}
