//! Joins that compare pairs one by one.

use super::{Case, Visit, visit::shown};
use crate::{Finding, Severity, quantity::Count};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let filter = node.join_filter.as_deref()?;
    let (kept, removed) = (
        node.all_rows()?,
        node.over_all_loops(node.rows_removed_by_join_filter)?,
    );
    if removed < 10.0 * kept || removed < 10_000.0 || !visit.matters {
        return None;
    }
    Some(
        visit
            .finding("join_filter", Severity::Warning)
            .seen(format!(
                "{} pairs were made and refused by {}{}",
                Count(removed),
                shown(filter),
                visit.time()
            ))
            .number("kept_pairs", kept)
            .number("removed_pairs", removed)
            .why("a condition that is no equality can neither be hashed nor merged: every row meets every other")
            .action("join by an equality as well; take an OR apart into a UNION of two joins"),
    )
}
