//! Statements that return more than anybody reads.

use super::Case;
use crate::{Finding, Severity, quantity::Count};

const ROWS: f64 = 10_000.0;

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let runs = case.runs.filter(|it| it.calls > 0)?;
    let rows = super::case::number(runs.rows) / super::case::number(runs.calls);
    let is_select = case.text.as_deref()?.starts_with("select ");
    let is_bounded = case.says("limit") || case.says("fetch");
    if rows < ROWS || !is_select || is_bounded {
        return None;
    }
    Some(
        Finding::new("missing_limit", Severity::Notice, "the statement")
            .seen(format!("{} rows per run, and no LIMIT", Count(rows)))
            .number("rows_per_call", rows)
            .why("all of them are made, sent and held in memory before anybody looks at the first")
            .action("read page by page, or through a cursor"),
    )
}
