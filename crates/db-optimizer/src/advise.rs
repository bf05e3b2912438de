//! From a workload to advice: plan, propose, search, explain.

mod checks;
mod draws;
mod estimated;
mod options;
pub(crate) mod planned;
mod relevance;
pub(crate) mod replaced;
mod session;
mod set_list;
mod shares;
mod task;
mod upkeep;

use std::collections::BTreeSet;

use ruleiq_query::Queries;
use tokio::time::Instant;

use crate::{
    Advice, AdviseError, DropReason, DroppableIndex, Error, HealthLimits, Unplanned, Workload,
    candidates::{self, Candidate, Rule},
    catalogue::Catalogue,
    health,
    index_name::{self, Taken},
    search::{Found, Limits, Phase, Search, Task},
    usage::{self, TableUse},
    whatif::{PlanWith, WhatIf},
};

pub use self::options::{AdviseOptions, Budget, SearchProgress, Sizes};
use self::{planned::Planned, replaced::Unneeded, session::Settings, shares::Shares};

/// After the search, plans are told and the rest is estimated until so many times its time have passed.
const AFTERWARDS: f64 = 1.2;

/// All that a search was about, and what it found.
#[derive(Debug)]
pub(crate) struct Searched {
    pub(crate) planned: Vec<Planned>,
    pub(crate) unplanned: Vec<Unplanned>,
    pub(crate) catalogue: Catalogue,
    pub(crate) task: Task,
    pub(crate) found: Found,
    /// What is chosen among candidates that could not be tried out, on top of that.
    pub(crate) estimated: Found,
    /// The plan of each statement with all that is found, where it is another one.
    pub(crate) plans_after: Vec<Option<PlanWith>>,
    /// The indexes that the workload no longer needs then.
    pub(crate) unneeded: Vec<Unneeded>,
    /// The indexes of the tables that could be dropped, whatever is made.
    pub(crate) droppable: Vec<DroppableIndex>,
    /// Whether HypoPG is there.
    pub(crate) has_what_if: bool,
    pub(crate) explains: u64,
    /// How many statements this role may not read.
    pub(crate) hidden: u64,
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
    let chosen = searched
        .found
        .chosen
        .iter()
        .chain(&searched.estimated.chosen);
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
    let mut whatif = WhatIf::begin(queries).await?;
    let searched = searched_in(
        queries,
        whatif.as_mut(),
        workload,
        options,
        started,
        on_progress,
    )
    .await;
    if let Some(whatif) = whatif {
        whatif.end().await?;
    }
    searched
}

async fn searched_in<Q: Queries>(
    queries: &Q,
    mut whatif: Option<&mut WhatIf<'_, Q>>,
    workload: &Workload,
    options: &AdviseOptions,
    started: Instant,
    on_progress: impl FnMut(SearchProgress) + Send,
) -> Result<Searched, AdviseError> {
    let (mut planned, unplanned, mut own) = planned_with_checks(queries, workload).await?;
    let names: BTreeSet<_> = (planned.iter())
        .flat_map(|it| usage::tables_of(&it.plan))
        .collect();
    let catalogue = Catalogue::read(queries, names).await?;
    if workload.is_recorded {
        let reads_tables = |it: &Planned| {
            usage::tables_of(&it.plan)
                .any(|(schema, name)| catalogue.find(&schema, &name).is_some())
        };
        own = planned
            .iter()
            .take(own)
            .filter(|it| reads_tables(it))
            .count();
        planned.retain(reads_tables);
    }
    planned::sample(queries, &mut planned, &catalogue).await?;
    let uses: Vec<Vec<TableUse>> = (planned.iter())
        .map(|it| usage::of_plan(&it.plan, &catalogue))
        .collect();
    let proposals = proposed(&uses, &catalogue, own);
    let mut shares = Shares::default();
    let read = Read {
        planned: &planned,
        uses: &uses,
        catalogue: &catalogue,
    };
    let tested = whatif.as_deref_mut();
    let task = task::task(queries, tested, &mut shares, &read, &proposals, options).await?;
    let has_what_if = whatif.is_some();
    let until = started + options.time.mul_f64(AFTERWARDS);
    let (mut found, mut plans) = (Found::nothing(&task), Vec::new());
    if let Some(whatif) = whatif.as_deref_mut() {
        found = search(whatif, &planned, &task, options, started, on_progress).await?;
        plans = plans_after(whatif, &task, &found, until).await?;
    }
    let droppable = droppable(queries, &catalogue, &planned, &plans).await?;
    let limits = replaced::Limits { until, options };
    let unneeded = replaced::find(
        whatif.as_deref_mut(),
        &read,
        (&task, &found),
        &plans,
        &droppable,
        limits,
    )
    .await?;
    let explains = whatif.map_or(0, |it| it.explains);
    let estimated =
        estimated::choose(queries, &mut shares, &read, &task, &found, options, until).await?;
    Ok(Searched {
        droppable,
        planned,
        unplanned,
        catalogue,
        task,
        found,
        estimated,
        plans_after: plans,
        unneeded,
        has_what_if,
        explains,
        hidden: workload.hidden(),
    })
}

