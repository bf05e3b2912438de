//! Only the rows that a constant condition leaves.
//!
//! Such a condition must be one that statements keep repeating: a state, a flag, a missing value,
//! two columns of the row compared with each other. A literal that was one of many, such as a date
//! or a name, would serve that one statement.

use std::collections::BTreeSet;

use super::{Candidate, Proposals, Rule};
use crate::{
    IndexDefinition, Key,
    catalogue::Table,
    usage::{Filter, FilterShape, TableUse},
};

/// A column with at most so many values is a state.
const MAX_STATES: f64 = 50.0;

pub(super) fn propose(
    candidate: &Candidate,
    table_use: &TableUse,
    table: &Table,
    proposals: &mut Proposals,
) {
    let lasting: Vec<&Filter> = (table_use.filters.iter())
        .filter(|it| is_lasting(it, table))
        .collect();
    let mut choices: Vec<Vec<&Filter>> = lasting.iter().map(|it| vec![*it]).collect();
    if lasting.len() > 1 {
        choices.push(lasting);
    }
    for filters in choices {
        if let Some(index) = limited(&candidate.definition, &filters) {
            proposals.add(index, Rule::Partial);
        }
    }
}

fn is_lasting(filter: &Filter, table: &Table) -> bool {
    match filter.shape {
        FilterShape::Flag | FilterShape::Columns => true,
        FilterShape::Equality => (filter.columns.iter())
            .filter_map(|it| table.column(it))
            .all(|it| it.values.is_some() && it.distinct(table.rows) <= MAX_STATES),
        FilterShape::Other => false,
    }
}

/// The index over the rows that the filters leave, without keys that are the same in all of them.
fn limited(index: &IndexDefinition, filters: &[&Filter]) -> Option<IndexDefinition> {
    let fixed: BTreeSet<&str> = (filters.iter())
        .filter(|it| it.shape != FilterShape::Columns && !it.sql.ends_with("IS NOT NULL"))
        .filter(|it| !it.sql.contains(" ANY "))
        .flat_map(|it| it.columns.iter().map(String::as_str))
        .collect();
    let varies = |key: &&Key| {
        let name = key.as_column().map(|it| it.name());
        name.is_none_or(|it| !fixed.contains(it))
    };
    let keys: Vec<Key> = index.keys.iter().filter(varies).cloned().collect();
    if keys.is_empty() {
        return None;
    }
    let mut limited = index.clone();
    limited.keys = keys;
    limited.predicate = Some(match filters {
        [only] => only.sql.clone(),
        _ => {
            let parts = filters.iter().map(|it| format!("({})", it.sql));
            parts.collect::<Vec<_>>().join(" AND ")
        }
    });
    Some(limited)
}
