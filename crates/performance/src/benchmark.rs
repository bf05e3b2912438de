//! What a running service is measured by, at its own words.
//!
//! The statements are the application's: it says what it asks its database, with which values, and
//! what a right answer looks like. Cache, pool and compression are measured by cases of this crate.
//! Names, schema and statistics are those of the command-line benchmark.
//!
//! A run is a guest: it holds at most two connections, writes nothing but cache keys of its own,
//! which it takes away again, compresses on threads that serve nobody, and ends with its caller.

mod cache;
mod case;
mod compression;
mod database;
mod failures;
mod job;
mod parameter;
mod profile;
mod report;
mod ruleiq;
mod run;

use std::sync::Arc;

use ruleiq_bench::CaseName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::run::{Limits, is_busy, run};
pub use self::{
    cache::{CACHE_KEYS, CACHE_VALUE_BYTES},
    case::{DatabaseCase, Key, MAX_KEYS, WrongAnswer},
    compression::{ENCODER_CASES, EncoderCase},
    failures::RedisFailures,
    parameter::Parameter,
    profile::CachedProfile,
    ruleiq::ruleiq_cases,
};

/// The parts of a service that can be measured while it runs.
pub(crate) const COMPONENTS: [&str; 4] = ["database", "cache", "pools", "compression"];

/// Whether and with what the benchmark endpoint measures.
#[derive(Debug)]
pub struct Benchmark {
    database: Vec<DatabaseCase>,
    disabled: Option<String>,
    /// One run at a time.
    turn: Arc<Semaphore>,
}

impl Benchmark {
    /// One that measures the database by these statements, and the engines by cases of their own.
    pub fn new(database: impl Into<Vec<DatabaseCase>>) -> Benchmark {
        Benchmark {
            database: database.into(),
            disabled: None,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// One that refuses, and says how it is turned on.
    pub fn disabled(how_to_turn_on: impl Into<String>) -> Benchmark {
        Benchmark {
            disabled: Some(how_to_turn_on.into()),
            ..Benchmark::new([])
        }
    }

    /// The names of all its cases: those that the command-line benchmark gives them.
    pub fn case_names(&self) -> Vec<CaseName> {
        let database = self.database.iter().map(|it| ("database", it.name));
        let own = cache::NAMES
            .map(|it| ("cache", it))
            .into_iter()
            .chain(database::POOL_NAMES.map(|it| ("pools", it)))
            .chain(ENCODER_CASES.map(|it| ("compression", it.name)));
        let name = |(component, case): (&str, &str)| CaseName {
            component: component.to_owned(),
            case: case.to_owned(),
            variant: Default::default(),
        };
        database.chain(own).map(name).collect()
    }

    /// How it is turned on, if it is not.
    pub(crate) fn how_to_turn_on(&self) -> Option<&str> {
        self.disabled.as_deref()
    }

    pub(crate) fn database(&self) -> &[DatabaseCase] {
        &self.database
    }

    /// The right to run; none while somebody else has it.
    pub(crate) fn take_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turn).try_acquire_owned().ok()
    }
}
