//! What the search is given: candidates with their sizes, statements with their costs.

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use super::{AdviseOptions, Read, Sizes, budget, relevance::is_relevant, shares::Shares, upkeep};
use crate::{
    Error, IndexDefinition, Method,
    candidates::{Candidate, Rule},
    catalogue::Table,
    search::{Proposed, Statement, Task},
    size,
    whatif::WhatIf,
};

/// An index over more of the rows than this is hardly smaller than one over all.
const MOST_OF_THE_ROWS: f64 = 0.8;

/// Sizes come from statistics, which are a sample: of clustered columns it shows too few values. So much of
/// the budget is spent by our own sizes, and the rest is for what becomes larger.
const SPENT: f64 = 0.98;

pub(super) async fn task<Q: Queries>(
    queries: &Q,
    whatif: Option<&mut WhatIf<'_, Q>>,
    shares: &mut Shares,
    read: &Read<'_>,
    proposals: &[Vec<Candidate>],
    options: &AdviseOptions,
) -> Result<Task, Error> {
    let by_name: BTreeMap<_, &Table> = (read.catalogue.tables()).map(|it| (&it.name, it)).collect();
    let mut all: BTreeMap<&IndexDefinition, Rule> = BTreeMap::new();
    for candidate in proposals.iter().flatten() {
        all.entry(&candidate.definition).or_insert(candidate.rule);
    }
    let mut fit: Vec<(&IndexDefinition, Rule, f64)> = Vec::new();
    for (index, rule) in all {
        let predicate = index.predicate.as_deref();
        let share = shares.of(queries, by_name[&index.table], predicate).await?;
        if predicate.is_none() || share <= MOST_OF_THE_ROWS {
            fit.push((index, rule, share));
        }
    }
    let definitions: Vec<IndexDefinition> = fit.iter().map(|it| as_btree(it.0)).collect();
    let has_what_if = whatif.is_some();
    let taken = match whatif {
        Some(whatif) => whatif.hypopg_bytes(&definitions).await?,
        None => vec![None; fit.len()],
    };
    let mut proposed = Vec::new();
    let mut numbers: BTreeMap<&IndexDefinition, usize> = BTreeMap::new();
    for ((index, rule, share), by_hypopg) in fit.into_iter().zip(taken) {
        // Whether a function is immutable and a class fits, the server alone knows: HypoPG has it looked at.
        if by_hypopg.is_none() && (has_what_if && is_btree(index) || has_condition(index)) {
            continue;
        }
        let table = by_name[&index.table];
        let is_tested = by_hypopg.is_some() && is_btree(index);
        let bytes = match (options.sizes, by_hypopg) {
            (Sizes::HypoPg, Some(bytes)) if is_tested => bytes,
            _ => size::estimate(index, table, share),
        };
        numbers.insert(index, proposed.len());
        proposed.push(Proposed {
            upkeep: options.entry_cost * share * upkeep::entries(index, table, read.planned),
            bytes,
            share,
            is_tested,
            candidate: Candidate {
                definition: index.clone(),
                rule,
            },
        });
    }
    Ok(Task {
        statements: statements(read, proposals, &proposed, &numbers),
        candidates: proposed,
        budget_bytes: budget(queries, options.budget).await?,
        spent_share: match options.sizes {
            Sizes::Own => SPENT,
            Sizes::HypoPg => 1.0,
        },
    })
}

/// The statements, each with the candidates that may change its plan.
fn statements(
    read: &Read<'_>,
    proposals: &[Vec<Candidate>],
    proposed: &[Proposed],
    numbers: &BTreeMap<&IndexDefinition, usize>,
) -> Vec<Statement> {
    let statements = read
        .planned
        .iter()
        .zip(read.uses)
        .zip(proposals)
        .map(|((it, uses), own)| {
            let candidates = proposed.iter().enumerate();
            let relevant = candidates.filter(|(_, proposed)| {
                let index = &proposed.candidate.definition;
                proposed.is_tested && is_relevant(index, uses, read.catalogue)
            });
            Statement {
                explain: it.explain.clone(),
                weight: it.calls,
                cost: it.cost,
                relevant: relevant.map(|it| it.0).collect(),
                own: (own.iter())
                    .filter_map(|it| numbers.get(&it.definition).copied())
                    .filter(|it| proposed[*it].is_tested)
                    .collect(),
            }
        });
    statements.collect()
}

fn is_btree(index: &IndexDefinition) -> bool {
    index.method == Method::Btree
}

/// Whether there is an expression in it, or a predicate.
fn has_condition(index: &IndexDefinition) -> bool {
    index.predicate.is_some() || index.keys.iter().any(|it| it.as_column().is_none())
}

/// The index itself, or one of the method that HypoPG knows, on the same values.
fn as_btree(index: &IndexDefinition) -> IndexDefinition {
    let mut btree = index.clone();
    if index.method != Method::Btree {
        btree.method = Method::Btree;
        btree
            .keys
            .iter_mut()
            .for_each(|it| it.operator_class = None);
    }
    btree
}
