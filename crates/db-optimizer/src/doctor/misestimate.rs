//! Rows that the planner did not expect.

use super::{Case, Visit, visit::shown};
use crate::{Finding, Severity, plan::Node, quantity::Count};

/// A tenth or ten times as many turns a good join into a bad one.
const FACTOR: f64 = 10.0;
/// Of fewer rows nothing depends.
const ROWS: f64 = 100.0;

/// The lowest such node is the cause of those above it.
pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let factor = factor(node)?;
    let is_cause = !node.children.iter().any(|it| self::factor(it).is_some());
    if !is_cause || ends_early(visit) {
        return None;
    }
    let (expected, found) = (node.plan_rows?, node.actual_rows?);
    let conditions: Vec<String> = node.conditions().map(shown).collect();
    let by = match conditions.is_empty() {
        true => String::new(),
        false => format!(", by {}", conditions.join(" and ")),
    };
    Some(
        visit
            .finding("misestimate", Severity::Warning)
            .seen(format!(
                "{} rows expected, {} found{by}",
                Count(expected),
                Count(found)
            ))
            .number("expected_rows", expected)
            .number("actual_rows", found)
            .number("factor", factor)
            .why("the planner chose joins, order and memory above it for another number of rows")
            .action(
                "ANALYZE the table; for skewed columns raise their statistics target; where two columns of the \
                 condition depend on each other, CREATE STATISTICS (dependencies, ndistinct, mcv) on them; for an \
                 expression, CREATE STATISTICS on it",
            ),
    )
}

/// By how much a node was misjudged, if by much.
fn factor(node: &Node) -> Option<f64> {
    // A bitmap counts no rows when it is combined.
    if !node.has_run() || node.node_type.starts_with("Bitmap") && node.children.len() > 1 {
        return None;
    }
    let (expected, found) = (node.plan_rows?.max(1.0), node.actual_rows?.max(1.0));
    let factor = (expected / found).max(found / expected);
    (factor >= FACTOR && expected.max(found) >= ROWS).then_some(factor)
}

/// Whether somebody above had no need of all its rows.
fn ends_early(visit: &Visit<'_>) -> bool {
    let ends = |it: &&Node| {
        matches!(it.node_type.as_str(), "Limit" | "Merge Join")
            || matches!(it.join_type.as_deref(), Some("Semi" | "Anti"))
            || it.inner_unique == Some(true)
    };
    visit.node.plan_rows > visit.node.actual_rows
        && (visit.above.iter().any(ends) || visit.node.is_subplan())
}
