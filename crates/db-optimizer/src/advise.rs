//! From a workload to advice: plan, propose, search, explain.

pub(crate) mod planned;
mod upkeep;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ruleiq_query::Queries;

use crate::{
    Advice, AdviseError, IndexDefinition, Workload,
    candidates::{self, Candidate, Rule},
    catalogue::{Catalogue, Oid, Table},
    search::{Limits, Proposed, Search, Statement, Task},
    size,
    usage::{self, TableUse},
    whatif::{Explain, WhatIf},
};

use self::planned::Planned;

/// How much the indexes may take in all.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Budget {
    /// A part of the tables' own size: 0.5 is half of it.
    Share(f64),
    /// So many bytes.
    Bytes(u64),
}

/// By what the budget is counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Sizes {
    /// By the layout of PostgreSQL's pages: what a fresh index takes.
    #[default]
    Own,
    /// By HypoPG's estimate, which is larger than what is built.
    HypoPg,
}

/// What to search for, and how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdviseOptions {
    /// What all new indexes may take. Default: half of the tables' size.
    pub budget: Budget,
    /// When to stop searching. Default: 10 s.
    pub time: Duration,
    /// After how many questions to the planner to stop. Default: 3,000.
    pub explains: u64,
    /// By what the budget is counted. Default: [`Sizes::Own`].
    pub sizes: Sizes,
}

impl Default for AdviseOptions {
    fn default() -> AdviseOptions {
        AdviseOptions {
            budget: Budget::Share(0.5),
            time: Duration::from_secs(10),
            explains: 3_000,
            sizes: Sizes::Own,
        }
    }
}

/// How far a search has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SearchProgress {
    /// What is left of the workload's cost: 1 is all of it.
    pub cost_ratio: f64,
    /// How many indexes the best set has.
    pub indexes: usize,
    /// How often the planner was asked.
    pub explains: u64,
    /// Since when.
    pub elapsed: Duration,
}

/// Searches for the best indexes. `on_progress` answers whether to go on.
pub(crate) async fn advise<Q: Queries>(
    queries: &Q,
    workload: &Workload,
    options: &AdviseOptions,
    mut on_progress: impl FnMut(SearchProgress) -> bool + Send,
) -> Result<Advice, AdviseError> {
    let started = Instant::now();
    let (planned, unplanned) = planned::plan(queries, workload).await?;
    let names = planned.iter().flat_map(|it| usage::tables_of(&it.plan));
    let names: std::collections::BTreeSet<_> = names.collect();
    let catalogue = Catalogue::read(queries, names).await?;
    let uses: Vec<Vec<TableUse>> = (planned.iter())
        .map(|it| usage::of_plan(&it.plan, &catalogue))
        .collect();
    let Some(mut whatif) = WhatIf::begin(queries).await? else {
        return Err(AdviseError::NoHypoPg);
    };
    let searched = async {
        let candidates = proposed(&uses, &catalogue);
        let budget_bytes = budget(queries, options.budget).await?;
        let task = task(
            &mut whatif,
            queries,
            &planned,
            &uses,
            candidates,
            &catalogue,
            options,
            budget_bytes,
        )
        .await?;
        let limits = Limits {
            time: options.time,
            explains: options.explains,
        };
        let before: f64 = planned.iter().map(|it| it.calls * it.cost).sum();
        let explains_before = whatif.explains;
        let mut on_better = |found: &crate::search::Found| {
            let after: f64 = (found.costs.iter().zip(&planned))
                .map(|(cost, it)| cost * it.calls)
                .sum();
            on_progress(SearchProgress {
                cost_ratio: after / before,
                indexes: found.chosen.len(),
                explains: explains_before,
                elapsed: started.elapsed(),
            })
        };
        let search = Search {
            whatif: &mut whatif,
            task: &task,
            limits: &limits,
            started,
            is_stopped: false,
            on_better: &mut on_better,
        };
        let found = search.run().await?;
        Ok::<_, AdviseError>((task, found))
    }
    .await;
    let explains = whatif.explains;
    let ended = whatif.end().await;
    let (task, found) = searched?;
    ended?;
    Ok(Advice::new(
        &planned,
        unplanned,
        &task,
        &found,
        &catalogue,
        explains,
        started.elapsed(),
    ))
}

/// The candidates of each table, with merged ones.
fn proposed(uses: &[Vec<TableUse>], catalogue: &Catalogue) -> Vec<Candidate> {
    let mut all: BTreeMap<IndexDefinition, Rule> = BTreeMap::new();
    for table_use in uses.iter().flatten() {
        let table = catalogue.table(table_use.table);
        for candidate in candidates::propose(table_use, table) {
            all.entry(candidate.definition).or_insert(candidate.rule);
        }
    }
    let candidates = all.into_iter();
    candidates
        .map(|(definition, rule)| Candidate { definition, rule })
        .collect()
}

