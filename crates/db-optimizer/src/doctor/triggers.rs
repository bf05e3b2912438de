//! Triggers and foreign keys that take the time.

use super::Case;
use crate::{
    Finding, Severity,
    quantity::{Count, Milliseconds},
};

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let whole = case.plan.execution_ms?;
    let triggers = case.plan.triggers.iter();
    let slowest = triggers.max_by(|a, b| {
        a.total_ms
            .unwrap_or(0.0)
            .total_cmp(&b.total_ms.unwrap_or(0.0))
    })?;
    let spent = slowest.total_ms?;
    if spent < 0.2 * whole || spent < 1.0 {
        return None;
    }
    let name = slowest.constraint.as_ref().or(slowest.name.as_ref())?;
    let is_key = slowest
        .name
        .as_deref()
        .is_some_and(|it| it.starts_with("RI_ConstraintTrigger"));
    Some(
        Finding::new("triggers", Severity::Warning, format!("trigger {name:?}"))
            .seen(format!(
                "{} of {} in {} calls",
                Milliseconds(spent),
                Milliseconds(whole),
                Count(slowest.calls.unwrap_or(0.0))
            ))
            .number("trigger_ms", spent)
            .number("execution_ms", whole)
            .why(match is_key || slowest.constraint.is_some() {
                true => "each row that is deleted or whose key changes is looked for in the tables that refer to it",
                false => "the trigger runs for each row",
            })
            .action(match is_key || slowest.constraint.is_some() {
                true => "index the columns that refer to this table",
                false => "make it a trigger per statement with a transition table, or do its work elsewhere",
            }),
    )
}
