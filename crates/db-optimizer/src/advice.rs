//! What to do, and why.

use std::time::Duration;

use serde::Serialize;

use crate::{
    IndexDefinition, Unplanned,
    advise::planned::Planned,
    candidates::Rule,
    catalogue::Catalogue,
    search::{Found, Task},
};

/// The indexes that serve a workload best.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// The indexes to make.
    pub indexes: Vec<IndexAdvice>,
    /// What the workload costs as things are, in the planner's units.
    pub cost_before: f64,
    /// What it would cost.
    pub cost_after: f64,
    /// The statements that could not be planned.
    pub unplanned: Vec<Unplanned>,
    /// How often the planner was asked.
    pub explains: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether nothing better was in sight at the end; otherwise a limit was reached.
    pub is_complete: bool,
}

/// An index to make.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct IndexAdvice {
    /// What it holds.
    pub definition: IndexDefinition,
    /// Why it was proposed.
    pub rule: Rule,
    /// What it will take.
    pub bytes: f64,
}

impl Advice {
    pub(crate) fn new(
        planned: &[Planned],
        unplanned: Vec<Unplanned>,
        task: &Task,
        found: &Found,
        _catalogue: &Catalogue,
        explains: u64,
        elapsed: Duration,
    ) -> Advice {
        Advice {
            indexes: (found.chosen.iter())
                .map(|it| &task.candidates[*it])
                .map(|it| IndexAdvice {
                    definition: it.candidate.definition.clone(),
                    rule: it.candidate.rule,
                    bytes: it.bytes,
                })
                .collect(),
            cost_before: planned.iter().map(|it| it.calls * it.cost).sum(),
            cost_after: (planned.iter().zip(&found.costs))
                .map(|(it, cost)| it.calls * cost)
                .sum(),
            unplanned,
            explains,
            elapsed,
            is_complete: found.is_complete,
        }
    }
}
