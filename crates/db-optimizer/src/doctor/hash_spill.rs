//! Hash tables that went to disk.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Bytes};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let batches = node
        .hash_batches
        .or(node.hash_aggregate_batches)
        .unwrap_or(1.0);
    let disk = node.disk_usage_kib.unwrap_or(0.0) * 1024.0;
    // The time of building a hash table is that of its join.
    let parent_matters = visit.is("Hash");
    if !(batches > 1.0 || disk > 0.0) || !(visit.matters || parent_matters) {
        return None;
    }
    let planned = node.original_hash_batches.unwrap_or(batches);
    let grew = match batches > planned {
        true => format!(", where {planned} were planned"),
        false => String::new(),
    };
    let memory = node.peak_memory_kib.unwrap_or(0.0) * 1024.0;
    Some(
        visit
            .finding("hash_spill", Severity::Warning)
            .seen(format!(
                "{batches} batches{grew}, {} of memory and {} of disk{}",
                Bytes(memory),
                Bytes(disk),
                visit.time()
            ))
            .number("batches", batches)
            .number("planned_batches", planned)
            .number("memory_bytes", memory)
            .number("disk_bytes", disk)
            .why("the hash table did not fit in `work_mem` × `hash_mem_multiplier`: what was left over went through files")
            .action(match batches > planned {
                true => "correct the estimate of its rows first (ANALYZE, CREATE STATISTICS); then give the role more `work_mem`",
                false => "give this statement's role more `work_mem`, or raise `hash_mem_multiplier`",
            }),
    )
}
