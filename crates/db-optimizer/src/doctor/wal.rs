//! Log that consists of whole pages.

use super::Case;
use crate::{
    Finding, Severity,
    quantity::{Bytes, Count},
};

const PAGE: f64 = 8_192.0;

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let buffers = &case.plan.root.buffers;
    let (pages, bytes) = (
        super::case::number(buffers.wal_full_pages),
        super::case::number(buffers.wal_bytes),
    );
    if pages * PAGE <= bytes / 2.0 || bytes < 1024.0 * 1024.0 {
        return None;
    }
    Some(
        Finding::new("wal", Severity::Notice, "the statement")
            .seen(format!("{} of log, with {} whole pages", Bytes(bytes), Count(pages)))
            .number("wal_bytes", bytes)
            .number("wal_full_pages", pages)
            .why("the first change of a page after a checkpoint writes all of it")
            .action(
                "let checkpoints come less often (`max_wal_size`, `checkpoint_timeout`); drop indexes on values in \
                 random order, such as UUIDs of version 4",
            ),
    )
}
