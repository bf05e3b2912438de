//! Equality first, then one range; joins before or after what is compared with constants.

use super::{Proposals, Rule, keys, rule_of};
use crate::{
    IndexDefinition,
    catalogue::Table,
    usage::{Operand, TableUse},
};

pub(super) fn propose(table_use: &TableUse, table: &Table, proposals: &mut Proposals) {
    let mut add = |operands: &[&Operand], rule: Rule| {
        let keys = keys(operands.iter().copied(), table);
        if !keys.is_empty() {
            let rule = rule_of(&keys, rule);
            proposals.add(IndexDefinition::btree(table.name.clone(), keys), rule);
        }
    };
    let compared: Vec<&Operand> = table_use
        .equalities
        .iter()
        .chain(&table_use.lists)
        .collect();
    let ranges: Vec<&Operand> = table_use.ranges.iter().collect();

    for start in starts(&compared) {
        add(&start, Rule::EqualityAndRange);
        for range in &ranges {
            add(&with(&start, range), Rule::EqualityAndRange);
        }
    }
    for join in joins(table_use) {
        for permuted in orders_of(&join) {
            add(&permuted, Rule::Join);
            for start in starts(&compared).iter().filter(|it| !it.is_empty()) {
                add(&[permuted.as_slice(), start].concat(), Rule::Join);
                add(&[start.as_slice(), &permuted].concat(), Rule::Join);
            }
            for range in &ranges {
                add(&with(&permuted, range), Rule::Join);
                add(
                    &with(&[compared.as_slice(), &permuted].concat(), range),
                    Rule::Join,
                );
                add(&[&[*range], permuted.as_slice()].concat(), Rule::Join);
            }
        }
    }
    for extreme in &table_use.extremes {
        for start in starts(&compared) {
            add(&with(&start, extreme), Rule::EqualityAndSort);
        }
        for join in joins(table_use) {
            add(&with(&join, extreme), Rule::Join);
        }
    }
    for branch in &table_use.branches {
        let equalities: Vec<&Operand> = branch.equalities.iter().collect();
        add(&equalities, Rule::EqualityAndRange);
        for range in &branch.ranges {
            add(&with(&equalities, range), Rule::EqualityAndRange);
        }
    }
    for group in &table_use.groups {
        let group: Vec<&Operand> = group.iter().collect();
        add(
            &[compared.as_slice(), &group].concat(),
            Rule::EqualityAndSort,
        );
    }
}

/// What an index may begin with of what is compared with constants: nothing, each, all.
fn starts<'a>(compared: &[&'a Operand]) -> Vec<Vec<&'a Operand>> {
    let mut starts = vec![Vec::new()];
    starts.extend(compared.iter().map(|it| vec![*it]));
    if compared.len() > 1 {
        starts.push(compared.to_vec());
        starts.push(compared.iter().rev().copied().collect());
    }
    starts
}

/// The columns that are compared with those of each other table, and with those of any two.
fn joins(table_use: &TableUse) -> Vec<Vec<&Operand>> {
    let mut others: Vec<&str> = table_use.joins.iter().map(|it| it.1.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    let of = |other: &str| -> Vec<&Operand> {
        let mut found: Vec<&Operand> = Vec::new();
        for (operand, of) in &table_use.joins {
            if of == other && !found.contains(&operand) {
                found.push(operand);
            }
        }
        found
    };
    let mut joins: Vec<Vec<&Operand>> = others.iter().map(|it| of(it)).collect();
    for (at, one) in others.iter().enumerate() {
        for two in &others[at + 1..] {
            let mut both = of(one);
            for operand in of(two) {
                if !both.contains(&operand) {
                    both.push(operand);
                }
            }
            joins.push(both);
        }
    }
    // Each column of a join of several alone.
    let singles: Vec<Vec<&Operand>> = (joins.iter())
        .filter(|it| it.len() > 1)
        .flat_map(|it| it.iter().map(|it| vec![*it]).collect::<Vec<_>>())
        .collect();
    joins.extend(singles);
    joins.sort();
    joins.dedup();
    joins
}

/// As they are, and the other way round.
fn orders_of<'a>(operands: &[&'a Operand]) -> Vec<Vec<&'a Operand>> {
    let forward = operands.to_vec();
    let backward: Vec<&Operand> = operands.iter().rev().copied().collect();
    match operands.len() {
        0 | 1 => vec![forward],
        _ => vec![forward, backward],
    }
}

fn with<'a>(start: &[&'a Operand], last: &'a Operand) -> Vec<&'a Operand> {
    let mut all = start.to_vec();
    all.push(last);
    all
}
