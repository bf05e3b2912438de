//! Indexes that could help a statement, by rules.
//!
//! A rule only proposes: whether the planner would take the index, and whether it is worth its
//! bytes, is for the search to find out. Each rule is a function of how a statement uses a table
//! and of what the catalogue says, one file each.

mod composite;
mod covering;
mod expression;
mod order;
mod partial;
mod pattern;
mod redundant;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    IndexDefinition, Key,
    catalogue::Table,
    usage::{Operand, TableUse},
};

pub(crate) use self::redundant::replaces;

/// More keys than this serve no statement better.
const MAX_KEYS: usize = 4;

/// Why an index was proposed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// What is compared for equality, then what is compared by size.
    EqualityAndRange,
    /// What is compared for equality, then what is sorted by: the rows come in order.
    EqualityAndSort,
    /// The columns of a join.
    Join,
    /// All that the statement needs, so that the table is not read.
    Covering,
    /// Only the rows that a constant condition leaves.
    Partial,
    /// The value of an expression.
    Expression,
    /// Texts by their beginnings.
    Prefix,
    /// Texts by any part of them.
    Trigram,
}

/// A proposal.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) definition: IndexDefinition,
    pub(crate) rule: Rule,
}

/// The proposals so far: the first rule that found an index keeps it.
#[derive(Debug, Default)]
pub(crate) struct Proposals(BTreeMap<IndexDefinition, Rule>);

impl Proposals {
    fn add(&mut self, definition: IndexDefinition, rule: Rule) {
        self.0.entry(definition).or_insert(rule);
    }

    pub(crate) fn into_candidates(self) -> Vec<Candidate> {
        let candidates = self.0.into_iter();
        candidates
            .map(|(definition, rule)| Candidate { definition, rule })
            .collect()
    }
}

/// Proposes all that could help a statement that uses a table like this.
pub(crate) fn propose(table_use: &TableUse, table: &Table) -> Vec<Candidate> {
    let mut plain = Proposals::default();
    composite::propose(table_use, table, &mut plain);
    order::propose(table_use, table, &mut plain);
    pattern::propose(table_use, table, &mut plain);
    let plain = plain.into_candidates();

    let mut all = Proposals::default();
    for candidate in &plain {
        all.add(candidate.definition.clone(), candidate.rule);
        partial::propose(candidate, table_use, table, &mut all);
    }
    for candidate in all.0.clone() {
        let (definition, rule) = candidate;
        covering::propose(&Candidate { definition, rule }, table_use, table, &mut all);
    }
    covering::propose_narrow(table_use, table, &mut all);
    let mut candidates = all.into_candidates();
    candidates.retain(|it| !redundant::is_there(&it.definition, table));
    candidates
}

/// A key for an operand, if an index may hold it.
fn key(operand: &Operand, table: &Table) -> Option<Key> {
    match operand {
        Operand::Column(name) => Some(Key::column(table.column(name)?.name.clone())),
        Operand::Expression(sql, columns) => expression::key(sql, columns),
    }
}

/// Keys for operands, each once, and at most [`MAX_KEYS`] of them.
fn keys<'a>(operands: impl IntoIterator<Item = &'a Operand>, table: &Table) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for key in operands.into_iter().filter_map(|it| key(it, table)) {
        if !keys.iter().any(|it| it.on == key.on) {
            keys.push(key);
        }
    }
    keys.truncate(MAX_KEYS);
    keys
}

/// The rule that a list of keys was found by: expressions have one of their own.
fn rule_of(keys: &[Key], otherwise: Rule) -> Rule {
    match keys.iter().all(|it| it.as_column().is_some()) {
        true => otherwise,
        false => Rule::Expression,
    }
}
