//! Index-only scans that went to the table.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Count};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let (fetches, rows) = (node.heap_fetches?, node.all_rows()?);
    if !visit.is("Index Only Scan") || fetches < rows / 10.0 || fetches < 100.0 || !visit.matters {
        return None;
    }
    let table = node.relation.as_deref().unwrap_or("the table");
    Some(
        visit
            .finding("heap_fetches", Severity::Warning)
            .seen(format!(
                "{} of {} rows were looked up in the table{}",
                Count(fetches),
                Count(rows),
                visit.time()
            ))
            .number("heap_fetches", fetches)
            .number("rows", rows)
            .why("only pages that vacuum has found to be visible to all need no look at the table")
            .action(format!(
                "VACUUM {table:?}; to have it done more often, lower its `autovacuum_vacuum_insert_scale_factor` and \
                 `autovacuum_vacuum_scale_factor`"
            )),
    )
}
