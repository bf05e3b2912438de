//! Patterns that begin with anything.

use super::{
    Case, Visit,
    condition::{has_leading_wildcard, ignores_case, tokens},
    visit::shown,
};
use crate::{Finding, Severity};

pub(super) fn rule(_: &Case<'_>, visit: &Visit<'_>) -> Option<Finding> {
    let filter = visit.node.filter.as_deref()?;
    let tokens = tokens(filter);
    let (leading, no_case) = (has_leading_wildcard(&tokens), ignores_case(&tokens));
    if !visit.is("Seq Scan") || !(leading || no_case) || !visit.matters {
        return None;
    }
    Some(
        visit
            .finding("leading_wildcard", Severity::Notice)
            .seen(format!(
                "{}: {}{}",
                match leading {
                    true => "a pattern that begins with anything",
                    false => "a pattern without letter case",
                },
                shown(filter),
                visit.time()
            ))
            .why("a btree is sorted by how texts begin")
            .action(
                "make a trigram index: CREATE EXTENSION pg_trgm, then GIN (column gin_trgm_ops); try it on a copy, \
                 since writes to it are dear; for beginnings alone a btree with text_pattern_ops does",
            ),
    )
}
