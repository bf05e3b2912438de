//! The coordinator: cases in shuffled order, blocks in mirrored order, one slice at a time.

mod case_run;
mod counts;
mod one_case;
mod plan;
mod progress;
mod second_look;
mod select;
pub(crate) mod stop;
mod store;

pub use one_case::{LookAt, Looked, look};
pub use plan::{Against, Profile, RunPlan, estimate, second_looks};
pub use progress::{Progress, in_words};
pub use second_look::RESTARTS;
pub use select::{Pattern, SelectError, select};
pub use stop::Stop;
pub use store::{Store, StoreError, StoredRun};

use crate::{
    Measured, Orders,
    worker::{CaseInfo, WorkerError, WorkerProcess, WorkerProgram},
};

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The cases, in the order of their names.
    pub measured: Vec<Measured>,
    /// Whether it was ended before its end.
    pub is_partial: bool,
    /// Why it could not go on, if it could not: then it is partial too.
    pub fault: Option<RunError>,
}

/// Why a run cannot go on. What a case fails with is told in its [`Measured`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No worker can be started.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// What was measured cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The workers of a run, started when they are needed.
#[derive(Debug)]
pub struct Workers<'a> {
    now: Slot<'a>,
    then: Option<Slot<'a>>,
}

#[derive(Debug)]
struct Slot<'a> {
    program: &'a WorkerProgram,
    process: Option<WorkerProcess>,
}

impl<'a> Workers<'a> {
    /// Workers of a program, and of an earlier revision's.
    pub fn new(now: &'a WorkerProgram, then: Option<&'a WorkerProgram>) -> Workers<'a> {
        let slot = |program| Slot {
            program,
            process: None,
        };
        Workers {
            now: slot(now),
            then: then.map(slot),
        }
    }

    /// Ends them; the next use starts fresh ones.
    pub async fn end(&mut self) {
        for slot in std::iter::once(&mut self.now).chain(&mut self.then) {
            if let Some(process) = slot.process.take() {
                process.end().await;
            }
        }
    }
}

impl Slot<'_> {
    /// The worker, started if it is not there.
    async fn worker(&mut self, orders: &mut Orders) -> Result<&mut WorkerProcess, WorkerError> {
        let process = match self.process.take() {
            Some(process) => process,
            None => {
                let padding = usize::try_from(orders.seed() % 4096).unwrap_or_default();
                WorkerProcess::start(self.program, padding).await?
            }
        };
        Ok(self.process.insert(process))
    }

    /// Forgets a worker that is gone.
    fn note(&mut self, error: &WorkerError) {
        if !error.is_alive() {
            self.process = None;
        }
    }
}

/// Measures the cases, in an order drawn from the plan's seed. Without a worker, or where what was
/// measured cannot be stored, it ends early, with what it has.
pub async fn run(
    plan: &RunPlan,
    mut cases: Vec<CaseInfo>,
    store: Option<&mut Store>,
    progress: &Progress,
    stop: &Stop,
) -> Outcome {
    let mut orders = Orders::new(plan.seed);
    orders.shuffle(&mut cases);
    case_run::all(plan, &cases, orders, store, progress, stop).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
