//! Nested loops that go round far more often than was planned, or read a whole table each time.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Count};

const LOOPS: f64 = 1_000.0;

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    if !visit.is("Nested Loop") || !node.has_run() {
        return None;
    }
    let mut sides = node.children.iter().filter(|it| !it.is_subplan());
    let (outer, inner) = (sides.next()?, sides.next()?);
    let loops = inner.actual_loops.filter(|loops| *loops >= LOOPS)?;
    let planned = outer.plan_rows? * node.actual_loops?;
    let reads_all = inner.node_type == "Seq Scan";
    // The time is that of the loops.
    let spent = inner.over_all_loops(inner.actual_total_ms)?;
    if !(reads_all || planned <= loops / 10.0) || spent < 10.0 {
        return None;
    }
    Some(
        visit
            .finding("nested_loop", Severity::Warning)
            .seen(format!(
                "the inner side, a {}, ran {} times, where {} were expected",
                inner.node_type,
                Count(loops),
                Count(planned)
            ))
            .number("loops", loops)
            .number("expected_loops", planned)
            .number("inner_ms", spent)
            .why(match reads_all {
                true => "the whole inner table is read for each outer row",
                false => "a nested loop was chosen for a few rows, and there were many",
            })
            .action(match reads_all {
                true => "index the inner table by the columns of the join",
                false => "correct the estimate of the outer side: ANALYZE, CREATE STATISTICS on the columns of its conditions",
            }),
    )
}
