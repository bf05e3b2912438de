//! The guide's database suite, over RuleIQ's own statements and data.
//!
//! Keys that exist, drawn with equal chances from a sample of at most 1,000: never one row over and
//! over. All data are in memory after the first slices; a report says how large they are.

mod bulk_insert;
mod reading;

use ruleiq_bench::{Case, Process, Target};
use ruleiq_performance::benchmark::{DatabaseCase, ruleiq_cases};

use self::{
    bulk_insert::{BulkInsert, bulk_insert},
    reading::{Reading, reading},
};
use crate::{
    Env, Options,
    postgres::{Bare, DEADPOOL, OURS, Ours, PoolSettings},
};

/// Connections, and as many operations at once: nobody waits for a connection here.
const CONNECTIONS: usize = 10;

/// The cases of this group.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let reads = ruleiq_cases();
    let (before, after): (Vec<_>, Vec<_>) = reads
        .into_iter()
        .partition(|it| it.name != "indexed_search");
    let read = |case| reading_case(case, options);
    let mut cases: Vec<Case<Env>> = before.into_iter().map(read).collect();
    cases.push(bulk_insert_case(options));
    cases.extend(after.into_iter().map(read));
    cases
}

fn pool(options: &Options) -> PoolSettings {
    let tasks = options.concurrency.unwrap_or(CONNECTIONS);
    PoolSettings::new(tasks.clamp(1, CONNECTIONS), tasks)
}

fn reading_case(case: DatabaseCase, options: &Options) -> Case<Env> {
    let (name, about, target) = (case.name, case.about, case.latency_p95_us);
    let settings = Reading::new(pool(options), case);
    let mut builder = Case::builder("database", name, settings)
        .about(about)
        .cpu_of([Process::Client, Process::Postgres]);
    if let Some((good, critical)) = target {
        let target = Target::value_at_most("latency_p95", good).critical_beyond(critical);
        builder = builder.target(target).quick();
    }
    builder
        .subject(OURS.0, OURS.1, reading::<Ours>)
        .control(DEADPOOL.0, DEADPOOL.1, reading::<Bare>)
        .build()
}

fn bulk_insert_case(options: &Options) -> Case<Env> {
    let rows = if options.tiny { 5 } else { 100 };
    Case::builder(
        "database",
        "bulk_insert",
        BulkInsert::new(pool(options), rows),
    )
    .about("A hundred questions in one statement, as a new assessment stores them.")
    .cpu_of([Process::Client, Process::Postgres])
    .subject(OURS.0, OURS.1, bulk_insert::<Ours>)
    .control(DEADPOOL.0, DEADPOOL.1, bulk_insert::<Bare>)
    .build()
}
