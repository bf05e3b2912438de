//! Indexes that are there and that the workload no longer needs, once the new ones are.
//!
//! An index that no plan takes is missed by none. One that a plan takes is hidden from the planner, where
//! HypoPG can do that, and goes if the workload costs no more without it.

use std::collections::BTreeSet;

use ruleiq_query::Queries;
use tokio::time::Instant;

use super::{Read, planned::Planned};
use crate::{
    Error,
    candidates::replaces,
    catalogue::{ExistingIndex, Table},
    index_name,
    search::{Found, Task},
    whatif::{PlanWith, WhatIf},
};

/// Without an index, the whole may cost this part more, and one statement that.
const MOST_OF_ALL: f64 = 0.0005;
const MOST_OF_ONE: f64 = 0.01;

/// An index that is no longer needed.
#[derive(Clone, Debug)]
pub(crate) struct Unneeded {
    pub(crate) index: ExistingIndex,
    /// The number of the new index that begins with the same keys, over the same rows.
    pub(crate) by: Option<usize>,
    /// Whether plans show that nothing misses it.
    pub(crate) is_tested: bool,
}

/// How each statement fares with all new indexes, and without those that are no longer needed.
struct Outcome {
    costs: Vec<f64>,
    /// The names of the real indexes in its plans.
    taken: Vec<BTreeSet<String>>,
}

/// Finds them, the largest first. Those that could only be told by plans are left out when there is no
/// more time, or after so many plans.
pub(super) async fn find<Q: Queries>(
    mut whatif: Option<&mut WhatIf<'_, Q>>,
    read: &Read<'_>,
    task: &Task,
    found: &Found,
    plans_after: &[Option<PlanWith>],
    (until, explains): (Instant, u64),
) -> Result<Vec<Unneeded>, Error> {
    let mut outcome = Outcome {
        costs: found.costs.clone(),
        taken: taken(read.planned, plans_after),
    };
    let mut unneeded = Vec::new();
    for (table, index) in spare(read) {
        let by =
            (found.chosen.iter().copied()).find(|it| replaces(task.definition(*it), index, table));
        // Plans name the indexes of a table's parts.
        let is_seen = whatif.is_some() && !table.is_partitioned;
        // What the workload never took, other statements may.
        let is_asked = is_seen
            && !index.serves_foreign_key
            && is_in_any(index, read.planned.iter().map(|it| &it.indexes));
        let missed_by = outcome.statements_with(index);
        let is_spared = match &mut whatif {
            _ if missed_by.is_empty() => is_seen,
            Some(whatif) if (by.is_some() || is_asked) && whatif.can_hide() && is_seen => {
                let is_over = Instant::now() >= until || whatif.explains >= explains;
                let tested = match is_over {
                    true => None,
                    false => Some(
                        outcome
                            .is_spared(whatif, task, found, index, &missed_by)
                            .await?,
                    ),
                };
                match tested {
                    Some(false) => continue,
                    other => other == Some(true),
                }
            }
            _ => false,
        };
        if by.is_some() || is_asked && is_spared {
            unneeded.push(Unneeded {
                index: index.clone(),
                by,
                is_tested: is_spared,
            });
        }
    }
    Ok(unneeded)
}

/// The indexes that may go at all, the largest first.
fn spare<'a>(read: &Read<'a>) -> Vec<(&'a Table, &'a ExistingIndex)> {
    let tables = read.catalogue.tables();
    let all = tables.flat_map(|table| table.indexes.iter().map(move |it| (table, it)));
    let mut spare: Vec<_> = all
        .filter(|(_, it)| it.is_valid && !it.is_unique && !it.is_needed)
        .collect();
    spare.sort_by(|(_, a), (_, b)| b.bytes.total_cmp(&a.bytes));
    spare
}

/// The real indexes in the plans of each statement, with all new ones.
fn taken(planned: &[Planned], plans_after: &[Option<PlanWith>]) -> Vec<BTreeSet<String>> {
    let statements = planned.iter().enumerate();
    let taken = statements.map(|(at, it)| match plans_after.get(at) {
        Some(Some(after)) => after.real.clone(),
        _ => it.indexes.clone(),
    });
    taken.collect()
}

fn is_in_any<'a>(
    index: &ExistingIndex,
    plans: impl IntoIterator<Item = &'a BTreeSet<String>>,
) -> bool {
    let mut names = plans.into_iter().flatten();
    names.any(|it| index_name::is_of(it, &index.name))
}

impl Outcome {
    /// The statements whose plans take an index.
    fn statements_with(&self, index: &ExistingIndex) -> Vec<usize> {
        let statements = self.taken.iter().enumerate();
        let with = statements.filter(|(_, it)| is_in_any(index, [*it]));
        with.map(|(at, _)| at).collect()
    }

    /// Plans these statements without an index, and leaves it hidden if they cost no more.
    async fn is_spared<Q: Queries>(
        &mut self,
        whatif: &mut WhatIf<'_, Q>,
        task: &Task,
        found: &Found,
        index: &ExistingIndex,
        statements: &[usize],
    ) -> Result<bool, Error> {
        let new: Vec<_> = (found.chosen.iter())
            .map(|it| (*it, task.definition(*it)))
            .collect();
        let weight = |at: usize| task.statements[at].weight;
        let whole: f64 = self
            .costs
            .iter()
            .enumerate()
            .map(|(at, it)| weight(at) * it)
            .sum();
        let (mut more, mut without) = (0.0, Vec::new());
        whatif.hide(index.oid).await?;
        for &at in statements {
            let plan = whatif.plan(&task.statements[at].explain, &new).await?;
            let cost = plan.as_ref().map_or(f64::INFINITY, |it| it.cost);
            more += weight(at) * (cost - self.costs[at]);
            let is_dearer = cost > self.costs[at] * (1.0 + MOST_OF_ONE);
            if is_dearer || more > whole * MOST_OF_ALL {
                whatif.show(index.oid).await?;
                return Ok(false);
            }
            without.extend(plan.map(|it| (at, it)));
        }
        for (at, plan) in without {
            self.costs[at] = plan.cost;
            self.taken[at] = plan.real;
        }
        Ok(true)
    }
}
