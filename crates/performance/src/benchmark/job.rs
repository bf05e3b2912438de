//! One case on the way through a run.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use ruleiq_bench::{Fault, Histogram, Tally, Target};
use ruleiq_cache::CacheManager;
use serde_json::Value;
use tokio::{
    task::{spawn_blocking, yield_now},
    time::{Instant, timeout_at},
};

use super::RedisFailures;

/// After so many failures in one part the case is given up: what is down fails fast, and often.
const MAX_FAILURES: u64 = 32;
/// Operations after which others get their turn, where an operation itself may not wait.
const YIELD_EVERY: u64 = 16;
/// Operations after which the clock is read, where it is not read for each.
const LOOK_EVERY: u64 = 64;

/// Makes ready what some times need.
pub(super) type Preparing = dyn Fn(Range<u64>) -> Doing<()>;
/// An operation under way.
pub(super) type Doing<T> = Pin<Box<dyn Future<Output = Result<T, Fault>>>>;

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
        operation: Box<dyn Fn(u64) -> Doing<()>>,
    },
    /// By one task, and too short to be timed one by one.
    Short {
        /// Does it so many times, one after the other.
        operations: Box<dyn Fn(u64) -> Doing<()>>,
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

/// What several tasks have in common.
struct Shared {
    next: Cell<u64>,
    end: u64,
    is_cut: Cell<bool>,
    tally: RefCell<Tally>,
    latency: RefCell<Histogram>,
}

impl Job {
    /// Does it these times, and no longer than `until`.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves nothing running, but for the one computation that has begun.
    pub(super) async fn part(&self, times: Range<u64>, until: Instant) -> Result<Part, Fault> {
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
                let mut part = waiting(*tasks, operation, times, until).await;
                if let Some(failures) = failures {
                    failures.tell(&mut part.tally);
                }
                Ok(part)
            }
            Work::Short { operations } => Ok(short(operations, times, until).await),
            Work::Computing { timed, operation } => {
                computing(*timed, Arc::clone(operation), times, until).await
            }
        }
    }
}

async fn waiting(
    tasks: usize,
    operation: &dyn Fn(u64) -> Doing<()>,
    times: Range<u64>,
    until: Instant,
) -> Part {
    let shared = Shared {
        next: Cell::new(times.start),
        end: times.end,
        is_cut: Cell::new(false),
        tally: RefCell::default(),
        latency: RefCell::default(),
    };
    let started = Instant::now();
    join_all((0..tasks).map(|_| shared.one_task(operation, until))).await;
    let wall = started.elapsed();
    let mut tally = shared.tally.into_inner();
    tally.latency = Some(shared.latency.into_inner());
    Part {
        tally,
        wall,
        is_cut: shared.is_cut.get(),
    }
}

impl Shared {
    async fn one_task(&self, operation: &dyn Fn(u64) -> Doing<()>, until: Instant) {
        loop {
            let time = self.next.get();
            if time == self.end {
                return;
            }
            let begun = Instant::now();
            if begun >= until || failures(&self.tally.borrow()) >= MAX_FAILURES {
                return self.is_cut.set(true);
            }
            self.next.set(time + 1);
            match timeout_at(until, operation(time)).await {
                Err(_) => return self.is_cut.set(true),
                Ok(Ok(())) => {
                    self.latency.borrow_mut().record(begun.elapsed());
                    self.tally.borrow_mut().operations += 1;
                }
                Ok(Err(fault)) => self.tally.borrow_mut().fail(&fault),
            }
            if time.is_multiple_of(YIELD_EVERY) {
                yield_now().await;
            }
        }
    }
}

async fn short(operations: &dyn Fn(u64) -> Doing<()>, times: Range<u64>, until: Instant) -> Part {
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
    timed: bool,
    operation: Arc<dyn Fn(u64) -> Result<(), Fault> + Send + Sync>,
    times: Range<u64>,
    until: Instant,
) -> Result<Part, Fault> {
    let is_over = Arc::new(AtomicBool::new(false));
    let _stop = StopOnDrop(Arc::clone(&is_over));
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
