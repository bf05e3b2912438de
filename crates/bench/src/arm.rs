//! Something that can be done many times: one side of a case.

mod concurrent;

use std::{
    collections::BTreeMap,
    future::Future,
    hint::black_box,
    pin::Pin,
    time::{Duration, Instant},
};

pub use self::concurrent::{Piece, concurrent};
use crate::{Histogram, Process};

/// What an [`Arm`]'s functions return.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// Why an operation does not count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It gave an answer, and the answer is wrong. One of these makes the whole case invalid.
    #[error("wrong answer: {0}")]
    Wrong(String),
    /// It gave an error.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// From any error, its sources included.
    pub fn failed(error: impl std::error::Error) -> Fault {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(it) = source {
            text.push_str(": ");
            text.push_str(&it.to_string());
            source = it.source();
        }
        Fault::Failed(text)
    }
}

/// How long a slice is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Budget {
    /// Operations begin until this much time has passed.
    For(Duration),
    /// This many operations, over all tasks together; fewer where they take more than a minute,
    /// so that no slice outlives those who asked for it by hours.
    Operations(u64),
}

/// The longest that a slice of so many operations takes.
const LONGEST: Duration = Duration::from_secs(60);

impl Budget {
    /// Until when operations begin, and how many do at most, whichever comes first.
    pub fn limits(self) -> (Duration, u64) {
        match self {
            Budget::For(limit) => (limit, u64::MAX),
            Budget::Operations(most) => (LONGEST, most),
        }
    }
}

/// What happened in a slice, but for time and CPU, which whoever runs the slice measures.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Operations with the right answer.
    pub operations: u64,
    /// How often each error came.
    pub errors: BTreeMap<String, u64>,
    /// How many answers were wrong.
    pub wrong: u64,
    /// How long each operation took. Absent where a single one is too short to be timed.
    pub latency: Option<Histogram>,
    /// The same by task, to be merged once nothing is measured any more.
    pub pieces: Vec<Piece>,
    /// Further figures of this slice by name, such as `utilization_max`.
    pub figures: BTreeMap<String, f64>,
    /// CPU seconds of a program that did the work in place of this process.
    pub client_cpu_s: Option<f64>,
}

/// One side of a case, ready: connected, filled, warm.
pub trait Arm: Send {
    /// Does the operation once, and compares the answer with the right one in full.
    fn check(&mut self) -> Doing<'_, ()>;

    /// Does the operation until the budget is used up.
    fn run(&mut self, budget: Budget) -> Doing<'_, Tally>;

    /// What a slice needs beforehand and no clock should see. Done before each slice.
    fn before(&mut self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What a slice leaves behind and no clock should see. Done after each slice.
    fn after(&mut self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Processes of its own whose CPU time counts while it runs, by process id: an HTTP server.
    fn pids(&self) -> Vec<(Process, u32)> {
        Vec::new()
    }

    /// What one operation needs that can be counted exactly, by the name of the metric:
    /// `bytes_out`, `statements_per_op`, `commands_per_op`, `plan_cost`.
    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }
}

/// What keeps a batch's clock readings below a thousandth of its time.
const BATCH: Duration = Duration::from_millis(1);

/// An arm that calls `operation` on one thread, over and over; `check` judges an answer.
///
/// For what takes no turn of the runtime: it blocks the thread that runs it. Single operations are
/// not timed, since reading the clock may cost more than they do.
pub fn repeat<T>(
    operation: impl FnMut() -> T + Send + 'static,
    check: impl Fn(&T) -> Result<(), Fault> + Send + Sync + 'static,
) -> Box<dyn Arm>
where
    T: 'static,
{
    Box::new(Repeat { operation, check })
}

struct Repeat<O, C> {
    operation: O,
    check: C,
}

impl<T, O, C> Arm for Repeat<O, C>
where
    O: FnMut() -> T + Send,
    C: Fn(&T) -> Result<(), Fault> + Send + Sync,
{
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { (self.check)(&(self.operation)()) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move {
            Ok(Tally {
                operations: batches(budget.limits(), &mut self.operation),
                ..Tally::default()
            })
        })
    }
}

