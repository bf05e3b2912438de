//! Operations that wait for something, several at a time.

use std::{
    future::Future,
    hint::black_box,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Arm, Budget, Doing, Fault, Tally};
use crate::Histogram;

/// The latencies that one task saw. Its memory is used again in the next slice.
#[derive(Clone, Debug, Default)]
pub struct Piece(Arc<Mutex<Histogram>>);

impl Piece {
    pub(super) fn histogram(&self) -> MutexGuard<'_, Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An arm that keeps `tasks` operations going at once, each timed; `check` judges an answer.
///
/// A closed loop: a task begins its next operation when the last one is done.
pub fn concurrent<T, F>(
    tasks: usize,
    operation: impl Fn() -> F + Send + Sync + 'static,
    check: impl Fn(&T) -> Result<(), Fault> + Send + Sync + 'static,
) -> Box<dyn Arm>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    Box::new(Concurrent {
        pieces: (0..tasks.max(1)).map(|_| Piece::default()).collect(),
        is_clean: true,
        operation: Arc::new(operation),
        check,
    })
}

struct Concurrent<O, C> {
    /// One for each task.
    pieces: Vec<Piece>,
    /// Whether they are empty.
    is_clean: bool,
    operation: Arc<O>,
    check: C,
}

impl<T, F, O, C> Arm for Concurrent<O, C>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
    O: Fn() -> F + Send + Sync + 'static,
    C: Fn(&T) -> Result<(), Fault> + Send + Sync,
{
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { (self.check)(&(self.operation)().await?) })
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.clean();
        Box::pin(async { Ok(()) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.clean();
        self.is_clean = false;
        Box::pin(async move {
            let tasks = self.pieces.len() as u64;
            let running: Vec<_> = (0..tasks)
                .zip(&self.pieces)
                .map(|(task, piece)| {
                    let share = match budget {
                        Budget::For(limit) => Budget::For(limit),
                        Budget::Operations(all) => {
                            Budget::Operations(all / tasks + u64::from(task < all % tasks))
                        }
                    };
                    let operation = Arc::clone(&self.operation);
                    let task = one_task(operation, share.limits(), piece.clone());
                    Running(tokio::spawn(task))
                })
                .collect();
            let mut tally = Tally::default();
            for mut task in running {
                let done = (&mut task.0).await;
                tally.add(done.map_err(|_| Fault::Failed("an operation panicked".into()))?);
            }
            Ok(tally)
        })
    }
}

impl<O, C> Concurrent<O, C> {
    /// Empties the pieces of the last slice, unless that was done.
    fn clean(&mut self) {
        if !self.is_clean {
            for piece in &self.pieces {
                piece.histogram().clear();
            }
            self.is_clean = true;
        }
    }
}

/// A task that ends with the arm's run, also when that is given up.
struct Running(tokio::task::JoinHandle<Tally>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn one_task<T, F, O>(operation: Arc<O>, (limit, most): (Duration, u64), piece: Piece) -> Tally
where
    F: Future<Output = Result<T, Fault>>,
    O: Fn() -> F,
{
    let mut tally = Tally::default();
    let started = Instant::now();
    let mut begun = 0;
    loop {
        let at = Instant::now();
        if begun == most || at - started >= limit {
            break;
        }
        begun += 1;
        match operation().await {
            Ok(answer) => {
                let latency = at.elapsed();
                black_box(answer);
                piece.histogram().record(latency);
                tally.operations += 1;
            }
            Err(fault) => tally.fail(&fault),
        }
    }
    tally.pieces.push(piece);
    tally
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    async fn nothing() -> Result<(), Fault> {
        tokio::task::yield_now().await;
        Ok(())
    }

    /// A slice merges nothing, allocates no histogram, and sees nothing of the one before it.
    #[tokio::test]
    async fn slices_share_memory_and_nothing_else() {
        let mut arm = concurrent(3, nothing, |()| Ok(()));
        let mut places = Vec::new();
        for operations in [300, 30] {
            let tally = arm.run(Budget::Operations(operations)).await.unwrap();
            assert!(tally.latency.is_none());
            assert_eq!(tally.pieces.len(), 3);
            assert_eq!(tally.latencies().unwrap().len(), operations);
            let mut slice: Vec<_> = tally.pieces.iter().map(|it| Arc::as_ptr(&it.0)).collect();
            slice.sort_unstable();
            places.push(slice);
        }
        assert_eq!(places[0], places[1]);
    }

    /// Without a limit, this would never end.
    #[tokio::test]
    async fn more_operations_than_time_allows_are_cut_short() {
        let limits = (Duration::from_millis(20), u64::MAX);
        let tally = one_task(Arc::new(nothing), limits, Piece::default()).await;
        assert!(tally.operations > 0);
        assert_eq!(tally.latencies().unwrap().len(), tally.operations);
    }
}
