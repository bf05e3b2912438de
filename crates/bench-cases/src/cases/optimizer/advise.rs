//! The advice that is measured, behind one function.

use ruleiq_bench::Fault;
use ruleiq_db_optimizer::{
    Advice, AdviseOptions, Budget, DatabaseOptimizer, Sizes as AdvisedSizes, TrialOptions,
    Workload, WorkloadStatement,
};
use serde::Serialize;

use super::{planner::Planner, queries::QuerySet};

/// What indexes are searched under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    /// The most that all of them may take.
    pub(super) budget_bytes: u64,
    /// Whose bytes these are.
    pub(super) sizes: Sizes,
    /// What an entry in an index costs a write, in the planner's units; 0 where writes do not count.
    pub(super) entry_cost: f64,
}

/// Whose idea of an index's size counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sizes {
    /// `HypoPG`'s, which knows of no deduplication.
    Hypopg,
    /// That of a formula, which is near to what is built.
    Own,
}

/// What a search found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Statements that create the indexes.
    pub(super) indexes: Vec<String>,
    /// How often the planner was asked.
    pub(super) explains: u64,
}

/// How much slower a statement may be in a trial: half of what it may be when it is measured, by when its
/// tables have been sampled anew.
const SLOWER: f64 = 1.025;

impl Found {
    fn advised(advice: &Advice) -> Found {
        Found {
            indexes: Found::recorded(&advice.create_statements()).indexes,
            explains: advice.explains,
        }
    }

    /// What a file of statements has, which was found before.
    pub(super) fn recorded(text: &str) -> Found {
        let lines = text.lines().filter(|it| !it.starts_with("--"));
        let statements = lines.collect::<Vec<_>>().join(" ");
        let parts = statements.split(';').map(str::trim);
        Found {
            indexes: parts
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect(),
            explains: 0,
        }
    }
}

/// The indexes that the optimizer advises for a workload.
pub(super) async fn advise(
    planner: &mut Planner,
    queries: &QuerySet,
    task: &Task,
) -> Result<Found, Fault> {
    let advice = advice(planner, &workload(queries), task).await?;
    Ok(Found::advised(&advice))
}

/// The same once they have been tried out: without those that make a statement slower.
pub(super) async fn advise_and_try(
    planner: &mut Planner,
    queries: &QuerySet,
    task: &Task,
) -> Result<Found, Fault> {
    let workload = workload(queries);
    let advice = advice(planner, &workload, task).await?;
    let mut options = TrialOptions::default();
    options.slower = SLOWER;
    let optimizer = DatabaseOptimizer::new(planner.client());
    let trial = optimizer.trial(&workload, &advice, &options, |_| ()).await;
    let trial = trial.map_err(Fault::failed)?;
    if !trial.is_complete {
        return Err(Fault::Failed("the trial took too long".to_owned()));
    }
    Ok(Found::advised(&advice.tried(trial)))
}

fn workload(queries: &QuerySet) -> Workload {
    let statements = queries.iter();
    Workload::new(statements.map(|it| WorkloadStatement::new(&it.name, &it.text, it.weight)))
}

async fn advice(planner: &mut Planner, workload: &Workload, task: &Task) -> Result<Advice, Fault> {
    let mut options = AdviseOptions::default();
    options.budget = Budget::Bytes(task.budget_bytes);
    options.entry_cost = task.entry_cost;
    options.sizes = match task.sizes {
        Sizes::Hypopg => AdvisedSizes::HypoPg,
        Sizes::Own => AdvisedSizes::Own,
    };
    let optimizer = DatabaseOptimizer::new(planner.client());
    let advice = optimizer.advise(workload, &options, |_| ()).await;
    advice.map_err(Fault::failed)
}

#[cfg(test)]
mod tests {
    use ruleiq_test_support::TestDatabase;

    use super::*;

    const TABLE: &str = "CREATE TABLE t (a integer, b integer, c integer);
        INSERT INTO t SELECT n, n % 5000, n FROM generate_series(1, 20000) n;
        ANALYZE t";
    const QUERIES: &str = "-- name: often weight: 90
SELECT c FROM t WHERE a = 7;
-- name: seldom weight: 1
SELECT c FROM t WHERE b = 7;
-- name: write weight: 1000
INSERT INTO t VALUES (1, 2, 3);
";

    #[tokio::test]
    async fn what_costs_writes_more_than_it_saves_is_not_advised_where_they_count() {
        let database = TestDatabase::migrated().await;
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        let mut planner = Planner::connect(database.url()).await.unwrap();
        let queries = QuerySet::parse(QUERIES).unwrap();
        for (entry_cost, expect) in [(0.0, 2), (1.0, 1)] {
            let task = Task {
                budget_bytes: 10_000_000,
                sizes: Sizes::Own,
                entry_cost,
            };
            let found = advise(&mut planner, &queries, &task).await.unwrap();
            assert_eq!(found.indexes.len(), expect, "{found:?}");
            assert!(found.indexes[0].starts_with("CREATE INDEX ON public.t (a"));
        }
    }

    #[test]
    fn a_file_of_indexes_has_one_statement_after_the_other() {
        let text = "-- Two.\nCREATE INDEX ON t (a);\nCREATE INDEX ON t (b)\n  WHERE c;\n";
        let indexes = Found::recorded(text).indexes;
        assert_eq!(
            indexes,
            ["CREATE INDEX ON t (a)", "CREATE INDEX ON t (b)   WHERE c"]
        );
        assert!(Found::recorded("").indexes.is_empty());
    }
}
