//! Counts of all there is.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Count};

const ROWS: f64 = 1e6;

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let counts = node.output.iter().any(|it| it == "count(*)") || case.says("count ( * )");
    let is_whole = visit.is("Aggregate")
        && node.group_key.is_empty()
        && matches!(
            node.partial_mode.as_deref(),
            None | Some("Simple" | "Finalize")
        );
    if !is_whole || !counts {
        return None;
    }
    // Below the parts of an aggregate that was shared lies the scan.
    let scan = node.nodes().find(|it| it.relation.is_some())?;
    let rows = scan
        .all_rows()
        .or(scan.plan_rows)
        .filter(|rows| *rows >= ROWS)?;
    Some(
        visit
            .finding("count_all", Severity::Notice)
            .seen(format!("{} rows are read to be counted", Count(rows)))
            .number("rows", rows)
            .why("a count looks at every row, since each transaction sees its own")
            .action(
                "where about is enough, read `reltuples` of pg_class; else keep a count in a table; VACUUM lets \
                 an index alone be counted",
            ),
    )
}
