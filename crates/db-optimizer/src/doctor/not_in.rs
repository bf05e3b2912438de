//! `NOT IN (SELECT …)`.

use super::{Case, Visit, visit::shown};
use crate::{Finding, Severity};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    // From 17 on the comparison is printed, too: `NOT (ANY (x = (hashed SubPlan 1).col1))`.
    let is_negated = |it: &&str| {
        it.contains("NOT (hashed SubPlan")
            || it.contains("NOT (SubPlan")
            || it.contains("NOT (ANY (") && it.contains("SubPlan")
    };
    let condition = visit.node.conditions().find(is_negated)?;
    // NOT EXISTS looks the same where it could not be made a join.
    if case.text.is_some() && !case.says("not in (") && !case.says("<> all") {
        return None;
    }
    let is_hashed = condition.contains("hashed SubPlan");
    let severity = match is_hashed {
        true => Severity::Notice,
        false => Severity::Warning,
    };
    Some(
        visit
            .finding("not_in", severity)
            .seen(format!("NOT IN over a sub-query: {}", shown(condition)))
            .why(match is_hashed {
                true => "it cannot be made a join because of nulls: when the hash table outgrows `work_mem`, the sub-query runs for each row",
                false => "it cannot be made a join because of nulls: the sub-query is searched for each row",
            })
            .action("write NOT EXISTS, and mind that it keeps rows whose value is null"),
    )
}
