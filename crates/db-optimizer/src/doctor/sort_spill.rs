//! Sorts that went to disk.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Bytes};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let is_disk = |kind: &Option<String>| kind.as_deref() == Some("Disk");
    let own = node
        .sort_space_used_kib
        .filter(|_| is_disk(&node.sort_space_type));
    let workers = node
        .workers
        .iter()
        .filter(|it| is_disk(&it.sort_space_type));
    let workers = workers.filter_map(|it| it.sort_space_used_kib);
    let groups = [&node.full_sort_groups, &node.presorted_groups];
    let groups = groups
        .into_iter()
        .flatten()
        .filter_map(|it| it.disk.as_ref()?.peak_kib);
    let kib = own
        .into_iter()
        .chain(workers)
        .chain(groups)
        .fold(0.0, f64::max);
    if kib <= 0.0 || !visit.matters {
        return None;
    }
    let is_limited = visit.parent().is_some_and(|it| it.node_type == "Limit");
    Some(
        visit
            .finding("sort_spill", Severity::Warning)
            .seen(format!("sorting took {} of disk{}", Bytes(kib * 1024.0), visit.time()))
            .number("disk_bytes", kib * 1024.0)
            .why("it did not fit in `work_mem`: each row was written and read again")
            .action(format!(
                "{}give this statement's role `work_mem` of about {}: rows take more room in memory than on disk",
                if is_limited { "make an index in this order, so that the limit ends the scan; else " } else { "" },
                Bytes(kib * 1024.0 * 2.5),
            )),
    )
}
