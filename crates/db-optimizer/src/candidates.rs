//! Indexes that could help a statement, by rules.
//!
//! A rule only proposes: whether the planner would take the index, and whether it is worth its
//! bytes, is for the search to find out. Each rule is a function of how a statement uses a table
//! and of what the catalogue says, one file each.

mod composite;
mod contents;
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
    /// Documents, arrays, words and areas by what is in them.
    Contents,
    /// What a foreign key refers to: a row that goes is looked for here.
    ForeignKey,
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
    contents::propose(table_use, table, &mut plain);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        catalogue::{ExistingIndex, ExistingKey},
        usage::{Filter, FilterShape, Order, OrderKey},
    };

    fn column(name: &str) -> Operand {
        Operand::Column(name.to_owned())
    }

    fn order(keys: &[(&str, bool)]) -> Order {
        let key = |(name, descending): &(&str, bool)| OrderKey {
            operand: column(name),
            descending: *descending,
            nulls_first: *descending,
        };
        Order {
            keys: keys.iter().map(key).collect(),
        }
    }

    /// All that is proposed on `public.t`, without what follows from the same in every case.
    fn proposed(table_use: &TableUse, table: &Table) -> Vec<String> {
        let proposed = propose(table_use, table).into_iter();
        let mut proposed: Vec<String> = proposed
            .map(|it| it.definition.on_clause().replace("ON public.t ", ""))
            .collect();
        proposed.sort();
        proposed
    }

    #[track_caller]
    fn check(table_use: &TableUse, expected: &[&str]) {
        assert_eq!(proposed(table_use, &Table::example()), expected);
    }

    #[test]
    fn equality_comes_before_a_range_and_before_an_order() {
        let equal_and_range = TableUse {
            equalities: vec![column("a")],
            ranges: vec![column("b")],
            ..TableUse::default()
        };
        check(&equal_and_range, &["(a)", "(a, b)", "(b)"]);
        let equal_and_order = TableUse {
            equalities: vec![column("a")],
            orders: vec![order(&[("b", true)])],
            ..TableUse::default()
        };
        check(&equal_and_order, &["(a)", "(a, b)", "(b)"]);
    }

    #[test]
    fn only_directions_that_differ_are_said() {
        let ordered = |keys: &[(&str, bool)]| TableUse {
            orders: vec![order(keys)],
            ..TableUse::default()
        };
        check(&ordered(&[("a", true), ("b", true)]), &["(a, b)"]);
        check(&ordered(&[("a", false), ("b", false)]), &["(a, b)"]);
        check(&ordered(&[("a", true), ("b", false)]), &["(a, b DESC)"]);
        check(&ordered(&[("a", false), ("b", true)]), &["(a, b DESC)"]);
    }

    #[test]
    fn every_branch_of_an_or_has_its_own() {
        let branch = |name: &str| crate::usage::Branch {
            equalities: vec![column(name)],
            ranges: Vec::new(),
        };
        let either = TableUse {
            branches: vec![branch("a"), branch("b")],
            ..TableUse::default()
        };
        check(&either, &["(a)", "(b)"]);
    }

    #[test]
    fn beginnings_and_parts_of_texts_have_their_classes() {
        let texts = TableUse {
            prefixes: vec![column("x")],
            patterns: vec![column("w")],
            ..TableUse::default()
        };
        check(
            &texts,
            &["(x text_pattern_ops)", "USING gin (w gin_trgm_ops)"],
        );
    }

    #[test]
    fn a_state_limits_the_rows_and_one_value_of_many_does_not() {
        let filter = |name: &str| Filter {
            sql: format!("{name} = 7"),
            shape: FilterShape::Equality,
            columns: vec![name.to_owned()],
        };
        let limited = TableUse {
            equalities: vec![column("a"), column("s")],
            filters: vec![filter("a"), filter("s")],
            ..TableUse::default()
        };
        check(
            &limited,
            &["(a)", "(a) WHERE s = 7", "(a, s)", "(s)", "(s, a)"],
        );
    }

    #[test]
    fn what_is_needed_besides_is_included_or_a_last_key() {
        let covered = TableUse {
            equalities: vec![column("a")],
            needed: Some(BTreeSet::from(["a".to_owned(), "b".to_owned()])),
            ..TableUse::default()
        };
        check(&covered, &["(a)", "(a) INCLUDE (b)", "(a, b)"]);
        let whole_rows = TableUse {
            equalities: vec![column("a")],
            ..TableUse::default()
        };
        check(&whole_rows, &["(a)"]);
    }

    #[test]
    fn what_is_there_or_begins_like_it_is_not_proposed() {
        let key = |column| ExistingKey {
            column,
            descending: false,
            nulls_first: false,
            is_default: true,
        };
        let wide = ExistingIndex {
            oid: 7,
            name: "wide".to_owned(),
            keys: vec![key(1), key(2)],
            include: Vec::new(),
            is_btree: true,
            is_unique: false,
            is_valid: true,
            is_needed: false,
            serves_foreign_key: false,
            predicate: None,
            bytes: 8192.0,
            definition: String::new(),
        };
        let table_use = TableUse {
            equalities: vec![column("a")],
            ranges: vec![column("b")],
            ..TableUse::default()
        };
        let with = |index: ExistingIndex| {
            let mut table = Table::example();
            table.indexes.push(index);
            proposed(&table_use, &table)
        };
        let all = ["(a)", "(a, b)", "(b)"];
        assert_eq!(with(wide.clone()), ["(b)"]);
        let is_valid = false;
        assert_eq!(
            with(ExistingIndex {
                is_valid,
                ..wide.clone()
            }),
            all
        );
        let predicate = Some("s = 1".to_owned());
        assert_eq!(
            with(ExistingIndex {
                predicate,
                ..wide.clone()
            }),
            all
        );
        let is_btree = false;
        assert_eq!(
            with(ExistingIndex {
                is_btree,
                ..wide.clone()
            }),
            all
        );
        let mut other_class = wide;
        other_class.keys[0].is_default = false;
        assert_eq!(with(other_class), all);
    }
}
