//! Columns that are converted before they are compared.

use super::{
    Case, Visit,
    condition::{casts, tokens},
    visit::shown,
};
use crate::{Finding, Severity};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let table = case.table(visit.node)?;
    let filter = visit.node.filter.as_deref()?;
    let tokens = tokens(filter);
    let (column, to) = casts(&tokens).find_map(|(name, to)| {
        let column = table.column(name)?;
        changes(&column.type_name, &to).then_some((column, to))
    })?;
    if !visit.matters {
        return None;
    }
    let severity = match column.leads_index {
        true => Severity::Warning,
        false => Severity::Notice,
    };
    Some(
        visit
            .finding("implicit_cast", severity)
            .seen(format!(
                "{:?} is {} and compared as {to}: {}",
                column.name,
                column.type_name,
                shown(filter)
            ))
            .why("an index on the column holds its own type and cannot find another")
            .action(format!(
                "send the value as {}: name the parameter's type in the driver, or cast the value and not the column",
                column.type_name
            )),
    )
}

/// Whether a cast makes a value that the column's index does not hold. Texts of all kinds are the
/// same to it.
fn changes(from: &str, to: &str) -> bool {
    const TEXTS: [&str; 4] = ["text", "character varying", "character", "bpchar"];
    from != to && !(TEXTS.contains(&from) && TEXTS.contains(&to))
}
