//! Tables that are read as a whole for a few of their rows.

use super::{Case, Visit, visit::shown};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

/// Below so many pages an index gains nothing that anybody feels.
const PAGES: u64 = 1_000;

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let filter = node.filter.as_deref()?;
    if !visit.is("Seq Scan") || !visit.matters {
        return None;
    }
    let pages = case.table(node).map(|it| it.pages);
    let (kept, removed) = match node.has_run() {
        true => (
            node.all_rows()?,
            node.over_all_loops(node.rows_removed_by_filter)?,
        ),
        // Without a run: what the planner expects of the rows that there are.
        false => {
            let all = case.table(node)?.rows;
            (node.plan_rows?, super::case::number(all) - node.plan_rows?)
        }
    };
    let share = removed / (removed + kept).max(1.0);
    let is_large = pages.map_or(removed >= 50_000.0, |it| it > PAGES);
    if share < 0.9 || !is_large {
        return None;
    }
    let is_sure = node.has_run();
    Some(
        visit
            .finding("filtered_scan", Severity::Warning)
            .seen(format!(
                "{} of {} rows {} refused by {}{}",
                Share(share),
                Count(removed + kept),
                if is_sure { "were" } else { "would be" },
                shown(filter),
                visit.time()
            ))
            .number("kept_rows", kept)
            .number("removed_rows", removed)
            .number("removed_share", share)
            .why("the whole table is read for a few of its rows")
            .action("index the columns that the filter compares, those with equality first, and ask whether the plan uses it"),
    )
}
