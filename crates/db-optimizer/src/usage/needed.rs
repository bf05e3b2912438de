//! The columns that a statement needs of a table: what an index must hold to answer alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Aliases, TableUse};
use crate::{
    expression::{ColumnRef, column_refs},
    plan::{Node, Plan},
};

/// Nodes that take whole rows from a scan under them, if that is cheaper, whatever they need.
const PASSED_WHOLE_ROWS: [&str; 7] = [
    "Aggregate",
    "Group",
    "WindowAgg",
    "Hash Join",
    "Nested Loop",
    "Merge Join",
    "ProjectSet",
];

pub(super) fn collect(plan: &Plan, aliases: &Aliases<'_>, uses: &mut BTreeMap<String, TableUse>) {
    walk(&plan.root, None, &BTreeSet::new(), aliases, uses);
}

/// Goes down with all columns that the nodes above speak of.
fn walk(
    node: &Node,
    parent: Option<&str>,
    above: &BTreeSet<ColumnRef>,
    aliases: &Aliases<'_>,
    uses: &mut BTreeMap<String, TableUse>,
) {
    let mut spoken = above.clone();
    spoken.extend(texts(node).flat_map(|it| column_refs(it)));
    let is_scan = node.alias.is_some() && node.relation.is_some();
    let gives_whole_rows = is_scan && parent.is_some_and(|it| PASSED_WHOLE_ROWS.contains(&it));
    if !gives_whole_rows {
        spoken.extend(node.output.iter().flat_map(|it| column_refs(it)));
    }
    if let Some(alias) = &node.alias
        && let (Some(table), Some(table_use)) = (aliases.get(alias), uses.get_mut(alias))
    {
        for column in spoken.iter().filter(|it| it.alias == *alias) {
            match table.column(&column.column) {
                Some(_) => {
                    if let Some(needed) = &mut table_use.needed {
                        needed.insert(column.column.clone());
                    }
                }
                // The whole row, or its address.
                None => table_use.needed = None,
            }
        }
        if node.node_type == "ModifyTable" {
            table_use.needed = None;
        }
    }
    for child in &node.children {
        let starts_anew = child.subplan_name.is_some();
        let parent = (!starts_anew).then_some(node.node_type.as_str());
        walk(child, parent, &spoken, aliases, uses);
    }
}

/// All that a node says of columns, but what it gives.
fn texts(node: &Node) -> impl Iterator<Item = &String> {
    let conditions = [
        &node.filter,
        &node.index_cond,
        &node.recheck_cond,
        &node.order_by,
        &node.join_filter,
        &node.hash_cond,
        &node.merge_cond,
        &node.one_time_filter,
        &node.cache_key,
    ];
    let keys = node.sort_key.iter().chain(&node.group_key);
    conditions.into_iter().flatten().chain(keys)
}
