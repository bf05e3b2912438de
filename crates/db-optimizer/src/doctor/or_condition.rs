//! Alternatives that no index serves together.

use super::{
    Case, Visit,
    condition::{has_or, tokens},
    visit::shown,
};
use crate::{Finding, Severity};

pub(super) fn rule(case: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let node = visit.node;
    let is_large = case.table(node).is_some_and(|it| it.pages > 1_000);
    let (condition, why, action) = match (&node.join_filter, &node.filter) {
        (Some(filter), _) if has_or(&tokens(filter)) => (
            filter,
            "alternatives in a join can neither be hashed nor merged: every row meets every other",
            "take the join apart: one for each alternative, joined by UNION ALL, the second without what the first found",
        ),
        (_, Some(filter)) if visit.is("Seq Scan") && is_large && has_or(&tokens(filter)) => (
            filter,
            "one of the alternatives has no index, so the whole table is read for all",
            "index the columns of every alternative, so that bitmaps can be combined; alternatives of one column \
             are `= ANY(…)`",
        ),
        _ => return None,
    };
    visit.matters.then(|| {
        visit
            .finding("or_condition", Severity::Notice)
            .seen(format!(
                "alternatives: {}{}",
                shown(condition),
                visit.time()
            ))
            .why(why)
            .action(action)
    })
}
