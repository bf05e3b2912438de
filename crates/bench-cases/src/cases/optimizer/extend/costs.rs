//! What workloads cost with sets of indexes, where no statement is planned twice for the same.
//!
//! Whether an index is there can change the plan of a statement only if the statement names one of
//! its columns.

use std::collections::{BTreeSet, HashMap};

use ruleiq_bench::Fault;

use super::{
    super::{planner::Planner, queries::QuerySet},
    PlainIndex,
    column::Column,
};

/// The costs of a workload, and what was found of them.
pub(super) struct Costs<'a> {
    planner: &'a mut Planner,
    queries: &'a QuerySet,
    columns: Vec<BTreeSet<Column>>,
    /// By the place of the statement and those of the indexes that matter to it.
    known: HashMap<(usize, Vec<PlainIndex>), f64>,
}

impl<'a> Costs<'a> {
    /// `columns` are those in each statement.
    pub(super) fn new(
        planner: &'a mut Planner,
        queries: &'a QuerySet,
        columns: Vec<BTreeSet<Column>>,
    ) -> Costs<'a> {
        Costs {
            planner,
            queries,
            columns,
            known: HashMap::new(),
        }
    }

    /// The weighted cost of all statements with these indexes.
    pub(super) async fn of(&mut self, indexes: &[PlainIndex]) -> Result<f64, Fault> {
        let (mut sum, mut are_held) = (0.0, false);
        for (at, query) in self.queries.iter().enumerate() {
            let key = (at, self.relevant(at, indexes));
            let cost = if let Some(cost) = self.known.get(&key) {
                *cost
            } else {
                if !are_held {
                    let statements: Vec<String> = indexes.iter().map(PlainIndex::sql).collect();
                    self.planner.hold(&statements).await?;
                    are_held = true;
                }
                let cost = self.planner.cost(&query.text).await?;
                self.known.insert(key, cost);
                cost
            };
            sum += query.weight * cost;
        }
        Ok(sum)
    }

    /// How large `HypoPG` believes an index to be.
    pub(super) async fn hypothetical_bytes(&mut self, index: &PlainIndex) -> Result<u64, Fault> {
        self.planner.hypothetical_bytes(&index.sql()).await
    }

    fn relevant(&self, at: usize, indexes: &[PlainIndex]) -> Vec<PlainIndex> {
        let named = &self.columns[at];
        let mut relevant: Vec<PlainIndex> = indexes
            .iter()
            .filter(|it| it.columns.iter().any(|column| named.contains(column)))
            .cloned()
            .collect();
        relevant.sort();
        relevant
    }
}