/// Calls `operation` until a limit is reached. Answers how often.
fn batches<T>((limit, most): (Duration, u64), operation: &mut impl FnMut() -> T) -> u64 {
    let started = Instant::now();
    let (mut done, mut batch) = (0, 1_u64);
    let mut before = Duration::ZERO;
    loop {
        let now_due = batch.min(most - done);
        for _ in 0..now_due {
            black_box(operation());
        }
        done += now_due;
        let now = started.elapsed();
        if now >= limit || done == most {
            return done;
        }
        if now - before < BATCH {
            batch *= 2;
        }
        before = now;
    }
}

/// An arm like [`repeat`], on `n` threads at once; `make` makes the operation of each thread.
pub fn threads<T, O>(
    n: usize,
    make: impl Fn(usize) -> O + Send + 'static,
    check: impl Fn(&T) -> Result<(), Fault> + Send + Sync + 'static,
) -> Box<dyn Arm>
where
    T: 'static,
    O: FnMut() -> T + Send + 'static,
{
    Box::new(Threads {
        operations: (0..n.max(1)).map(make).collect(),
        check,
    })
}

struct Threads<O, C> {
    operations: Vec<O>,
    check: C,
}

impl<T, O, C> Arm for Threads<O, C>
where
    O: FnMut() -> T + Send,
    C: Fn(&T) -> Result<(), Fault> + Send + Sync,
{
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            for operation in &mut self.operations {
                (self.check)(&operation())?;
            }
            Ok(())
        })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        let n = self.operations.len() as u64;
        let share = match budget {
            Budget::For(limit) => Budget::For(limit),
            Budget::Operations(all) => Budget::Operations(all.div_ceil(n)),
        };
        Box::pin(async move {
            let operations = std::thread::scope(|scope| {
                let running: Vec<_> = self
                    .operations
                    .iter_mut()
                    .map(|operation| scope.spawn(move || batches(share.limits(), operation)))
                    .collect();
                running
                    .into_iter()
                    .map(|it| {
                        it.join()
                            .map_err(|_| Fault::Failed("an operation panicked".into()))
                    })
                    .sum::<Result<u64, Fault>>()
            })?;
            Ok(Tally {
                operations,
                ..Tally::default()
            })
        })
    }
}

impl Tally {
    /// Counts an operation that failed. At most 32 different errors are told apart.
    pub fn fail(&mut self, fault: &Fault) {
        match fault {
            Fault::Wrong(_) => self.wrong += 1,
            Fault::Failed(error) => {
                let is_known = self.errors.contains_key(error) || self.errors.len() < 32;
                let name = if is_known { error } else { "further errors" };
                *self.errors.entry(name.to_owned()).or_default() += 1;
            }
        }
    }

    /// How long each operation took, all tasks together.
    pub fn latencies(&self) -> Option<Histogram> {
        let mut merged = self.latency.clone();
        for piece in &self.pieces {
            merged.get_or_insert_default().merge(&piece.histogram());
        }
        merged
    }

    /// Takes in what another task counted in the same slice. Figures that end in `_max` become the
    /// greater of the two, all others the sum.
    pub fn add(&mut self, other: Tally) {
        self.operations += other.operations;
        self.wrong += other.wrong;
        for (error, n) in other.errors {
            *self.errors.entry(error).or_default() += n;
        }
        for (name, figure) in other.figures {
            let is_max = name.ends_with("_max");
            let mine = self.figures.entry(name).or_default();
            *mine = if is_max {
                mine.max(figure)
            } else {
                *mine + figure
            };
        }
        if let Some(other) = other.client_cpu_s {
            *self.client_cpu_s.get_or_insert_default() += other;
        }
        self.pieces.extend(other.pieces);
        match (&mut self.latency, other.latency) {
            (Some(mine), Some(other)) => mine.merge(&other),
            (mine @ None, other) => *mine = other,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a limit, this would never end.
    #[test]
    fn more_operations_than_time_allows_are_cut_short() {
        let limits = (Duration::from_millis(20), u64::MAX);
        let mut called = 0;
        let done = batches(limits, &mut || called += 1);
        assert!(done > 0);
        assert_eq!(done, called);
    }

    #[test]
    fn as_many_operations_as_asked_for_are_done() {
        for n in [0, 1, 2, 1_000, 1_001] {
            let mut called = 0;
            let done = batches(Budget::Operations(n).limits(), &mut || called += 1);
            assert_eq!((done, called), (n, n));
        }
    }
}
