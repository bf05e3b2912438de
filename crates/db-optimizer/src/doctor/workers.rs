//! Workers that were planned and not there.

use super::{Case, Visit};
use crate::{Finding, Severity};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let (planned, launched) = (visit.node.workers_planned?, visit.node.workers_launched?);
    if launched >= planned {
        return None;
    }
    Some(
        visit
            .finding("workers", Severity::Notice)
            .seen(format!("{launched} of {planned} workers were started"))
            .number("planned_workers", planned)
            .number("launched_workers", launched)
            .why("the plan was chosen for more hands than there were")
            .action("raise `max_parallel_workers` if there are cores to spare; else lower `max_parallel_workers_per_gather`"),
    )
}
