//! Sorting, grouping, and the least and largest.

use std::collections::BTreeMap;

use super::{Aliases, Operand, TableUse, only_alias, operand};
use crate::{
    expression::{Kind, parse, parse_sort_key},
    plan::Node,
};

/// An order in which rows are wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Order {
    pub(crate) keys: Vec<OrderKey>,
}

/// One key of an order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OrderKey {
    pub(crate) operand: Operand,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// Adds what a node sorts, groups or looks for at the ends.
pub(super) fn collect(node: &Node, aliases: &Aliases<'_>, uses: &mut BTreeMap<String, TableUse>) {
    if let Some((alias, order)) = order(&node.sort_key, aliases)
        && let Some(table_use) = uses.get_mut(&alias)
        && !table_use.orders.contains(&order)
    {
        table_use.orders.push(order);
    }
    if let Some((alias, order)) = order(&node.group_key, aliases)
        && order.keys.len() == node.group_key.len()
        && let Some(table_use) = uses.get_mut(&alias)
    {
        let group: Vec<Operand> = order.keys.into_iter().map(|it| it.operand).collect();
        if !table_use.groups.contains(&group) {
            table_use.groups.push(group);
        }
    }
    if node.node_type == "Aggregate" {
        extremes(node, aliases, uses);
    }
}

/// The keys at the beginning that are all of one table: rows that come in their order need less
/// sorting.
fn order(texts: &[String], aliases: &Aliases<'_>) -> Option<(String, Order)> {
    let mut of_alias: Option<String> = None;
    let mut keys = Vec::new();
    for text in texts {
        let key = parse_sort_key(text);
        let found = only_alias(&key.by).filter(|it| of_alias.as_ref().is_none_or(|of| of == it));
        let Some(alias) = found.filter(|_| !key.is_special) else {
            break;
        };
        let Some(operand) = aliases.get(&alias).and_then(|it| operand(&key.by, it)) else {
            break;
        };
        of_alias = Some(alias);
        keys.push(OrderKey {
            operand,
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
    }
    Some((of_alias?, Order { keys }))
}

fn extremes(node: &Node, aliases: &Aliases<'_>, uses: &mut BTreeMap<String, TableUse>) {
    for output in &node.output {
        let expression = parse(output);
        let Kind::Function { name, arguments } = &expression.kind else {
            continue;
        };
        let [argument] = arguments.as_slice() else {
            continue;
        };
        if matches!(name.as_str(), "min" | "max")
            && let Some(alias) = only_alias(argument)
            && let Some(found) = aliases.get(&alias).and_then(|it| operand(argument, it))
            && let Some(table_use) = uses.get_mut(&alias)
            && !table_use.extremes.contains(&found)
        {
            table_use.extremes.push(found);
        }
    }
}
