//! One case on the way through a run.

use std::{
    ops::Range,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use ruleiq_bench::{Fault, Histogram, Tally, Target};
use ruleiq_cache::CacheManager;
use ruleiq_scope::Scope;
use serde_json::Value;
use tokio::{
    runtime::Handle,
    task::{JoinSet, spawn_blocking, yield_now},
    time::{Instant, sleep_until, timeout_at},
};

use super::{RedisFailures, cache::Guest};

/// After so many failures in one part the case is given up: what is down fails fast, and often.
const MAX_FAILURES: u64 = 32;
/// Operations after which the clock is read and others get their turn, where no operation waits.
const LOOK_EVERY: u64 = 64;

/// How much later than their time tasks may end.
const GRACE: Duration = Duration::from_millis(250);

/// Makes ready what some times need.
pub(super) type Preparing = dyn Fn(Range<u64>) -> Doing + Send + Sync;
/// Does something once for a number: which time it is, or how often.
pub(super) type Operation = dyn Fn(u64) -> Doing + Send + Sync;
/// An operation under way.
pub(super) type Doing = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// A case and how it is done.
pub(super) struct Job {
    pub(super) component: &'static str,
    pub(super) case: &'static str,
    pub(super) about: &'static str,
    pub(super) settings: Value,
    pub(super) targets: Vec<Target>,
    /// Whose hidden failures are errors.
    pub(super) cache: Option<CacheManager>,
    pub(super) work: Work,
}

/// What is done again and again, told which time it is.
pub(super) enum Work {
    /// By several tasks that wait for servers.
    Waiting {
        /// How many are under way at once.
        tasks: usize,
        /// Makes ready what some times need, outside of what is timed.
        prepare: Option<Box<Preparing>>,
        /// Does it once.
        operation: Arc<Operation>,
    },
    /// By one task, and too short to be timed one by one.
    Short {
        /// Does it so many times, one after the other.
        operations: Arc<Operation>,
    },
    /// By one thread that computes.
    Computing {
        /// Whether one time is long enough for a clock.
        timed: bool,
        /// Does it once.
        operation: Arc<dyn Fn(u64) -> Result<(), Fault> + Send + Sync>,
    },
}

/// What a part of a job's times came to.
pub(super) struct Part {
    pub(super) tally: Tally,
    pub(super) wall: Duration,
    /// Whether it was ended before its end.
    pub(super) is_cut: bool,
}

/// Ends a computation whose caller has left.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Where the tasks of a run are.
pub(super) struct Place {
    /// The runtime that the connections live on. A worker that serves requests is another thread than
    /// theirs: from there, each operation would also measure two threads that wake each other.
    pub(super) runtime: Handle,
    /// Stays until the last task is gone.
    pub(super) guest: Arc<Guest>,
}

/// What several tasks have in common.
struct Shared {
    next: AtomicU64,
    end: u64,
    failures: AtomicU64,
    until: Instant,
}

impl Job {
    /// Does it these times, and no longer than `until`.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves nothing running, but for the one computation that has begun.
    pub(super) async fn part(
        &self,
        place: &Place,
        times: Range<u64>,
        until: Instant,
    ) -> Result<Part, Fault> {
        match &self.work {
            Work::Waiting {
                tasks,
                prepare,
                operation,
            } => {
                if let Some(prepare) = prepare {
                    let ready = timeout_at(until, prepare(times.clone())).await;
                    ready.unwrap_or_else(|_| Err(Fault::Failed("no time was left".into())))?;
                }
                let failures = self.cache.as_ref().map(RedisFailures::since_now);
                let mut part = waiting(place, *tasks, operation, times, until).await?;
                if let Some(failures) = failures {
                    failures.tell(&mut part.tally);
                }
                Ok(part)
            }
            Work::Short { operations } => {
                let mut running = JoinSet::new();
                place.spawn(&mut running, short(Arc::clone(operations), times, until));
                joined(&mut running, until).await
            }
            Work::Computing { timed, operation } => {
                computing(place, *timed, Arc::clone(operation), times, until).await
            }
        }
    }
}

async fn waiting(
    place: &Place,
    tasks: usize,
    operation: &Arc<Operation>,
    times: Range<u64>,
    until: Instant,
) -> Result<Part, Fault> {
    let shared = Arc::new(Shared {
        next: AtomicU64::new(times.start),
        end: times.end,
        failures: AtomicU64::new(0),
        until,
    });
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let task = one_task(Arc::clone(&shared), Arc::clone(operation));
        // As a request has it: with its deadline, and the log of its statements.
        let scope = Scope::current();
        place.spawn(&mut running, async move {
            match scope {
                Some(scope) => scope.run(task).await,
                None => task.await,
            }
        });
    }
    let mut part = joined(&mut running, until).await?;
    while !running.is_empty() {
        let other = joined(&mut running, until).await?;
        part.tally.add(other.tally);
        part.wall = part.wall.max(other.wall);
        part.is_cut |= other.is_cut;
    }
    Ok(part)
}

