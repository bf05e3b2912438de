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
            let class = match type_of(operand, table) {
                Some("character") => "bpchar_pattern_ops",
                _ => "text_pattern_ops",
            };
            last.operator_class = Some(class.to_owned());
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
        let is_text = type_of(operand, table).is_none_or(|it| TEXTS.contains(&it));
        if let Some(mut key) = key(operand, table).filter(|_| is_text) {
            key.operator_class = Some("gin_trgm_ops".to_owned());
            let mut index = IndexDefinition::btree(table.name.clone(), vec![key]);
            index.method = Method::Gin;
            proposals.add(index, Rule::Trigram);
        }
    }
}

/// The types that trigrams are taken of.
const TEXTS: [&str; 2] = ["text", "character varying"];

/// The type of a column; of an expression it is not known.
fn type_of<'a>(operand: &Operand, table: &'a Table) -> Option<&'a str> {
    match operand {
        Operand::Column(name) => table.column(name).map(|it| it.type_name.as_str()),
        Operand::Expression(..) => None,
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
