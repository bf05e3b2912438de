//! The shared connections of a pool, and which way a read takes.

use std::{
    cell::RefCell,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use ruleiq_query::Error;
use tokio::time::Instant;

use super::{
    super::{CheckoutError, ConnectError, PostgresConfig, connect::Connector, engine::LONGEST},
    floor::Floor,
    lane::{Found, Lane},
    pace::{Judgement, Pace, Paces},
    pipeline::{Known, Pipeline},
    tally::Tally,
};
use crate::ReaderStats;

/// What the server may take beyond the limit of a statement, before it counts as stalled.
const GRACE: Duration = Duration::from_secs(1);

thread_local! {
    /// The lanes of this thread, one for each pool that has given it one.
    static MINE: RefCell<Vec<Mine>> = const { RefCell::new(Vec::new()) };
}

/// Lanes, by thread.
pub(crate) struct Multiplexer {
    connector: Connector,
    /// Whether there are shared connections at all.
    is_on: bool,
    connections: usize,
    threads: usize,
    pub(super) max_in_flight: usize,
    slow_after: Duration,
    statement_timeout: Duration,
    statements: NonZeroUsize,
    recycle: Duration,
    paces: Paces,
    floor: Floor,
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Of the threads that have no lane of their own. Its connections live on the pool's runtime.
    common: Arc<Lane>,
    /// What the lanes of threads that have ended have counted.
    before: Tally,
    /// What was replaced or let go of, and may still have something under way.
    retired: Mutex<Vec<Weak<Pipeline>>>,
    is_closed: AtomicBool,
}

/// Where a read goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// To a shared connection.
    Shared,
    /// To a shared connection, and it failed there or had no answer in time.
    Failed,
    /// To a connection of its own: it was not run as it was sent first.
    Again,
    /// All shared connections have as much to do as they may.
    Full,
    /// How long it takes is not known yet.
    Unproven,
    /// It takes long.
    Slow,
    /// No shared connection is open.
    Unconnected,
}

pub(super) enum Route {
    Shared(Arc<Pipeline>, Known),
    /// It is known to be quick, and this connection has not run it yet.
    Unprepared(Arc<Pipeline>, Arc<Pace>),
    Checkout(Way, Arc<Pace>),
}

/// This thread's lane of one pool. Given up when the thread ends.
struct Mine {
    multiplexer: Weak<Multiplexer>,
    lane: Arc<Lane>,
}

