//! The indexes that could be dropped, each once.

use std::collections::HashSet;

use ruleiq_query::Queries;
use tokio_postgres::Row;

use super::{
    HealthLimits,
    check::{self, MAX_FINDINGS, limit},
    droppable::{DropReason, DroppableIndex},
    duplicate_indexes, invalid_indexes, prefix_indexes, unused_indexes,
};
use crate::{Error, Finding};

/// What could be dropped, and what the report says of it.
pub(super) struct Droppable {
    pub(super) indexes: Vec<DroppableIndex>,
    pub(super) findings: Vec<Finding>,
    /// The codes of which there are more than are reported.
    pub(super) cut: Vec<&'static str>,
}

/// Reads them. What covers another is itself in use: when the cover is to be dropped because nothing uses
/// it, what it covers stays.
pub(super) async fn read(
    queries: &impl Queries,
    limits: &HealthLimits,
    window: &str,
) -> Result<Droppable, Error> {
    let unused_limits = [
        limits.unused_for.as_secs_f64(),
        limit(limits.unused_index_bytes),
    ];
    let invalid = rows(queries, invalid_indexes::DROPPABLE, &[]).await?;
    let unused = rows(queries, unused_indexes::SQL, &unused_limits).await?;
    let duplicates = rows(queries, duplicate_indexes::SQL, &[]).await?;
    let prefixes = rows(queries, prefix_indexes::SQL, &[]).await?;

    let mut droppable = Droppable {
        indexes: Vec::new(),
        findings: Vec::new(),
        cut: Vec::new(),
    };
    droppable.add(&invalid, window, |_| DropReason::Invalid);
    droppable.add(&unused, window, |_| DropReason::Unused);
    droppable.add(&duplicates, window, |row| DropReason::Duplicate {
        of: row.get("keeper"),
    });
    droppable.add(&prefixes, window, |row| DropReason::Prefix {
        of: row.get("keeper"),
    });
    Ok(droppable)
}

async fn rows(queries: &impl Queries, sql: &str, limits: &[f64]) -> Result<Vec<Row>, Error> {
    let rows = check::rows(queries, sql, limits).await;
    rows.map_err(Error::reading("the indexes from the catalogue"))
}

impl Droppable {
    fn add(&mut self, rows: &[Row], window: &str, reason: impl Fn(&Row) -> DropReason) {
        let unused = self.unused();
        let taken: HashSet<String> = self.indexes.iter().map(|it| it.index.clone()).collect();
        for row in rows.iter().take(MAX_FINDINGS) {
            let index = DroppableIndex::of(row, reason(row));
            let cover = index.reason.covered_by();
            if taken.contains(&index.index) || cover.is_some_and(|it| unused.contains(it)) {
                continue;
            }
            self.findings.extend(index.finding(row, window));
            self.indexes.push(index);
        }
        // The invalid ones have a check of their own, which says so.
        if let Some(row) = rows.get(MAX_FINDINGS)
            && reason(row) != DropReason::Invalid
        {
            self.cut.push(reason(row).code());
        }
    }

    fn unused(&self) -> HashSet<String> {
        let unused = self.indexes.iter();
        let unused = unused.filter(|it| it.reason == DropReason::Unused);
        unused.map(|it| it.index.clone()).collect()
    }
}
