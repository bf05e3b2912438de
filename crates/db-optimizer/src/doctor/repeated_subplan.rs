//! Sub-plans that run again and again.

use super::{Case, Visit};
use crate::{
    Finding, Severity,
    quantity::{Count, Milliseconds},
};

const LOOPS: f64 = 100.0;

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let is_subplan = node.parent_relationship.as_deref() == Some("SubPlan");
    if !(is_subplan || visit.is("CTE Scan")) {
        return None;
    }
    let loops = node.actual_loops.filter(|loops| *loops >= LOOPS)?;
    let spent = node.over_all_loops(node.actual_total_ms)?;
    if spent < 10.0 {
        return None;
    }
    Some(
        visit
            .finding("repeated_subplan", Severity::Warning)
            .seen(format!(
                "{} ran {} times, {} in all",
                node.subplan_name.as_deref().unwrap_or("the common table expression"),
                Count(loops),
                Milliseconds(spent)
            ))
            .number("loops", loops)
            .number("total_ms", spent)
            .why("what depends on the outer row is computed for each of them")
            .action(match is_subplan {
                true => "write it as a join, or as a LATERAL join over an index on what it looks for",
                false => "join it by an equality, or make it NOT MATERIALIZED so that conditions reach it",
            }),
    )
}
