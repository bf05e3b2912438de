//! Sub-queries in the list of what is selected.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Count};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let name = node.subplan_name.as_deref()?;
    let parent = visit.parent()?;
    let is_subplan = node.parent_relationship.as_deref() == Some("SubPlan");
    let of_each = format!("({name})");
    let is_selected = parent.output.iter().any(|it| it.contains(&of_each));
    let rows = parent.all_rows().or(parent.plan_rows)?;
    if !is_subplan || !is_selected || rows < 100.0 {
        return None;
    }
    Some(
        visit
            .finding("correlated_subquery", Severity::Notice)
            .seen(format!(
                "{name} gives a column of each of {} rows",
                Count(rows)
            ))
            .number("rows", rows)
            .why("it runs once per row, whatever it finds")
            .action("join once and aggregate: LEFT JOIN … GROUP BY, or a LATERAL join"),
    )
}
