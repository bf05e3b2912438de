//! Tables that are not what the planner takes them for.

use super::{Case, Visit};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let table = case.table(visit.node)?;
    let (changed, rows) = (
        super::case::number(table.changed_rows),
        super::case::number(table.rows),
    );
    let share = changed / rows.max(1.0);
    let is_new = !table.is_analyzed && changed.max(rows) >= 1_000.0;
    // A table that is joined with itself is told of once.
    let is_first = case
        .plan
        .nodes()
        .find(|it| case.table(it) == Some(table))
        .is_some_and(|it| std::ptr::eq(it, visit.node));
    if !is_first || !(is_new || share > 0.1 && changed >= 1_000.0) {
        return None;
    }
    Some(
        visit
            .finding("stale_statistics", Severity::Warning)
            .seen(match table.is_analyzed {
                true => format!(
                    "{} rows changed since it was analyzed, {} of all",
                    Count(changed),
                    Share(share)
                ),
                false => format!("it was never analyzed, with {} rows", Count(rows)),
            })
            .number("changed_rows", changed)
            .number("rows", rows)
            .why("the planner counts by what the table no longer is")
            .action("ANALYZE it; if that happens again and again, lower its `autovacuum_analyze_scale_factor`"),
    )
}
