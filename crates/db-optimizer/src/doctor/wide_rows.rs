//! Rows that are wider than a page holds many of.

use super::Case;
use crate::{
    Finding, Severity,
    quantity::{Bytes, Count},
};

const BYTES: f64 = 2_048.0;

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let root = &case.plan.root;
    let width = root.plan_width.filter(|width| *width > BYTES)?;
    let rows = root.all_rows().or(root.plan_rows)?;
    if rows < 100.0 {
        return None;
    }
    Some(
        Finding::new("wide_rows", Severity::Notice, "the statement")
            .seen(format!(
                "{} rows of about {} each{}",
                Count(rows),
                Bytes(width),
                if case.says("select *") {
                    ", by `SELECT *`"
                } else {
                    ""
                }
            ))
            .number("row_bytes", width)
            .number("rows", rows)
            .why("wide values lie in a table of their own, and each is fetched, unpacked and sent")
            .action(
                "select the columns that are needed; keep large documents in a table of their own",
            ),
    )
}
