//! Indexes that are there and that the workload no longer needs, once the new ones are.
//!
//! An index that no plan takes is missed by none. One that a plan takes is hidden from the planner, where
//! HypoPG can do that, and goes if the workload costs no more without it. Whatever goes stays hidden
//! meanwhile, so that no two indexes go because of each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering::Relaxed,
};

use ruleiq_query::Queries;
use tokio::time::Instant;

use super::{AdviseOptions, Read, planned::Planned};
use crate::{
    DroppableIndex, Error,
    candidates::replaces,
    catalogue::{ExistingIndex, Table},
    index_name,
    search::{Found, Task},
    whatif::{PlanWith, WhatIf},
};

/// Without all that goes, the whole may cost this part more, and one statement that.
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

/// How long it may take.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) until: Instant,
    pub(super) options: &'a AdviseOptions,
}

/// How each statement fares with all new indexes, and without those that are no longer needed.
struct Outcome<'a> {
    task: &'a Task,
    found: &'a Found,
    costs: Vec<f64>,
    /// The names of the real indexes in its plans.
    taken: Vec<BTreeSet<String>>,
}

/// Finds them, the largest first. Those that could only be told by plans are left out when there is no
/// more time, or after so many plans; so are those of partitioned tables, of which plans name the parts, and
/// those in whose place others could be dropped.
pub(super) async fn find<Q: Queries>(
    mut whatif: Option<&mut WhatIf<'_, Q>>,
    read: &Read<'_>,
    (task, found): (&Task, &Found),
    plans_after: &[Option<PlanWith>],
    droppable: &[DroppableIndex],
    limits: Limits<'_>,
) -> Result<Vec<Unneeded>, Error> {
    let mut outcome = Outcome {
        task,
        found,
        costs: found.costs.clone(),
        taken: taken(read.planned, plans_after),
    };
    if let Some(whatif) = &mut whatif
        && whatif.can_hide()
    {
        // What goes anyway is not to be what others are spared for.
        for index in named(read, droppable) {
            whatif.hide(index.oid).await?;
        }
    }
    let spare = spare(read, droppable);
    let mut unneeded = Vec::new();
    for &(table, index) in &spare {
        let by =
            (found.chosen.iter().copied()).find(|it| replaces(task.definition(*it), index, table));
        // What the workload never took, other statements may.
        let was_taken = is_in_any(index, read.planned.iter().map(|it| &it.indexes));
        let is_asked = was_taken && !index.serves_foreign_key && is_alone(index, &spare);
        if by.is_none() && !is_asked {
            continue;
        }
        let is_spared = match &mut whatif {
            Some(whatif) => outcome.is_spared(whatif, index, limits).await?,
            None => None,
        };
        if is_spared == Some(true) || is_spared.is_none() && by.is_some() {
            unneeded.push(Unneeded {
                index: index.clone(),
                by,
                is_tested: is_spared.is_some(),
            });
        }
    }
    Ok(unneeded)
}

/// The indexes that may go at all, the largest first.
fn spare<'a>(read: &Read<'a>, droppable: &[DroppableIndex]) -> Vec<(&'a Table, &'a ExistingIndex)> {
    let settled: BTreeSet<&str> = (droppable.iter())
        .flat_map(|it| [Some(it.index.as_str()), it.reason.covered_by()])
        .flatten()
        .collect();
    let tables = read.catalogue.tables().filter(|it| !it.is_partitioned);
    let all = tables.flat_map(|table| table.indexes.iter().map(move |it| (table, it)));
    let mut spare: Vec<_> = all
        .filter(|(_, it)| it.is_valid && !it.is_unique && !it.is_needed)
        .filter(|(_, it)| !settled.contains(it.name.as_str()))
        .collect();
    spare.sort_by(|(_, a), (_, b)| b.bytes.total_cmp(&a.bytes));
    spare
}

/// The indexes that are said to go anyway.
fn named<'a>(
    read: &Read<'a>,
    droppable: &[DroppableIndex],
) -> impl Iterator<Item = &'a ExistingIndex> {
    let all = read.catalogue.tables().flat_map(|it| &it.indexes);
    all.filter(|index| droppable.iter().any(|it| it.index == index.name))
}

/// Whether no index of another schema has the same name: plans tell no schema.
fn is_alone(index: &ExistingIndex, all: &[(&Table, &ExistingIndex)]) -> bool {
    let mut others = all.iter().filter(|(_, it)| it.oid != index.oid);
    let name = index.name.rsplit('.').next();
    others.all(|(_, it)| it.name.rsplit('.').next() != name)
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

impl Outcome<'_> {
    /// Whether the workload costs no more without an index, which is hidden from then on; `None` where that
    /// is not known.
    async fn is_spared<Q: Queries>(
        &mut self,
        whatif: &mut WhatIf<'_, Q>,
        index: &ExistingIndex,
        limits: Limits<'_>,
    ) -> Result<Option<bool>, Error> {
        let taken = self.taken.iter().enumerate();
        let missed_by: Vec<usize> = taken
            .filter(|(_, it)| is_in_any(index, [*it]))
            .map(|(at, _)| at)
            .collect();
        if !whatif.can_hide() {
            return Ok(missed_by.is_empty().then_some(true));
        }
        whatif.hide(index.oid).await?;
        let without = self.without(whatif, &missed_by, limits).await?;
        match without {
            Some(plans) if self.is_as_cheap(&plans) => {
                for (at, plan) in plans {
                    self.costs[at] = plan.cost;
                    self.taken[at] = plan.real;
                }
                Ok(Some(true))
            }
            other => {
                whatif.show(index.oid).await?;
                Ok(other.map(|_| false))
            }
        }
    }

    /// The plans of these statements with all new indexes and without what is hidden; `None` where a limit
    /// is reached, or one cannot be planned in time.
    async fn without<Q: Queries>(
        &self,
        whatif: &mut WhatIf<'_, Q>,
        statements: &[usize],
        limits: Limits<'_>,
    ) -> Result<Option<BTreeMap<usize, PlanWith>>, Error> {
        let new: Vec<_> = (self.found.chosen.iter())
            .map(|it| (*it, self.task.definition(*it)))
            .collect();
        let mut plans = BTreeMap::new();
        for &at in statements {
            if limits.are_reached(whatif.explains) {
                return Ok(None);
            }
            let explain = &self.task.statements[at].explain;
            let Some(plan) = whatif.plan(explain, &new).await? else {
                return Ok(None);
            };
            plans.insert(at, plan);
        }
        Ok(Some(plans))
    }

    /// Against what everything costs with all indexes, so that many small losses are not one large one.
    fn is_as_cheap(&self, plans: &BTreeMap<usize, PlanWith>) -> bool {
        let (mut before, mut after) = (0.0, 0.0);
        for (at, statement) in self.task.statements.iter().enumerate() {
            let with = self.found.costs[at];
            let without = plans.get(&at).map_or(self.costs[at], |it| it.cost);
            if without > with * (1.0 + MOST_OF_ONE) {
                return false;
            }
            before += statement.weight * with;
            after += statement.weight * without;
        }
        after <= before * (1.0 + MOST_OF_ALL)
    }
}

impl Limits<'_> {
    fn are_reached(self, explains: u64) -> bool {
        let stop = self.options.stop.as_ref();
        stop.is_some_and(|it| it.load(Relaxed))
            || Instant::now() >= self.until
            || explains >= self.options.explains
    }
}
