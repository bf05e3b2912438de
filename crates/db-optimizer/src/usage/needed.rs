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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        catalogue::{Catalogue, Table},
        plan::Plan,
        usage::of_plan,
    };

    /// `None` where the rows themselves are needed.
    #[track_caller]
    fn check(plan: &serde_json::Value, expected: Option<&[&str]>) {
        let plan = Plan::parse(&json!([{ "Plan": plan }]).to_string()).unwrap();
        let uses = of_plan(&plan, &Catalogue::of(Table::example()));
        let needed = uses[0].needed.as_ref();
        let needed = needed.map(|it| it.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(needed.as_deref(), expected);
    }

    fn scan(output: &[&str], filter: &str) -> serde_json::Value {
        json!({
            "Node Type": "Seq Scan", "Relation Name": "t", "Schema": "public", "Alias": "o",
            "Output": output, "Filter": filter
        })
    }

    #[test]
    fn what_a_scan_gives_and_is_filtered_by_is_needed() {
        check(&scan(&["o.a"], "(o.b = 7)"), Some(&["a", "b"]));
        check(
            &scan(&["(o.a + o.s)"], "(lower(o.x) = 'y'::text)"),
            Some(&["a", "s", "x"]),
        );
    }

    #[test]
    fn a_whole_row_and_its_address_are_in_no_index() {
        check(&scan(&["o.*"], "(o.b = 7)"), None);
        check(&scan(&["o.ctid", "o.a"], "(o.b = 7)"), None);
    }

    /// A scan under an aggregate gives all columns, as that is cheaper than to pick.
    #[test]
    fn what_an_aggregate_speaks_of_is_needed_and_not_what_it_is_given() {
        let plan = json!({
            "Node Type": "Aggregate", "Output": ["o.s", "count(o.b)"], "Group Key": ["o.s"],
            "Plans": [scan(&["o.a", "o.b", "o.s", "o.x", "o.w"], "(o.a = 7)")]
        });
        check(&plan, Some(&["a", "b", "s"]));
    }

    /// A statement with one table says no alias there, and a name may be that of a function or a type, too.
    #[test]
    fn columns_of_the_only_table_have_no_alias_in_what_is_given() {
        let plan = json!({
            "Node Type": "Aggregate", "Output": ["x", "max(b)", "(s)::b"], "Group Key": ["o.x"],
            "Plans": [scan(&["a", "b", "s", "x", "w"], "(o.a = 7)")]
        });
        check(&plan, Some(&["a", "b", "s", "x"]));
        check(&scan(&["a", "w(7)", "'b'"], "(o.a = 7)"), Some(&["a"]));
        check(&scan(&["x[1:b]"], "(o.a = 7)"), Some(&["a", "b", "x"]));
        check(&scan(&["a", "ctid"], "(o.a = 7)"), None);
    }

    #[test]
    fn a_sort_above_needs_its_keys() {
        let plan = json!({
            "Node Type": "Sort", "Output": ["o.a"], "Sort Key": ["o.b DESC"],
            "Plans": [scan(&["o.a", "o.b"], "(o.s = 1)")]
        });
        check(&plan, Some(&["a", "b", "s"]));
    }

    #[test]
    fn rows_that_are_changed_are_needed_themselves() {
        let plan = json!({
            "Node Type": "ModifyTable", "Operation": "Update", "Relation Name": "t",
            "Schema": "public", "Alias": "o", "Plans": [scan(&["1"], "(o.a = 7)")]
        });
        check(&plan, None);
    }
}
