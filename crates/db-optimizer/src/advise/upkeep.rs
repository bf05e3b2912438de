//! What it costs to keep an index while the workload runs once.

use std::collections::BTreeSet;

use ruleiq_query::{TokenKind, tokens};

use crate::{IndexDefinition, catalogue::Table};

use super::planned::Planned;

/// The entries that all runs of all statements add to an index.
pub(super) fn entries(index: &IndexDefinition, table: &Table, planned: &[Planned]) -> f64 {
    let statements = planned.iter();
    statements
        .map(|it| it.calls * entries_of_one(index, table, it))
        .sum()
}

/// The entries that one run of a statement adds.
fn entries_of_one(index: &IndexDefinition, table: &Table, statement: &Planned) -> f64 {
    let mut entries = 0.0;
    for node in statement
        .plan
        .nodes()
        .filter(|it| it.node_type == "ModifyTable")
    {
        let is_here = node.relation.as_deref() == Some(table.name.table.name())
            && node.schema.as_deref() == Some(table.name.schema.name());
        if !is_here {
            continue;
        }
        let rows: f64 = node.children.iter().filter_map(|it| it.plan_rows).sum();
        entries += match node.operation.as_deref() {
            Some("Insert") => rows,
            Some("Update") => rows * updated(index, table, &statement.sql),
            // Found and taken out once, by the next vacuum.
            Some("Delete") => rows * 0.5,
            _ => 0.0,
        };
    }
    entries
}

/// The entries for one updated row: with an index on what is changed, all indexes of the table
/// learn of the row's new place, which a heap-only update would have spared them.
fn updated(index: &IndexDefinition, table: &Table, sql: &str) -> f64 {
    let changed = changed_columns(sql);
    let keys = index.keys.iter().filter_map(|it| it.as_column());
    let mut held = keys.chain(&index.include);
    let predicate = index.predicate.as_deref().unwrap_or("");
    let in_predicate = changed
        .iter()
        .any(|name| tokens(predicate).any(|it| it.text.trim_matches('"') == name));
    if !held.any(|it| changed.contains(it.name())) && !in_predicate {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a table has few indexes")]
    let others = table.indexes.len() as f64;
    1.0 + others
}

/// The columns after `SET`, without quotes.
fn changed_columns(sql: &str) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    let all: Vec<_> = tokens(sql).collect();
    let Some(set) = all.iter().position(|it| it.is_word("set")) else {
        return changed;
    };
    let mut depth = 0_i32;
    for pair in all[set..].windows(2) {
        match pair[0].text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (pair[0].is_word("where") || pair[0].is_word("from")) {
            break;
        }
        let is_name = matches!(pair[0].kind, TokenKind::Word | TokenKind::QuotedIdentifier);
        if is_name && pair[1].text == "=" && depth == 0 {
            changed.insert(pair[0].text.trim_matches('"').to_owned());
        }
    }
    changed
}
