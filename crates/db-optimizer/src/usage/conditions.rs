//! Conditions: what rows are found by.

use std::collections::BTreeMap;

use super::{
    Aliases, Branch, Contents, Filter, FilterShape, Operand, TableUse, any_operand, bare,
    only_alias, operand, uncast,
};
use crate::expression::{Expression, Kind};

type Uses = BTreeMap<String, TableUse>;

/// Adds what a condition says of each table.
pub(super) fn collect(condition: &Expression, aliases: &Aliases<'_>, uses: &mut Uses) {
    for conjunct in condition.conjuncts() {
        filter(conjunct, aliases, uses);
        match &conjunct.kind {
            Kind::Binary {
                operator,
                left,
                right,
                any,
            } => {
                compare(operator, left, right, *any, aliases, uses);
                if !any && let Some(operator) = mirrored(operator) {
                    compare(operator, right, left, false, aliases, uses);
                }
            }
            Kind::IsNull { of, negated } => null(of, *negated, aliases, uses),
            Kind::Or(branches) => alternatives(branches, aliases, uses),
            // A boolean column, or its opposite, is compared with true or false.
            Kind::Column(_) => add(conjunct, aliases, uses, |it| &mut it.equalities),
            Kind::Not(of) if of.as_column().is_some() => {
                add(of, aliases, uses, |it| &mut it.equalities);
            }
            _ => {}
        }
    }
}

/// The operator with its sides exchanged.
fn mirrored(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "=" => "=",
        "<" => ">",
        ">" => "<",
        "<=" => ">=",
        ">=" => "<=",
        _ => return None,
    })
}

fn compare(
    operator: &str,
    left: &Expression,
    right: &Expression,
    any: bool,
    aliases: &Aliases<'_>,
    uses: &mut Uses,
) {
    let Some(alias) = only_alias(left) else {
        return;
    };
    let others = right.columns();
    if others.iter().any(|it| it.alias == alias) {
        return;
    }
    match (operator, any) {
        ("=", true) => add(left, aliases, uses, |it| &mut it.lists),
        ("=", false) => match others.first() {
            None => add(left, aliases, uses, |it| &mut it.equalities),
            Some(other) => join(left, &alias, &other.alias, aliases, uses),
        },
        ("<" | "<=" | ">" | ">=", _) => add(left, aliases, uses, |it| &mut it.ranges),
        ("~~", false) if is_prefix(right) => add(left, aliases, uses, |it| &mut it.prefixes),
        ("~~" | "~~*" | "~" | "~*", false) => pattern(left, &alias, aliases, uses),
        ("@>" | "<@" | "&&" | "?" | "?|" | "?&" | "@@" | "@?", false) => {
            contents(operator, left, right, &alias, aliases, uses);
        }
        _ => {}
    }
}

/// A text of any length may have an index on its parts.
fn pattern(left: &Expression, alias: &str, aliases: &Aliases<'_>, uses: &mut Uses) {
    if let Some(table) = aliases.get(alias)
        && let Some(found) = any_operand(uncast(left, table), table)
        && let Some(table_use) = uses.get_mut(alias)
        && !table_use.patterns.contains(&found)
    {
        table_use.patterns.push(found);
    }
}

fn contents(
    operator: &str,
    left: &Expression,
    right: &Expression,
    alias: &str,
    aliases: &Aliases<'_>,
    uses: &mut Uses,
) {
    let with = match &right.kind {
        Kind::Cast { to, .. } => Some(to.clone()),
        _ => None,
    };
    if let Some(table) = aliases.get(alias)
        && let Some(of) = any_operand(left, table)
        && let Some(table_use) = uses.get_mut(alias)
    {
        let contents = Contents {
            of,
            operator: operator.to_owned(),
            with,
        };
        if !table_use.contents.contains(&contents) {
            table_use.contents.push(contents);
        }
    }
}

/// Whether a pattern begins with a letter that stands for itself.
fn is_prefix(pattern: &Expression) -> bool {
    let first = pattern.text.trim_start_matches('(').strip_prefix('\'');
    first.is_some_and(|it| !it.starts_with(['%', '_', '\'', '\\']))
}

