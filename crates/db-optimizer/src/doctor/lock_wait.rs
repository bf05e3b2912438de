//! Time that is neither work nor reading.

use super::{Case, Visit};
use crate::{
    Finding, Severity,
    plan::Node,
    quantity::{Count, Milliseconds},
};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let locks = matches!(node.node_type.as_str(), "LockRows" | "ModifyTable");
    let (own, whole) = (visit.self_ms?, case.plan.execution_ms?);
    let rows = node
        .children
        .first()
        .and_then(Node::all_rows)
        .unwrap_or(0.0);
    let read = node.buffers.read_ms.unwrap_or(0.0);
    // A row takes some microseconds, not milliseconds.
    let is_idle = own >= 1_000.0 && own >= 0.8 * whole && rows < own && read < own / 10.0;
    if !locks || !is_idle {
        return None;
    }
    Some(
        visit
            .finding("lock_wait", Severity::Warning)
            .seen(format!("{} for {} rows, and hardly any of it for reading", Milliseconds(own), Count(rows)))
            .number("rows", rows)
            .why("it most likely waited for other transactions to release these rows")
            .action(
                "see who waits for whom while it runs (pg_blocking_pids); shorten the transactions that write these \
                 rows, and write rows in the same order everywhere",
            ),
    )
}