async fn budget(queries: &impl Queries, budget: Budget) -> Result<f64, AdviseError> {
    const DATA: &str = "
        SELECT coalesce(sum(pg_table_size(c.oid)), 0)::float8
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND n.nspname !~ '^pg_(toast|temp)'";
    match budget {
        Budget::Share(share) => {
            let row = queries.query_one(DATA, &[]).await;
            let row = row.map_err(crate::Error::reading("the size of the tables"))?;
            Ok(row.get::<_, f64>(0) * share)
        }
        #[expect(clippy::cast_precision_loss, reason = "a budget needs no 53 bits")]
        Budget::Bytes(bytes) => Ok(bytes as f64),
    }
}

#[expect(clippy::too_many_arguments, reason = "draft")]
async fn task<Q: Queries>(
    whatif: &mut WhatIf<'_, Q>,
    queries: &Q,
    planned: &[Planned],
    uses: &[Vec<TableUse>],
    candidates: Vec<Candidate>,
    catalogue: &Catalogue,
    options: &AdviseOptions,
    budget_bytes: f64,
) -> Result<Task, AdviseError> {
    let by_name: BTreeMap<_, &Table> = catalogue.tables().map(|it| (&it.name, it)).collect();
    let mut shares: BTreeMap<(Oid, String), f64> = BTreeMap::new();
    let mut proposed = Vec::new();
    for candidate in candidates {
        let table = by_name[&candidate.definition.table];
        let share = match &candidate.definition.predicate {
            None => 1.0,
            Some(predicate) => {
                let key = (table.oid, predicate.clone());
                match shares.get(&key) {
                    Some(share) => *share,
                    None => {
                        let share = share_of(queries, table, predicate).await;
                        shares.insert(key, share);
                        share
                    }
                }
            }
        };
        if share > 0.5 && candidate.rule == Rule::Partial && share > 0.8 {
            continue;
        }
        let hypopg = match whatif.hypopg_bytes(&candidate.definition).await? {
            Ok(bytes) => bytes,
            Err(_) => continue,
        };
        let own = size::estimate(&candidate.definition, table, share);
        let bytes = match options.sizes {
            Sizes::Own => own,
            Sizes::HypoPg => hypopg,
        };
        proposed.push(Proposed {
            upkeep: upkeep::of(&candidate.definition, table, planned),
            bytes,
            candidate,
        });
    }
    let statements = planned.iter().zip(uses).map(|(it, uses)| {
        let relevant = proposed.iter().enumerate().filter(|(_, proposed)| {
            let index = &proposed.candidate.definition;
            uses.iter()
                .any(|table_use| is_relevant(index, table_use, catalogue))
        });
        Statement {
            explain: it.explain.clone(),
            weight: it.calls,
            cost: it.cost,
            relevant: relevant.map(|it| it.0).collect(),
        }
    });
    let statements = statements.collect();
    Ok(Task {
        statements,
        candidates: proposed,
        budget_bytes,
    })
}

/// The part of a table's rows that a predicate leaves, as the planner believes.
async fn share_of(queries: &impl Queries, table: &Table, predicate: &str) -> f64 {
    let sql = format!("SELECT FROM {} WHERE {predicate}", table.name);
    let Ok(explain) = Explain::ready(queries, &sql).await else {
        return 1.0;
    };
    match explain.rows(queries).await {
        Some(rows) if table.rows > 0.0 => (rows / table.rows).min(1.0),
        _ => 1.0,
    }
}

/// Whether an index may change how a statement reads a table.
fn is_relevant(index: &IndexDefinition, table_use: &TableUse, catalogue: &Catalogue) -> bool {
    let table = catalogue.table(table_use.table);
    if table.name != index.table {
        return false;
    }
    if let Some(predicate) = &index.predicate {
        let says = |sql: &str| predicate == sql || predicate.contains(&format!("({sql})"));
        if !table_use.filters.iter().any(|it| says(&it.sql)) {
            return false;
        }
    }
    let first = &index.keys[0];
    let begins = table_use.keys().any(|operand| match (operand, &first.on) {
        (usage::Operand::Column(name), crate::KeyOn::Column(key)) => name == key.name(),
        (usage::Operand::Expression(sql, _), crate::KeyOn::Expression(key)) => sql == key,
        _ => false,
    });
    let holds = |name: &String| {
        let keys = index.keys.iter().filter_map(|it| it.as_column());
        keys.chain(&index.include).any(|it| it.name() == name)
    };
    begins
        || index.predicate.is_some()
        || (table_use.needed.as_ref()).is_some_and(|it| it.iter().all(holds))
}