fn join(expression: &Expression, alias: &str, other: &str, aliases: &Aliases<'_>, uses: &mut Uses) {
    if let Some(table) = aliases.get(alias)
        && let Some(found) = operand(expression, table)
        && let Some(table_use) = uses.get_mut(alias)
    {
        let join = (found, other.to_owned());
        if !table_use.joins.contains(&join) {
            table_use.joins.push(join);
        }
    }
}

fn null(of: &Expression, negated: bool, aliases: &Aliases<'_>, uses: &mut Uses) {
    match negated {
        true => add(of, aliases, uses, |it| &mut it.ranges),
        false => add(of, aliases, uses, |it| &mut it.equalities),
    }
}

/// Adds an operand to one of the lists of its table.
fn add(
    expression: &Expression,
    aliases: &Aliases<'_>,
    uses: &mut Uses,
    list: impl Fn(&mut TableUse) -> &mut Vec<Operand>,
) {
    let Some(alias) = only_alias(expression) else {
        return;
    };
    if let Some(table) = aliases.get(&alias)
        && let Some(found) = operand(expression, table)
        && let Some(table_use) = uses.get_mut(&alias)
    {
        let list = list(table_use);
        if !list.contains(&found) {
            list.push(found);
        }
    }
}

/// An `OR` on one table: what each branch looks up.
fn alternatives(branches: &[Expression], aliases: &Aliases<'_>, uses: &mut Uses) {
    let mut found = Vec::new();
    let mut of_alias = None;
    for branch in branches {
        let Some(alias) = only_alias(branch) else {
            return;
        };
        let mut own: Uses = (aliases.get(&alias).into_iter())
            .map(|table| (alias.clone(), TableUse::of(&alias, table)))
            .collect();
        collect(branch, aliases, &mut own);
        let Some(own) = own.remove(&alias) else {
            return;
        };
        if *of_alias.get_or_insert_with(|| alias.clone()) != alias {
            return;
        }
        found.push(Branch {
            equalities: own.equalities.into_iter().chain(own.lists).collect(),
            ranges: own.ranges,
        });
    }
    let Some(table_use) = of_alias.and_then(|it| uses.get_mut(&it)) else {
        return;
    };
    let in_all = |it: &&Operand| found.iter().all(|branch| branch.equalities.contains(it));
    let common: Vec<Operand> = found[0].equalities.iter().filter(in_all).cloned().collect();
    for operand in common {
        if !table_use.lists.contains(&operand) {
            table_use.lists.push(operand);
        }
    }
    table_use.branches.extend(found);
}

/// Keeps a condition on one table that an index could be limited to.
fn filter(conjunct: &Expression, aliases: &Aliases<'_>, uses: &mut Uses) {
    let Some(alias) = only_alias(conjunct) else {
        return;
    };
    let (Some(table), Some(table_use)) = (aliases.get(&alias), uses.get_mut(&alias)) else {
        return;
    };
    let columns: Vec<String> = conjunct.columns().into_iter().map(|it| it.column).collect();
    if conjunct.has_parameter() || columns.iter().any(|it| table.column(it).is_none()) {
        return;
    }
    let filter = Filter {
        sql: bare(&conjunct.unqualified()).to_owned(),
        shape: shape(conjunct),
        columns,
    };
    if !table_use.filters.contains(&filter) {
        table_use.filters.push(filter);
    }
}

fn shape(condition: &Expression) -> FilterShape {
    let is_column = |it: &Expression| it.columns().len() == 1;
    match &condition.kind {
        Kind::IsNull { of, .. } if of.as_column().is_some() => FilterShape::Flag,
        Kind::Column(_) => FilterShape::Flag,
        Kind::Not(of) if of.as_column().is_some() => FilterShape::Flag,
        Kind::Binary {
            operator,
            left,
            right,
            ..
        } => match operator.as_str() {
            "=" if is_column(left) && right.is_constant() => FilterShape::Equality,
            "=" | "<" | ">" | "<=" | ">=" | "<>" if is_column(left) && is_column(right) => {
                FilterShape::Columns
            }
            _ => FilterShape::Other,
        },
        _ => FilterShape::Other,
    }
}
