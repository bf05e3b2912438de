//! Partitions that are all read.

use super::{Case, Visit};
use crate::{Finding, Severity, plan::Node};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    if !matches!(node.node_type.as_str(), "Append" | "Merge Append") {
        return None;
    }
    let parts: Vec<&Node> = node.children.iter().filter(|it| !it.is_subplan()).collect();
    let scan = |it: &&Node| it.nodes().find(|it| it.relation.is_some()).is_some();
    let ruled_out = node.subplans_removed.unwrap_or(0.0) > 0.0;
    if parts.len() < 2 || ruled_out || !parts.iter().all(scan) {
        return None;
    }
    let key = &case.table(scan_of(parts[0])?)?.partition_key;
    let is_partition = |it: &&Node| {
        let table = scan_of(it).and_then(|it| case.table(it));
        table.is_some_and(|it| !it.partition_key.is_empty() && it.partition_key == *key)
    };
    if key.is_empty() || !parts.iter().all(is_partition) || parts.iter().any(|it| mentions(it, key))
    {
        return None;
    }
    Some(
        visit
            .finding("partition_pruning", Severity::Warning)
            .seen(format!(
                "{} partitions are read; no condition names {key:?}, by which they are divided",
                parts.len()
            ))
            .number("partitions", super::case::number(parts.len() as u64))
            .why("without the key the server cannot tell which partitions hold the rows")
            .action("compare the partition key itself with a value, and not through a function"),
    )
}

fn scan_of(part: &Node) -> Option<&Node> {
    part.nodes().find(|it| it.relation.is_some())
}

/// Whether a condition on a partition names a column of the key.
fn mentions(part: &Node, key: &[String]) -> bool {
    let mut names = part
        .nodes()
        .flat_map(Node::conditions)
        .flat_map(super::condition::tokens);
    names.any(|it| matches!(it, super::condition::Token::Name(name) if key.contains(&name)))
}
