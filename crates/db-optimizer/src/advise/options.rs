//! What to search for, and how long.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

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
    /// By what the budget is counted. Default: [`Sizes::Own`].
    pub sizes: Sizes,
    /// When to stop searching. Default: 10 s.
    pub time: Duration,
    /// After how many questions to the planner to stop. Default: 3,000.
    pub explains: u64,
    /// What an entry that a write adds to an index costs, in the planner's units: its page is found,
    /// changed and logged. Default: 1. With 0, writes do not count.
    pub entry_cost: f64,
    /// Ends the search when it becomes true: the best set so far is the answer. Default: nobody.
    pub stop: Option<Arc<AtomicBool>>,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SearchProgress {
    /// What is left of the workload's cost: 1 is all of it.
    pub cost_ratio: f64,
    /// How many indexes the best set has.
    pub indexes: usize,
    /// Since when.
    pub elapsed: Duration,
}

impl Default for AdviseOptions {
    fn default() -> AdviseOptions {
        AdviseOptions {
            budget: Budget::Share(0.5),
            sizes: Sizes::Own,
            time: Duration::from_secs(10),
            explains: 3_000,
            entry_cost: 1.0,
            stop: None,
        }
    }
}