impl Place {
    /// The guest stays while the task is there, also if nobody waits for it any more.
    fn spawn(
        &self,
        running: &mut JoinSet<Part>,
        task: impl Future<Output = Part> + Send + 'static,
    ) {
        let guest = Arc::clone(&self.guest);
        let staying = async move {
            let part = task.await;
            drop(guest);
            part
        };
        running.spawn_on(staying, &self.runtime);
    }
}

/// What the next task to end has done. Tasks end by themselves when the time is up, unless what they
/// run on stands still.
async fn joined(running: &mut JoinSet<Part>, until: Instant) -> Result<Part, Fault> {
    match timeout_at(until + GRACE, running.join_next()).await {
        Ok(Some(Ok(part))) => Ok(part),
        Ok(Some(Err(error))) if error.is_cancelled() => {
            Err(Fault::Failed("the runtime of the pools has ended".into()))
        }
        Ok(_) => Err(Fault::Failed("an operation panicked".into())),
        Err(_) => Err(Fault::Failed(
            "the runtime of the pools stands still".into(),
        )),
    }
}

/// Takes one time after the other, until others have taken the last.
async fn one_task(shared: Arc<Shared>, operation: Arc<Operation>) -> Part {
    let (mut tally, mut latency) = (Tally::default(), Histogram::new());
    let (mut is_cut, started) = (false, Instant::now());
    // One timer for all operations: to set one for each would be a part of what is measured.
    let mut end = pin!(sleep_until(shared.until));
    loop {
        let begun = Instant::now();
        if begun >= shared.until || shared.failures.load(Relaxed) >= MAX_FAILURES {
            is_cut = shared.next.load(Relaxed) < shared.end;
            break;
        }
        let time = shared.next.fetch_add(1, Relaxed);
        if time >= shared.end {
            break;
        }
        match select(operation(time), end.as_mut()).await {
            Either::Right(_) => {
                is_cut = true;
                break;
            }
            Either::Left((Ok(()), _)) => {
                latency.record(begun.elapsed());
                tally.operations += 1;
            }
            Either::Left((Err(fault), _)) => {
                tally.fail(&fault);
                shared.failures.fetch_add(1, Relaxed);
            }
        }
    }
    tally.latency = Some(latency);
    Part {
        tally,
        wall: started.elapsed(),
        is_cut,
    }
}

async fn short(operations: Arc<Operation>, times: Range<u64>, until: Instant) -> Part {
    let mut tally = Tally::default();
    let started = Instant::now();
    let mut left = times.end - times.start;
    while left > 0 && Instant::now() < until && failures(&tally) < MAX_FAILURES {
        let several = left.min(LOOK_EVERY);
        match timeout_at(until, operations(several)).await {
            Err(_) => break,
            Ok(Ok(())) => tally.operations += several,
            Ok(Err(fault)) => tally.fail(&fault),
        }
        left -= several;
        yield_now().await;
    }
    Part {
        tally,
        wall: started.elapsed(),
        is_cut: left > 0,
    }
}

