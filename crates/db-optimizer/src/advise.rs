//! From a workload to advice: plan, propose, search, explain.

mod options;
pub(crate) mod planned;
mod relevance;
mod session;
mod set_list;
mod shares;
mod task;
mod upkeep;

use std::collections::BTreeSet;

use ruleiq_query::Queries;
use tokio::time::Instant;

use crate::{
    Advice, AdviseError, Error, Unplanned, Workload,
    candidates::{self, Candidate},
    catalogue::Catalogue,
    index_name::Taken,
    search::{Found, Limits, Phase, Search, Task},
    usage::{self, TableUse},
    whatif::WhatIf,
};

pub use self::options::{AdviseOptions, Budget, SearchProgress, Sizes};
use self::{planned::Planned, session::Settings};

/// All that a search was about, and what it found.
#[derive(Debug)]
pub(crate) struct Searched {
    pub(crate) planned: Vec<Planned>,
    pub(crate) unplanned: Vec<Unplanned>,
    pub(crate) catalogue: Catalogue,
    pub(crate) task: Task,
    pub(crate) found: Found,
    pub(crate) explains: u64,
}

/// Searches for the best indexes, in a session with settings of its own.
pub(crate) async fn advise<Q: Queries>(
    queries: &Q,
    workload: &Workload,
    options: &AdviseOptions,
    on_progress: impl FnMut(SearchProgress) + Send,
) -> Result<Advice, AdviseError> {
    let started = Instant::now();
    if workload.statements().is_empty() {
        return Err(AdviseError::NoStatements);
    }
    let settings = Settings::set(queries).await?;
    let searched = searched(queries, workload, options, started, on_progress).await;
    settings.restore(queries).await?;
    let searched = searched?;
    let chosen = searched.found.chosen.iter();
    let schemas: BTreeSet<&str> = chosen
        .map(|it| searched.task.definition(*it).table.schema.name())
        .collect();
    let schemas: Vec<&str> = schemas.into_iter().collect();
    let taken = Taken::read(queries, &schemas).await?;
    Ok(Advice::new(searched, taken, started.elapsed()))
}

async fn searched<Q: Queries>(
    queries: &Q,
    workload: &Workload,
    options: &AdviseOptions,
    started: Instant,
    on_progress: impl FnMut(SearchProgress) + Send,
) -> Result<Searched, AdviseError> {
    // First of all: what a dropped call has left would be in the plans of things as they are.
    let Some(mut whatif) = WhatIf::begin(queries).await? else {
        return Err(AdviseError::NoHypoPg);
    };
    let (planned, unplanned) = planned::plan(queries, workload).await?;
    let names: BTreeSet<_> = (planned.iter())
        .flat_map(|it| usage::tables_of(&it.plan))
        .collect();
    let catalogue = Catalogue::read(queries, names).await?;
    let found = search(
        &mut whatif,
        &planned,
        &catalogue,
        options,
        started,
        on_progress,
    )
    .await;
    let explains = whatif.explains;
    whatif.end().await?;
    let (task, found) = found?;
    Ok(Searched {
        planned,
        unplanned,
        catalogue,
        task,
        found,
        explains,
    })
}

async fn search<Q: Queries>(
    whatif: &mut WhatIf<'_, Q>,
    planned: &[Planned],
    catalogue: &Catalogue,
    options: &AdviseOptions,
    started: Instant,
    mut on_progress: impl FnMut(SearchProgress) + Send,
) -> Result<(Task, Found), AdviseError> {
    let uses: Vec<Vec<TableUse>> = (planned.iter())
        .map(|it| usage::of_plan(&it.plan, catalogue))
        .collect();
    let proposals = proposed(&uses, catalogue);
    let task = task::task(whatif, planned, &uses, &proposals, catalogue, options).await?;
    let before: f64 = planned.iter().map(|it| it.calls * it.cost).sum();
    let mut on_better = |found: &Found| {
        let after = found.costs.iter().zip(planned);
        on_progress(SearchProgress {
            cost_ratio: after.map(|(cost, it)| cost * it.calls).sum::<f64>() / before,
            indexes: found.chosen.len(),
            elapsed: started.elapsed(),
        });
    };
    let search = Search {
        whatif,
        task: &task,
        limits: &Limits {
            time: options.time,
            explains: options.explains,
            stop: options.stop.clone(),
        },
        started,
        phase: Phase::Layers,
        layers_until: 0,
        on_better: &mut on_better,
    };
    let found = search.run().await?;
    Ok((task, found))
}

/// The candidates of each statement.
fn proposed(uses: &[Vec<TableUse>], catalogue: &Catalogue) -> Vec<Vec<Candidate>> {
    let of_statement = |uses: &Vec<TableUse>| {
        let proposals = uses
            .iter()
            .flat_map(|it| candidates::propose(it, catalogue.table(it.table)));
        proposals.collect()
    };
    uses.iter().map(of_statement).collect()
}

/// The bytes that all new indexes may take.
async fn budget(queries: &impl Queries, budget: Budget) -> Result<f64, Error> {
    const DATA: &str = "
        SELECT coalesce(sum(pg_table_size(c.oid)), 0)::float8
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND n.nspname !~ '^pg_(toast|temp)'
          -- Asking for the size of a table waits for whoever alters it.
          AND NOT EXISTS (
              SELECT FROM pg_locks l
              WHERE l.relation = c.oid AND l.granted AND l.mode = 'AccessExclusiveLock'
          )";
    match budget {
        Budget::Share(share) => {
            let row = queries.query_one(DATA, &[]).await;
            let row = row.map_err(Error::reading("the size of the tables"))?;
            Ok(row.get::<_, f64>(0) * share)
        }
        #[expect(clippy::cast_precision_loss, reason = "a budget needs no 53 bits")]
        Budget::Bytes(bytes) => Ok(bytes as f64),
    }
}
