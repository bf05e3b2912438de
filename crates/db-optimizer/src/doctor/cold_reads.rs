//! Blocks that were not in shared memory.

use super::Case;
use crate::{
    Finding, Severity,
    quantity::{Count, Milliseconds, Share},
};

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let buffers = &case.plan.root.buffers;
    let (hit, read) = (
        super::case::number(buffers.shared_hit),
        super::case::number(buffers.shared_read),
    );
    let (reading, whole) = (buffers.read_ms?, case.plan.execution_ms?);
    let share = read / (hit + read).max(1.0);
    if share <= 0.5 || reading <= whole / 2.0 || whole < 10.0 {
        return None;
    }
    Some(
        Finding::new("cold_reads", Severity::Notice, "the statement")
            .seen(format!(
                "{} of blocks, {}, had to be read, which took {} of {}",
                Share(share),
                Count(read),
                Milliseconds(reading),
                Milliseconds(whole)
            ))
            .number("blocks_read", read)
            .number("blocks_hit", hit)
            .number("read_ms", reading)
            .why("it waited for the disk more than it worked")
            .action("run it again: if it stays so, `shared_buffers` is too small for what is in use, or a covering index would read less"),
    )
}
