//! What the optimizer's advice is worth, and what it costs to ask for.
//!
//! On databases of their own: RuleIQ's migrations up to the schema, without the guide's indexes,
//! filled with rows that are made by their numbers alone.

mod advice_time;
mod guide_indexes;
mod schema;
mod workload;

use ruleiq_bench::{Case, Process};

use self::{
    advice_time::{advised, asked_shortly},
    guide_indexes::{with_advice, with_guide, without},
    schema::Filled,
};
use crate::{Env, Options};

/// The optimizer and its version, as reports show them.
const OPTIMIZER: (&str, &str) = ("ruleiq-db-optimizer", env!("CARGO_PKG_VERSION"));
const BY_HAND: &str = "1";

/// The cases of this group.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let filled = Filled::new(if options.tiny { 2_000 } else { 20_000 });
    vec![
        Case::builder("optimizer", "guide_indexes", filled)
            .about("Six searches on a database with the indexes that were advised, beside the guide's.")
            .cpu_of([Process::Postgres])
            .quick()
            .subject(OPTIMIZER.0, OPTIMIZER.1, with_advice)
            .control("the guide's indexes", BY_HAND, with_guide)
            .control("no index", BY_HAND, without)
            .build(),
        Case::builder("optimizer", "advice_time", filled)
            .about("All advice about indexes, asked of the catalogue.")
            .cpu_of([Process::Client, Process::Postgres])
            .subject(OPTIMIZER.0, OPTIMIZER.1, advised)
            .control("a short query", BY_HAND, asked_shortly)
            .build(),
    ]
}
