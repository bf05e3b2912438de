//! Bitmaps that had no room to name each row.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Count};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let (lossy, exact) = (
        node.lossy_heap_blocks?,
        node.exact_heap_blocks.unwrap_or(0.0),
    );
    if lossy <= (lossy + exact) / 10.0 || !visit.matters {
        return None;
    }
    let removed = node.over_all_loops(node.rows_removed_by_index_recheck);
    Some(
        visit
            .finding("lossy_bitmap", Severity::Warning)
            .seen(format!(
                "{} of {} pages were read as a whole, and {} of their rows refused{}",
                Count(lossy),
                Count(lossy + exact),
                Count(removed.unwrap_or(0.0)),
                visit.time()
            ))
            .number("lossy_pages", lossy)
            .number("exact_pages", exact)
            .number("removed_rows", removed.unwrap_or(0.0))
            .why("the bitmap did not fit in `work_mem`, so that every row of these pages was checked again")
            .action("give this statement's role more `work_mem`, or make an index that finds fewer rows"),
    )
}
