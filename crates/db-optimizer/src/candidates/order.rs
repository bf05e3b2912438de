//! Equality first, then the order that is wanted, in its directions.
//!
//! An index is read backwards as well, so only directions that differ from each other need to be
//! said, and the first key is ascending.

use super::{MAX_KEYS, Proposals, Rule, key, keys, rule_of};
use crate::{
    IndexDefinition, Key,
    catalogue::Table,
    usage::{Operand, Order, TableUse},
};

pub(super) fn propose(table_use: &TableUse, table: &Table, proposals: &mut Proposals) {
    let compared: Vec<&Operand> = table_use
        .equalities
        .iter()
        .chain(&table_use.lists)
        .collect();
    let joined: Vec<&Operand> = table_use.joins.iter().map(|it| &it.0).collect();
    for order in &table_use.orders {
        let ordered = ordered(order, table);
        for start in [
            &[][..],
            &table_use.equalities.iter().collect::<Vec<_>>(),
            &compared,
            &joined,
        ] {
            let mut keys = keys(start.iter().copied(), table);
            for key in &ordered {
                if !keys.iter().any(|it| it.on == key.on) {
                    keys.push(key.clone());
                }
            }
            keys.truncate(MAX_KEYS);
            if !ordered.is_empty() && !keys.is_empty() {
                let rule = rule_of(&keys, Rule::EqualityAndSort);
                proposals.add(IndexDefinition::btree(table.name.clone(), keys), rule);
            }
        }
    }
}

/// The keys of an order, of which the first is ascending with nulls last, if it can be read so.
fn ordered(order: &Order, table: &Table) -> Vec<Key> {
    let is_reversed = order.keys.first().is_some_and(|it| it.descending);
    let mut ordered = Vec::new();
    for wanted in &order.keys {
        let Some(mut key) = key(&wanted.operand, table) else {
            break;
        };
        key.descending = wanted.descending != is_reversed;
        let nulls_first = wanted.nulls_first != is_reversed;
        key.nulls_opposite = nulls_first != key.descending;
        ordered.push(key);
    }
    ordered
}