async fn computing(
    place: &Place,
    timed: bool,
    operation: Arc<dyn Fn(u64) -> Result<(), Fault> + Send + Sync>,
    times: Range<u64>,
    until: Instant,
) -> Result<Part, Fault> {
    let is_over = Arc::new(AtomicBool::new(false));
    let _stop = StopOnDrop(Arc::clone(&is_over));
    let guest = Arc::clone(&place.guest);
    let compute = move || {
        let (mut tally, mut latency, mut is_cut) = (Tally::default(), Histogram::new(), false);
        let started = Instant::now();
        let mut begun = started;
        for time in times {
            // Reading the clock takes about as long as a very short operation.
            if timed || time.is_multiple_of(LOOK_EVERY) {
                begun = Instant::now();
            }
            if is_over.load(Relaxed) || begun >= until || failures(&tally) >= MAX_FAILURES {
                is_cut = true;
                break;
            }
            match operation(time) {
                Ok(()) if timed => {
                    latency.record(begun.elapsed());
                    tally.operations += 1;
                }
                Ok(()) => tally.operations += 1,
                Err(fault) => tally.fail(&fault),
            }
        }
        let wall = started.elapsed();
        tally.latency = timed.then_some(latency);
        drop(guest);
        Part {
            tally,
            wall,
            is_cut,
        }
    };
    let done = spawn_blocking(compute).await;
    done.map_err(|_| Fault::Failed("an operation panicked".into()))
}

fn failures(tally: &Tally) -> u64 {
    tally.wrong + tally.errors.values().sum::<u64>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{
        sync::mpsc::{Sender, channel},
        thread,
    };

    use ruleiq_pools::PoolManager;
    use tokio::{
        runtime::{Builder, Runtime},
        sync::{Semaphore, oneshot},
        time::timeout,
    };

    use super::*;

    const A_WHILE: Duration = Duration::from_secs(10);
    const ELSEWHERE: &str = "elsewhere";

    /// A runtime of one thread, which is not the test's.
    fn elsewhere() -> Runtime {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(ELSEWHERE);
        builder.enable_time().build().unwrap()
    }

    /// The place of a run there, and what its turn is taken from.
    fn place(runtime: &Runtime) -> (Place, Arc<Semaphore>) {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).try_acquire_owned().unwrap();
        let pools = PoolManager::builder().runtime(runtime.handle().clone());
        let pools = pools.build().unwrap();
        let place = Place {
            runtime: pools.runtime().clone(),
            guest: Guest::new(&pools, turn).unwrap(),
        };
        (place, turns)
    }

    /// A task that keeps its thread, and that no abort ends, until the sender is dropped.
    async fn stuck(place: &Place, running: &mut JoinSet<Part>) -> Sender<()> {
        let (end, ended) = channel::<()>();
        let (enter, entered) = oneshot::channel();
        place.spawn(running, async move {
            enter.send(()).unwrap();
            ended.recv().unwrap_err();
            Part {
                tally: Tally::default(),
                wall: Duration::ZERO,
                is_cut: false,
            }
        });
        entered.await.unwrap();
        end
    }

    fn operation() -> Arc<Operation> {
        Arc::new(|_| {
            Box::pin(async {
                let here = thread::current();
                match here.name() {
                    Some(ELSEWHERE) => Ok(()),
                    other => Err(Fault::Wrong(format!("on {other:?}"))),
                }
            })
        })
    }

    #[tokio::test]
    async fn operations_run_where_the_connections_live() {
        let runtime = elsewhere();
        let (place, _turns) = place(&runtime);
        let until = Instant::now() + A_WHILE;
        let part = waiting(&place, 2, &operation(), 0..101, until).await;
        let tally = part.unwrap().tally;
        assert_eq!((tally.operations, tally.wrong), (101, 0));
        assert_eq!(tally.latency.unwrap().len(), 101);
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_turn_is_kept_until_the_last_task_is_gone() {
        let runtime = elsewhere();
        let (place, turns) = place(&runtime);
        let mut running = JoinSet::new();
        let end = stuck(&place, &mut running).await;
        drop((running, place));
        assert!(turns.try_acquire().is_err());
        drop(end);
        let turn = timeout(A_WHILE, turns.acquire()).await;
        drop(turn.unwrap().unwrap());
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn a_runtime_that_stands_still_holds_nobody_up() {
        let runtime = elsewhere();
        let (place, _turns) = place(&runtime);
        let mut running = JoinSet::new();
        let end = stuck(&place, &mut running).await;
        let operation = operation();
        let part = waiting(&place, 2, &operation, 0..101, Instant::now());
        let part = timeout(A_WHILE, part).await.unwrap();
        let fault = part.err().unwrap().to_string();
        assert!(fault.contains("stands still"), "{fault}");
        drop(end);
        runtime.shutdown_background();
    }
}
