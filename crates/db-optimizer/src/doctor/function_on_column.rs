//! Columns that go through a function before they are compared.

use super::{
    Case, Visit,
    condition::{calls, tokens},
    visit::shown,
};
use crate::{Finding, Severity};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let table = case.table(visit.node)?;
    let filter = visit.node.filter.as_deref()?;
    let tokens = tokens(filter);
    let (function, column) = calls(&tokens).find_map(|(function, names)| {
        let mut columns = names.into_iter().filter_map(|it| table.column(it));
        Some((function, columns.find(|it| it.leads_index)?))
    })?;
    if !visit.matters {
        return None;
    }
    let by_range = matches!(
        function,
        "date_trunc" | "date" | "date_part" | "EXTRACT" | "to_char"
    );
    Some(
        visit
            .finding("function_on_column", Severity::Warning)
            .seen(format!(
                "{function}({:?}) is compared: {}",
                column.name,
                shown(filter)
            ))
            .why("the index on the column holds its values, not what the function makes of them")
            .action(match by_range {
                true => "compare the column itself with the range: `>= begin AND < end`",
                false => "index the expression, or compare the column itself",
            }),
    )
}
