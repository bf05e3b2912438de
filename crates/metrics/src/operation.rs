//! One operation's handle, and the timer that records into it.

use std::{
    fmt, mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::histogram::{Histogram, Snapshot};

/// The handle of a measured operation. Clones record together.
///
/// Resolve it [once](crate::Metrics::operation) and keep it.
#[derive(Clone)]
pub struct Operation(Arc<Inner>);

/// How a measured operation ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// It did what it was asked.
    Ok,
    /// It failed, or it panicked.
    Error,
    /// It was dropped before it was done: a time-out, or a client that left.
    Cancelled,
}

/// Measures one run of an operation, from [`Operation::start`] to [`finish`](Timer::finish).
///
/// Dropped before that, it records [`Outcome::Cancelled`], or [`Outcome::Error`] when a panic
/// dropped it.
#[derive(Debug)]
#[must_use = "dropped at once, it records a cancelled operation"]
pub struct Timer<'a> {
    operation: &'a Operation,
    started: Instant,
}

struct Inner {
    name: Box<str>,
    /// By outcome.
    histograms: [Histogram; Outcome::ALL.len()],
}

impl Operation {
    pub(crate) fn new(name: &str) -> Operation {
        Operation(Arc::new(Inner {
            name: name.into(),
            histograms: Default::default(),
        }))
    }

    /// The name that it is reported by.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Records a run that took so long.
    pub fn record(&self, elapsed: Duration, outcome: Outcome) {
        self.0.histograms[outcome as usize].record(elapsed);
    }

    /// Starts to measure a run.
    pub fn start(&self) -> Timer<'_> {
        Timer {
            operation: self,
            started: Instant::now(),
        }
    }

    /// What has been recorded, by outcome.
    pub(crate) fn snapshots(&self) -> [Snapshot; Outcome::ALL.len()] {
        self.0.histograms.each_ref().map(Histogram::snapshot)
    }

    pub(crate) fn is_recorded(&self) -> bool {
        !self.0.histograms.iter().all(Histogram::is_empty)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name()).finish()
    }
}

impl Outcome {
    /// All there are, in the order of their numbers.
    pub const ALL: [Outcome; 3] = [Outcome::Ok, Outcome::Error, Outcome::Cancelled];

    /// The outcome of what returned this.
    pub fn of<T, E>(result: &Result<T, E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Error,
        }
    }

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl Timer<'_> {
    /// Records the run.
    pub fn finish(self, outcome: Outcome) {
        self.operation.record(self.started.elapsed(), outcome);
        // It owns nothing that would leak; dropped, it would record a second time.
        mem::forget(self);
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let outcome = if thread::panicking() {
            Outcome::Error
        } else {
            Outcome::Cancelled
        };
        self.operation.record(self.started.elapsed(), outcome);
    }
}
