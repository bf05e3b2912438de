//! Texts by their beginnings, and by any part of them.

use super::{Proposals, Rule, key, keys};
use crate::{
    IndexDefinition, Method,
    catalogue::Table,
    usage::{Operand, TableUse},
};

pub(super) fn propose(table_use: &TableUse, table: &Table, proposals: &mut Proposals) {
    for operand in &table_use.prefixes {
        let Some(mut last) = key(operand, table) else {
            continue;
        };
        if needs_class(operand, table) {
            last.operator_class = Some("text_pattern_ops".to_owned());
        }
        let compared = || keys(&table_use.equalities, table);
        for mut keys in [Vec::new(), compared()] {
            keys.retain(|it| it.on != last.on);
            keys.push(last.clone());
            proposals.add(
                IndexDefinition::btree(table.name.clone(), keys),
                Rule::Prefix,
            );
        }
    }
    for operand in &table_use.patterns {
        if let Some(mut key) = key(operand, table) {
            key.operator_class = Some("gin_trgm_ops".to_owned());
            let mut index = IndexDefinition::btree(table.name.clone(), vec![key]);
            index.method = Method::Gin;
            proposals.add(index, Rule::Trigram);
        }
    }
}

/// Whether an ordinary index knows no beginnings, as its collation is not that of bytes.
fn needs_class(operand: &Operand, table: &Table) -> bool {
    let columns = operand.columns();
    columns
        .iter()
        .filter_map(|it| table.column(it))
        .any(|it| it.needs_pattern_class)
}