/// What was read of a workload.
#[derive(Clone, Copy)]
struct Read<'a> {
    planned: &'a [Planned],
    uses: &'a [Vec<TableUse>],
    catalogue: &'a Catalogue,
}

/// The statements, and what foreign keys ask because of them: those from the last number on.
async fn planned_with_checks<Q: Queries>(
    queries: &Q,
    workload: &Workload,
) -> Result<(Vec<Planned>, Vec<Unplanned>, usize), AdviseError> {
    let (mut planned, mut unplanned) = planned::plan(queries, workload).await?;
    if planned.is_empty() {
        return Err(AdviseError::NothingPlanned { unplanned });
    }
    let own = planned.len();
    let checks = checks::of(queries, &planned).await?;
    let (of_checks, not_of_checks) = planned::plan(queries, &checks).await?;
    planned.extend(of_checks);
    unplanned.extend(not_of_checks);
    Ok((planned, unplanned, own))
}

async fn search<Q: Queries>(
    whatif: &mut WhatIf<'_, Q>,
    planned: &[Planned],
    task: &Task,
    options: &AdviseOptions,
    started: Instant,
    mut on_progress: impl FnMut(SearchProgress) + Send,
) -> Result<Found, AdviseError> {
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
        task,
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
    Ok(search.run().await?)
}

/// The plans with all indexes that are found, of the statements that they help, until there is no more time.
async fn plans_after<Q: Queries>(
    whatif: &mut WhatIf<'_, Q>,
    task: &Task,
    found: &Found,
    until: Instant,
) -> Result<Vec<Option<PlanWith>>, Error> {
    let indexes: Vec<_> = (found.chosen.iter())
        .map(|it| (*it, task.definition(*it)))
        .collect();
    let mut plans = Vec::new();
    for (statement, after) in task.statements.iter().zip(&found.costs) {
        let is_asked = *after < statement.cost * 0.999 && Instant::now() < until;
        let plan = match is_asked {
            true => whatif.plan(&statement.explain, &indexes).await?,
            false => None,
        };
        plans.push(plan);
    }
    Ok(plans)
}

/// The indexes of these tables that could be dropped. One that a plan takes is not called unused, and
/// none of a partitioned table: plans name the indexes of its parts.
async fn droppable(
    queries: &impl Queries,
    catalogue: &Catalogue,
    planned: &[Planned],
    plans_after: &[Option<PlanWith>],
) -> Result<Vec<DroppableIndex>, Error> {
    let tables = |is_partitioned: bool| -> BTreeSet<String> {
        let tables = catalogue.tables();
        let tables = tables.filter(|it| it.is_partitioned == is_partitioned);
        tables.map(|it| it.name.to_string()).collect()
    };
    let (whole, partitioned) = (tables(false), tables(true));
    let before = planned.iter().flat_map(|it| &it.indexes);
    let after = plans_after.iter().flatten().flat_map(|it| &it.real);
    let used: BTreeSet<&String> = before.chain(after).collect();
    let mut droppable = health::droppable_indexes(queries, &HealthLimits::default()).await?;
    droppable.retain(|it| match it.reason {
        DropReason::Unused => {
            let is_used = used.iter().any(|name| index_name::is_of(name, &it.index));
            whole.contains(&it.table) && !is_used
        }
        _ => whole.contains(&it.table) || partitioned.contains(&it.table),
    });
    Ok(droppable)
}

/// The candidates of each statement.
///
/// Those from `own` on are what foreign keys ask.
fn proposed(uses: &[Vec<TableUse>], catalogue: &Catalogue, own: usize) -> Vec<Vec<Candidate>> {
    let of_statement = |(at, uses): (usize, &Vec<TableUse>)| {
        let proposals = uses
            .iter()
            .flat_map(|it| candidates::propose(it, catalogue.table(it.table)));
        let named = proposals.map(|it| Candidate {
            rule: if at < own { it.rule } else { Rule::ForeignKey },
            ..it
        });
        named.collect()
    };
    uses.iter().enumerate().map(of_statement).collect()
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
