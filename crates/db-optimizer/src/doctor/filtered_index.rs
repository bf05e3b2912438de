//! Indexes that find far more rows than are wanted.

use super::{Case, Visit, visit::shown};
use crate::{Finding, Severity, quantity::Count};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let filter = node.filter.as_deref()?;
    let is_index = matches!(
        node.node_type.as_str(),
        "Index Scan" | "Index Only Scan" | "Bitmap Heap Scan"
    );
    let kept = node.all_rows()?;
    let removed = node.over_all_loops(node.rows_removed_by_filter)?;
    if !is_index || removed < 10.0 * kept.max(1.0) || removed < 1_000.0 || !visit.matters {
        return None;
    }
    Some(
        visit
            .finding("filtered_index", Severity::Warning)
            .seen(format!(
                "the index found {} rows, of which {} were refused by {}{}",
                Count(removed + kept),
                Count(removed),
                shown(filter),
                visit.time()
            ))
            .number("kept_rows", kept)
            .number("removed_rows", removed)
            .why("each of these rows was fetched from the table to be thrown away")
            .action("add the column of the filter to the index, or make the index partial where the filter is always the same"),
    )
}
