//! A check: one statement, and what its rows mean.

use ruleiq_query::Queries;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::HealthLimits;
use crate::{Error, Finding};

/// The most findings of one check that are reported.
pub(super) const MAX_FINDINGS: usize = 50;

/// One statement and how its rows are read. A statement ends with `LIMIT 51`, one more than is
/// reported, and gives the worst first.
pub(super) struct Check {
    /// The code of its findings.
    pub(super) code: &'static str,
    /// What is read, for an error.
    pub(super) what: &'static str,
    pub(super) sql: &'static str,
    /// The limits that the statement compares with, as its parameters.
    pub(super) limits: fn(&HealthLimits) -> Vec<f64>,
    pub(super) finding: fn(&Row) -> Finding,
}

/// What a check has found, and whether there is more.
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    pub(super) is_cut: bool,
}

impl Check {
    pub(super) async fn run(
        &self,
        queries: &impl Queries,
        limits: &HealthLimits,
    ) -> Result<Found, Error> {
        let limits = (self.limits)(limits);
        let rows = rows(queries, self.sql, &limits).await;
        let rows = rows.map_err(Error::reading(self.what))?;
        Ok(Found {
            findings: rows.iter().take(MAX_FINDINGS).map(self.finding).collect(),
            is_cut: rows.len() > MAX_FINDINGS,
        })
    }
}

/// The rows of a statement whose parameters are numbers.
pub(super) async fn rows(
    queries: &impl Queries,
    sql: &str,
    limits: &[f64],
) -> Result<Vec<Row>, ruleiq_query::Error> {
    let parameters: Vec<&(dyn ToSql + Sync)> =
        limits.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
    queries.query(sql, &parameters).await
}

/// A count, a size or a ratio of a row as a number; 0 where it is null.
pub(super) fn number(row: &Row, name: &str) -> f64 {
    let column = row.columns().iter().find(|it| it.name() == name);
    match column.map(tokio_postgres::Column::type_) {
        Some(&Type::FLOAT8) => row.get::<_, Option<f64>>(name).unwrap_or(0.0),
        _ => count(row.get::<_, Option<i64>>(name).unwrap_or(0)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here needs 53 bits")]
fn count(bigint: i64) -> f64 {
    bigint as f64
}

#[expect(clippy::cast_precision_loss, reason = "no limit needs 53 bits")]
pub(super) fn limit(count: u64) -> f64 {
    count as f64
}

/// The tables, indexes and sequences that are the users' own: not of the system, not temporary, and
/// not of an extension, whose author decides about them.
macro_rules! of_users {
    ($relation:literal, $namespace:literal) => {
        concat!(
            $namespace,
            ".nspname <> 'information_schema' AND ",
            $namespace,
            ".nspname !~ '^pg_' AND ",
            $relation,
            ".relpersistence <> 't' AND NOT EXISTS (
                SELECT FROM pg_depend owned
                WHERE owned.classid = 'pg_class'::regclass AND owned.objid = ",
            $relation,
            ".oid AND owned.deptype = 'e')"
        )
    };
}

pub(super) use of_users;