impl Multiplexer {
    pub(crate) fn new(config: &PostgresConfig, connector: &Connector) -> Arc<Multiplexer> {
        let reader = &config.reader;
        let mut statement_timeout = reader.statement_timeout.min(LONGEST);
        if let Some(limit) = config.statement_limit() {
            statement_timeout = statement_timeout.min(limit);
        }
        let processors = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let connections = reader.connections;
        // Behind a pooler no connection is one session.
        let is_on = connections > 0 && !config.transaction_pooling;
        Arc::new(Multiplexer {
            connector: connector.for_reading(statement_timeout),
            is_on,
            connections,
            threads: reader.threads.unwrap_or_else(processors).get(),
            max_in_flight: reader.max_in_flight.get(),
            slow_after: reader.slow_after,
            statement_timeout,
            statements: config.prepared_statements,
            recycle: config.recycle.min(LONGEST),
            paces: Paces::new(),
            floor: Floor::new(),
            lanes: Mutex::default(),
            common: Lane::new(connections, Some(connector.runtime().clone())),
            before: Tally::default(),
            retired: Mutex::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Which way a statement goes.
    pub(super) fn route(self: &Arc<Self>, sql: &str) -> Result<(Arc<Lane>, Route), Error> {
        if self.is_closed.load(Relaxed) {
            return Err(Error::NoConnection(Box::new(CheckoutError::Closed)));
        }
        let lane = self.lane();
        let found = match self.is_on {
            true => lane.find(self, Instant::now()),
            false => Found::None,
        };
        let route = match found {
            Found::Pipeline(pipeline) => match pipeline.known(sql) {
                Some(known) if known.pace.judgement() == Judgement::Quick => {
                    Route::Shared(pipeline, known)
                }
                Some(known) => Route::Checkout(Way::Slow, known.pace),
                None => {
                    let pace = self.pace(sql)?;
                    match pace.judgement() {
                        Judgement::Quick => Route::Unprepared(pipeline, pace),
                        Judgement::Slow => Route::Checkout(Way::Slow, pace),
                        Judgement::Unproven => Route::Checkout(Way::Unproven, pace),
                    }
                }
            },
            Found::Full => Route::Checkout(Way::Full, self.pace(sql)?),
            Found::None => Route::Checkout(Way::Unconnected, self.pace(sql)?),
        };
        Ok((lane, route))
    }

    fn pace(&self, sql: &str) -> Result<Arc<Pace>, Error> {
        self.paces
            .of(sql)
            .map_err(|reason| Error::NotARead { reason })
    }

    /// The lane of this thread, or the common one.
    fn lane(self: &Arc<Self>) -> Arc<Lane> {
        // While the thread ends, it has none any more.
        let mine = MINE.try_with(|mine| {
            let mut mine = mine.borrow_mut();
            let known = mine.iter().find(|it| it.is_of(self));
            if let Some(known) = known {
                return Arc::clone(&known.lane);
            }
            mine.retain(|it| it.multiplexer.strong_count() > 0);
            let lane = self.enter();
            mine.push(Mine {
                multiplexer: Arc::downgrade(self),
                lane: Arc::clone(&lane),
            });
            lane
        });
        mine.unwrap_or_else(|_| Arc::clone(&self.common))
    }

    /// A lane for a thread that has none.
    fn enter(&self) -> Arc<Lane> {
        let mut lanes = self.lanes();
        if lanes.len() >= self.threads || self.is_closed.load(Relaxed) {
            return Arc::clone(&self.common);
        }
        let lane = Lane::new(self.connections, None);
        lanes.push(Arc::clone(&lane));
        lane
    }

    /// A thread has ended.
    fn leave(&self, lane: &Arc<Lane>) {
        let mut lanes = self.lanes();
        let before = lanes.len();
        lanes.retain(|it| !Arc::ptr_eq(it, lane));
        if lanes.len() < before {
            lane.tally.add_to(&self.before);
            lane.close(self);
        }
    }

    pub(super) async fn connect(&self) -> Result<Pipeline, ConnectError> {
        let opened = self.connector.connect().await?;
        let lives = self.recycle.mul_f64(1.0 - 0.1 * fastrand::f64());
        Ok(Pipeline::new(opened, self.statements, lives))
    }

    /// Whether a connection leads to a server whose place another one has taken.
    pub(super) fn is_superseded(&self, pipeline: &Pipeline) -> bool {
        let origin = pipeline.origin();
        origin.is_some_and(|origin| !self.connector.is_current(origin))
    }

    /// Notes a run of a statement: what it took beyond the way to the server and back.
    pub(super) fn ran(&self, pace: &Pace, took: Duration, bytes: usize) {
        pace.ran(self.floor.above(took), bytes, self.slow_after);
    }

    /// Whether a statement that began then has had all the time that the server gives it.
    pub(super) fn has_had_its_time(&self, began: Instant) -> bool {
        began.elapsed() >= self.statement_timeout.mul_f64(0.9)
    }

    /// Ends what is stalled.
    pub(crate) fn tend(&self, now: Instant) {
        let limit = self.statement_timeout.saturating_add(GRACE);
        for lane in self.all() {
            lane.end_stalled(now, limit);
        }
        let retired: Vec<_> = {
            let mut retired = self.retired();
            retired.retain(|it| it.strong_count() > 0);
            retired.iter().filter_map(Weak::upgrade).collect()
        };
        for pipeline in retired {
            pipeline.end_if_stalled(now, limit);
        }
        self.floor.turn(now);
    }

    /// Looks after connections that get nothing new any more, until nobody waits on them.
    pub(super) fn retire(&self, pipelines: &[Arc<Pipeline>]) {
        if !pipelines.is_empty() {
            self.retired().extend(pipelines.iter().map(Arc::downgrade));
        }
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Weak<Pipeline>>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Relaxed);
        for lane in self.all() {
            lane.close(self);
        }
    }

    /// The most connections that there may be.
    pub(crate) fn most_connections(&self) -> usize {
        match self.is_on {
            true => self.connections * (self.threads + 1),
            false => 0,
        }
    }

    pub(crate) fn stats(&self) -> ReaderStats {
        let sum = Tally::default();
        self.before.add_to(&sum);
        let lanes = self.all();
        let (mut connections, mut in_flight) = (0, 0);
        for lane in &lanes {
            lane.tally.add_to(&sum);
            let pipelines = lane.pipelines();
            connections += pipelines.len();
            in_flight += pipelines.iter().map(|it| it.in_flight()).sum::<usize>();
        }
        ReaderStats {
            connections,
            max_connections: self.most_connections(),
            in_flight,
            shared: sum.of(Way::Shared),
            again: sum.of(Way::Again),
            full: sum.of(Way::Full),
            unproven: sum.of(Way::Unproven),
            slow: sum.of(Way::Slow),
            unconnected: sum.of(Way::Unconnected),
            failed: sum.of(Way::Failed),
            stalled: sum.stalled.load(Relaxed),
            slow_statements: self.paces.slow(),
            served: sum.count_served(),
            blocked: sum.blocked(),
        }
    }

    fn all(&self) -> Vec<Arc<Lane>> {
        let lanes = self.lanes();
        lanes.iter().chain([&self.common]).cloned().collect()
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Multiplexer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplexer")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Drop for Multiplexer {
    /// Threads hold their lanes for as long as they run.
    fn drop(&mut self) {
        self.close();
    }
}

impl Way {
    /// In the order in which they are declared.
    pub(crate) const ALL: [Way; 7] = [
        Way::Shared,
        Way::Failed,
        Way::Again,
        Way::Full,
        Way::Unproven,
        Way::Slow,
        Way::Unconnected,
    ];
}

impl Mine {
    fn is_of(&self, multiplexer: &Arc<Multiplexer>) -> bool {
        std::ptr::eq(self.multiplexer.as_ptr(), Arc::as_ptr(multiplexer))
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(multiplexer) = self.multiplexer.upgrade() {
            multiplexer.leave(&self.lane);
        }
    }
}
