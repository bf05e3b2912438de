//! What it costs to keep an index while the workload runs once.

use super::{
    planned::Planned,
    set_list::{changed_columns, mentions},
};
use crate::{Identifier, IndexDefinition, KeyOn, catalogue::Table};

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
    let is_changed = |it: &Identifier| changed.contains(it.name());
    let mut keys = index.keys.iter().map(|it| match &it.on {
        KeyOn::Column(name) => is_changed(name),
        KeyOn::Expression(sql) => mentions(sql, &changed),
    });
    let predicate = index.predicate.as_deref().unwrap_or("");
    if !keys.any(|it| it) && !index.include.iter().any(is_changed) && !mentions(predicate, &changed)
    {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a table has few indexes")]
    let others = table.indexes.len() as f64;
    1.0 + others
}
