//! What the search is given: candidates with their sizes, statements with their costs.

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use super::{
    AdviseOptions, Sizes, budget, planned::Planned, relevance::is_relevant, shares::Shares, upkeep,
};
use crate::{
    Error, IndexDefinition,
    candidates::{Candidate, Rule},
    catalogue::{Catalogue, Table},
    search::{Proposed, Statement, Task},
    size,
    usage::TableUse,
    whatif::WhatIf,
};

/// An index over more of the rows than this is hardly smaller than one over all.
const MOST_OF_THE_ROWS: f64 = 0.8;

pub(super) async fn task<Q: Queries>(
    whatif: &mut WhatIf<'_, Q>,
    planned: &[Planned],
    uses: &[Vec<TableUse>],
    proposals: &[Vec<Candidate>],
    catalogue: &Catalogue,
    options: &AdviseOptions,
) -> Result<Task, Error> {
    let by_name: BTreeMap<_, &Table> = catalogue.tables().map(|it| (&it.name, it)).collect();
    let mut shares = Shares::default();
    let mut proposed = Vec::new();
    let mut numbers: BTreeMap<&IndexDefinition, usize> = BTreeMap::new();
    let mut all: BTreeMap<&IndexDefinition, Rule> = BTreeMap::new();
    for candidate in proposals.iter().flatten() {
        all.entry(&candidate.definition).or_insert(candidate.rule);
    }
    for (index, rule) in all {
        let table = by_name[&index.table];
        let predicate = index.predicate.as_deref();
        let share = shares.of(whatif.queries(), table, predicate).await?;
        if predicate.is_some() && share > MOST_OF_THE_ROWS {
            continue;
        }
        // What HypoPG refuses cannot be tried out: no such operator class, no immutable function.
        if let Ok(by_hypopg) = whatif.hypopg_bytes(index).await? {
            let bytes = match options.sizes {
                Sizes::Own => size::estimate(index, table, share),
                Sizes::HypoPg => by_hypopg,
            };
            numbers.insert(index, proposed.len());
            proposed.push(Proposed {
                upkeep: options.entry_cost * share * upkeep::entries(index, table, planned),
                bytes,
                candidate: Candidate {
                    definition: index.clone(),
                    rule,
                },
            });
        }
    }
    let statements = planned
        .iter()
        .zip(uses)
        .zip(proposals)
        .map(|((it, uses), own)| {
            let candidates = proposed.iter().enumerate();
            let relevant = candidates.filter(|(_, proposed)| {
                is_relevant(&proposed.candidate.definition, uses, catalogue)
            });
            Statement {
                explain: it.explain.clone(),
                weight: it.calls,
                cost: it.cost,
                relevant: relevant.map(|it| it.0).collect(),
                own: (own.iter())
                    .filter_map(|it| numbers.get(&it.definition).copied())
                    .collect(),
            }
        });
    Ok(Task {
        statements: statements.collect(),
        candidates: proposed,
        budget_bytes: budget(whatif.queries(), options.budget).await?,
    })
}
