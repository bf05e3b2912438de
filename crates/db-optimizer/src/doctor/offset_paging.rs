//! Pages that are found by counting from the first row.

use super::{Case, Visit};
use crate::{Finding, Severity, quantity::Count};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    if !visit.is("Limit") || !case.says("offset ?") {
        return None;
    }
    let found = visit
        .finding("offset_paging", Severity::Notice)
        .why("all rows before the page are made to be thrown away, and more with each page")
        .action("page by the last row seen: `WHERE (a, b) > ($1, $2) ORDER BY a, b LIMIT n`, over an index on (a, b)");
    let source = node.children.first()?;
    match (source.all_rows(), node.all_rows()) {
        (Some(read), Some(kept)) if read >= 10.0 * kept.max(1.0) && read >= 1_000.0 => Some(
            found
                .seen(format!(
                    "{} rows were made for {}",
                    Count(read),
                    Count(kept)
                ))
                .number("read_rows", read)
                .number("kept_rows", kept),
        ),
        (None, _) => Some(found.seen("rows are skipped by OFFSET")),
        _ => None,
    }
}
