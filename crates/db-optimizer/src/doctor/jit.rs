//! Compiling that takes longer than it gains.

use super::Case;
use crate::{
    Finding, Severity,
    quantity::{Milliseconds, Share},
};

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let compiling = case.plan.jit.as_ref()?.timing.as_ref()?.total_ms?;
    let whole = case.plan.execution_ms?;
    let share = compiling / whole.max(f64::MIN_POSITIVE);
    if share < 0.2 || whole >= 1_000.0 {
        return None;
    }
    Some(
        Finding::new("jit", Severity::Warning, "the statement")
            .seen(format!(
                "compiling took {} of {}, {}",
                Milliseconds(compiling),
                Milliseconds(whole),
                Share(share)
            ))
            .number("jit_ms", compiling)
            .number("execution_ms", whole)
            .why("machine code pays for statements that run for seconds; it is made anew each time")
            .action("raise `jit_above_cost`, or set `jit = off` for this statement's role"),
    )
}
