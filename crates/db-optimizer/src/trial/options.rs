//! How a trial is made, and how far it is.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// How a trial is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrialOptions {
    /// How many times as long a statement may take with the indexes as without; 50 µs more are never slower.
    /// Default: 1.05.
    pub slower: f64,
    /// After how long a run is cancelled. A statement that takes longer without the indexes is not tried,
    /// and one that does so only with them is slower. Default: 60 s.
    pub timeout: Duration,
    /// When to end, with what is found until then. A run that is under way goes on until its own limit.
    /// Default: 30 minutes.
    pub time: Duration,
    /// Ends it when it becomes true. Default: nobody.
    pub stop: Option<Arc<AtomicBool>>,
}

/// How far a trial is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TrialProgress {
    /// What it is at.
    pub step: TrialStep,
    /// How many are done.
    pub done: usize,
    /// Of how many.
    pub of: usize,
}

/// What a trial is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TrialStep {
    /// Running statements without the indexes.
    Before,
    /// Building indexes.
    Building,
    /// Running statements with them.
    After,
    /// Leaving out an index that makes a statement slower.
    Discarding,
}

impl Default for TrialOptions {
    fn default() -> TrialOptions {
        TrialOptions {
            slower: 1.05,
            timeout: Duration::from_secs(60),
            time: Duration::from_secs(30 * 60),
            stop: None,
        }
    }
}
