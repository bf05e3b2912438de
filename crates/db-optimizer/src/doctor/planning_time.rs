//! Planning that takes longer than running.

use super::Case;
use crate::{Finding, Severity, quantity::Milliseconds};

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let (planning, running) = (case.plan.planning_ms?, case.plan.execution_ms?);
    if planning <= running || planning <= 10.0 {
        return None;
    }
    Some(
        Finding::new("planning_time", Severity::Notice, "the statement")
            .seen(format!(
                "planning took {}, running {}",
                Milliseconds(planning),
                Milliseconds(running)
            ))
            .number("planning_ms", planning)
            .number("execution_ms", running)
            .why("every partition, index and join order is weighed each time it is planned")
            .action("prepare the statement and keep it; have fewer partitions, or indexes that nobody uses"),
    )
}
