//! The pool: admission decides, deadpool keeps the connections, and never has to wait or to open one.

use std::{
    num::NonZeroUsize,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool::managed::{self, Metrics, QueueMode, RecycleResult};
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    time::{self, Instant},
};

use super::{
    Bulkhead, BulkheadStats, CheckoutError, ConnectError, PostgresConfig, ResizeError,
    admission::{Admission, ClassId, Freed, Limits},
    autosize,
    bulkhead::Names,
    checkout::{Caller, Refused},
    cluster::Cluster,
    connect::Connector,
    connection::Connection,
    counters::{Counters, Discard},
    engine::{Engine, LONGEST},
    holders::HeldConnection,
    keeper,
    opening::answer,
    place::Place,
    reader::Multiplexer,
    ready::Ready,
    tune,
    tuning::{Tuner, Verdict},
    usage::{Totals, Usage},
};
use crate::{BuildError, ConnectionBudget, ResourceStats, StatementCacheStats};

/// How long a health check waits for a connection,
const HEALTH_CHECKOUT: Duration = Duration::from_millis(300);
/// and the server may take to answer on it, or to whoever knocks.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1_500);
/// More connections than any server takes.
const MOST_CONNECTIONS: usize = 100_000;
/// What a pool can be resized to at least, however small it is at first.
const ROOM: usize = 1_000;
/// The class of those who name none.
pub(crate) const DEFAULT_CLASS: ClassId = 0;

pub(crate) type Object = managed::Object<Manager>;
pub(super) type Admissions = Admission<Caller, Arc<ConnectError>>;

#[derive(Debug)]
pub(crate) struct Pool {
    pub(super) connections: managed::Pool<Manager>,
    /// Not the engine's, which each connection holds.
    ready: Arc<Ready>,
    admission: Mutex<Admissions>,
    engine: Arc<Engine>,
    multiplexer: Arc<Multiplexer>,
    /// The servers, where they have roles.
    cluster: Option<Arc<Cluster>>,
    bulkheads: Names,
    usage: Usage,
    tuner: Mutex<Tuner>,
    /// The most connections that tuning may choose by itself.
    pub(super) most_tuned: Option<usize>,
    /// What `size + max_overflow` were at first.
    pub(super) configured: usize,
    pub(super) statement_timeout: Option<Duration>,
    pub(super) timeout: Duration,
    pub(super) overflow_linger: Duration,
    pub(super) idle_check: Duration,
    /// The most connections that deadpool was built for.
    built_for: usize,
    /// Whether it was told that the server takes fewer.
    is_over_budget: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Manager(Arc<Ready>);

impl Pool {
    pub(crate) fn new(
        config: &PostgresConfig,
        counters: Counters,
        runtime: &Handle,
    ) -> Result<Arc<Pool>, BuildError> {
        let connector = Connector::new(config, runtime.clone())?;
        let Some(replicas) = config.replicas.clone() else {
            return Pool::with(config, connector, counters, runtime, None);
        };
        let cluster = Cluster::new(config, replicas, &connector, &counters, runtime)?;
        let connector = connector.of_primary(Arc::clone(&cluster));
        Pool::with(config, connector, counters, runtime, Some(cluster))
    }

    /// A pool whose connections are made so.
    pub(super) fn with(
        config: &PostgresConfig,
        connector: Connector,
        counters: Counters,
        runtime: &Handle,
        cluster: Option<Arc<Cluster>>,
    ) -> Result<Arc<Pool>, BuildError> {
        let size = match config.autosize {
            true => autosize::for_this_machine(config.size),
            false => config.size,
        };
        let limit = size.get().checked_add(config.max_overflow);
        let Some(limit) = limit.filter(|limit| *limit <= MOST_CONNECTIONS) else {
            return Err(BuildError::TooLarge {
                size: size.get(),
                max_overflow: config.max_overflow,
            });
        };
        let bulkheads = Names::of(config)?;
        tracing::info!(
            server = connector.server(),
            size,
            max_overflow = config.max_overflow,
            "database pool"
        );
        let multiplexer = Multiplexer::new(config, &connector);
        let built_for = limit.max(ROOM);
        let engine = Arc::new(Engine::new(config, connector, counters));
        let ready = Arc::new(Ready::default());
        let connections = managed::Pool::builder(Manager(Arc::clone(&ready)))
            .max_size(built_for)
            // The last used is used first, so that a pool that is too large lets the rest age.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("without time-outs of its own, deadpool needs no runtime");
        let limits = Limits {
            size: size.get(),
            max_overflow: config.max_overflow,
            max_waiting: config.max_waiting,
            max_connecting: config.max_connecting.get(),
        };
        // Those who name none have no share of their own.
        let shares = config.bulkheads.iter().map(|bulkhead| bulkhead.share);
        let shares = std::iter::once(0.0).chain(shares);
        let pool = Arc::new(Pool {
            connections,
            ready,
            admission: Mutex::new(Admission::new(limits, shares)),
            engine,
            multiplexer,
            cluster,
            bulkheads,
            usage: Usage::default(),
            tuner: Mutex::new(Tuner::new(config.tuning.window)),
            most_tuned: config.tuning.max_connections.map(NonZeroUsize::get),
            configured: limit,
            statement_timeout: config.statement_limit(),
            timeout: config.timeout.min(LONGEST),
            overflow_linger: config.overflow_linger.min(LONGEST),
            idle_check: config.idle_check.min(LONGEST),
            built_for,
            is_over_budget: AtomicBool::new(false),
        });
        runtime.spawn(keeper::keep(Arc::downgrade(&pool), config));
        if config.tuning.adaptive {
            runtime.spawn(tune::adapt(Arc::downgrade(&pool)));
        }
        Ok(pool)
    }

    /// Takes one that nobody uses, to be closed.
    fn take_spare(&self) -> Option<Connection> {
        if let Some(connection) = self.ready.take() {
            return Some(connection);
        }
        self.take_idle(1, |_| true).pop()
    }

    /// Takes up to so many out of deadpool that are to go.
    pub(super) fn take_idle(
        &self,
        mut at_most: usize,
        is_to_go: impl Fn(&Connection) -> bool,
    ) -> Vec<Connection> {
        let kept = self.connections.retain(|connection, _| {
            let goes = at_most > 0 && is_to_go(connection);
            at_most -= usize::from(goes);
            !goes
        });
        kept.removed
            .into_iter()
            .map(|connection| *connection)
            .collect()
    }

    /// A connection is in the pool again, of a place that was checked out for a class, or closing.
    pub(super) fn came_back(self: &Arc<Self>, class: Option<ClassId>, now: Instant) {
        let lingers = !self.overflow_linger.is_zero();
        let mut shed = Vec::new();
        let freed = {
            let mut admission = self.admission();
            match class {
                Some(class) => admission.check_in(class, now, lingers, &mut shed),
                None => admission.keep(now, lingers, &mut shed),
            }
        };
        self.settle_up(freed, shed);
    }

    /// A connection is gone.
    pub(super) fn closed_one(self: &Arc<Self>) {
        self.admission().closed();
        self.serve();
    }

    /// Gives whoever waits what there is by now, and opens what there may be.
    pub(super) fn serve(self: &Arc<Self>) {
        let mut shed = Vec::new();
        let (served, opening) = {
            let mut admission = self.admission();
            let served = admission.serve(Instant::now(), &mut shed);
            (served, admission.open_more())
        };
        for caller in shed {
            answer(caller, Err(Refused::Shed));
        }
        for (class, caller) in served {
            answer(caller, Ok(Place::checked_out(Arc::clone(self), class)));
        }
        self.open(opening, false);
    }

    /// Does what admission has decided.
    pub(super) fn settle_up(self: &Arc<Self>, freed: Freed<Caller>, shed: Vec<Caller>) {
        for caller in shed {
            answer(caller, Err(Refused::Shed));
        }
        match freed {
            Freed::Kept => {}
            Freed::To(class, caller) => {
                answer(caller, Ok(Place::checked_out(Arc::clone(self), class)));
            }
            Freed::Excess => {
                let why = match self.is_closed() {
                    true => Discard::Closed,
                    false => Discard::Overflow,
                };
                self.end_spares(1, why);
                self.serve();
            }
        }
    }

    /// Closes connections that nobody uses, whose places are counted as closing.
    fn end_spares(self: &Arc<Self>, how_many: usize, why: Discard) {
        for _ in 0..how_many {
            let place = Place::closing(Arc::clone(self));
            if let Some(connection) = self.take_spare() {
                self.end(connection, place, why);
            }
        }
    }

    pub(crate) fn resize(
        self: &Arc<Self>,
        size: usize,
        max_overflow: usize,
    ) -> Result<(), ResizeError> {
        // Whatever is being tried: the last word is this one.
        let mut tuner = self.tuner();
        self.set_limits(size, max_overflow)?;
        let overruled = tuner.overrule(Instant::now());
        if let Some(setting) = overruled.and_then(|it| it.undo) {
            self.set(setting);
        }
        drop(tuner);
        if let Some(Verdict { outcome, .. }) = overruled {
            self.engine.counters.tuned(outcome);
        }
        Ok(())
    }

    pub(super) fn set_limits(
        self: &Arc<Self>,
        size: usize,
        max_overflow: usize,
    ) -> Result<(), ResizeError> {
        let wanted = size.checked_add(max_overflow);
        if size == 0 || wanted.is_none_or(|wanted| wanted > self.built_for) {
            return Err(ResizeError {
                size,
                max_overflow,
                built_for: self.built_for,
            });
        }
        let spares = self.admission().resize(size, max_overflow);
        self.end_spares(spares, Discard::Overflow);
        self.serve();
        Ok(())
    }

    /// Sets how many connections may be checked out now, of those that the limits allow.
    pub(super) fn permit(self: &Arc<Self>, permits: usize) {
        self.admission().permit(permits);
        self.serve();
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Never held across a wait. Nothing that is called while it is held takes it again, or that of a standby's pool.
    pub(super) fn tuner(&self) -> MutexGuard<'_, Tuner> {
        // Nothing panics while it is held but an allocation.
        self.tuner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn built_for(&self) -> usize {
        self.built_for
    }

    /// Connections of this instance's besides the pool's: all that readers may open, where there are any, and one
    /// that asks what the server is.
    pub(super) fn besides(&self) -> usize {
        let is_shared = self.multiplexer.stats().connections > 0;
        let readers = is_shared.then(|| self.multiplexer.most_connections());
        readers.unwrap_or(0) + usize::from(self.cluster.is_some())
    }

    /// How this pool has been used up to now.
    pub(super) fn totals(&self) -> Totals {
        self.usage
            .totals(self.engine.links.held_in_all(Instant::now()))
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// How much there is to do.
    pub(super) fn load(&self) -> usize {
        let admission = self.admission();
        admission.counts().checked_out + admission.waiting()
    }

    pub(crate) fn multiplexer(&self) -> &Arc<Multiplexer> {
        &self.multiplexer
    }

    /// Never held across a wait.
    pub(super) fn admission(&self) -> MutexGuard<'_, Admissions> {
        // Nothing panics while it is held but an allocation.
        self.admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> ResourceStats {
        let admission = self.admission();
        let (counts, limits) = (admission.counts(), admission.limits());
        let oldest = admission.waiting_since();
        let permitted = admission.permitted();
        ResourceStats {
            size: limits.size,
            max_overflow: limits.max_overflow,
            checked_out: counts.checked_out,
            checked_in: counts.checked_in,
            overflow: 0,
            permitted: (permitted < limits.connections()).then_some(permitted),
            waiting: admission.waiting(),
            oldest_wait: oldest.map_or(Duration::ZERO, |since| since.elapsed()),
            connecting: counts.connecting,
            closing: counts.closing,
            utilization: 0.0,
        }
        .derive()
    }

    pub(crate) fn statements(&self) -> StatementCacheStats {
        self.engine.links.statements()
    }

    pub(crate) fn oldest_transaction(&self) -> Option<Duration> {
        self.engine.links.oldest_transaction()
    }

    pub(crate) fn bulkhead(self: &Arc<Self>, name: &str) -> Option<Bulkhead> {
        let class = self.bulkheads.find(name)?;
        Some(Bulkhead::new(Arc::clone(self), class))
    }

    pub(crate) fn bulkheads(&self) -> Vec<BulkheadStats> {
        let admission = self.admission();
        let stats = |(class, name): (ClassId, &str)| {
            let (checked_out, waiting) = admission.of_class(class);
            BulkheadStats {
                name: name.to_owned(),
                checked_out,
                waiting,
            }
        };
        self.bulkheads.iter().map(stats).collect()
    }

    pub(crate) fn held(&self) -> Vec<HeldConnection> {
        self.engine.links.held(Instant::now())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.admission().is_closed()
    }

    /// Whether the server answers within a limit, and how many connections it has. Where no
    /// connection comes free, an answer to somebody else counts, or to whoever knocks.
    #[track_caller]
    pub(crate) fn health(
        self: &Arc<Self>,
    ) -> impl Future<Output = (Option<bool>, Option<ConnectionBudget>)> + Send + use<> {
        let call_site = Location::caller();
        let pool = Arc::clone(self);
        async move {
            let engine = Arc::clone(&pool.engine);
            let before = engine.links.answers();
            let checkout = Arc::clone(&pool).checkout(DEFAULT_CLASS, call_site);
            match time::timeout(HEALTH_CHECKOUT, checkout).await {
                Ok(Ok(session)) => {
                    let answer = time::timeout(HEALTH_TIMEOUT, session.connection_limit());
                    match answer.await {
                        Ok(Ok(allowed)) => (Some(true), allowed.map(|it| pool.budget(it))),
                        _ => (Some(false), None),
                    }
                }
                Ok(Err(CheckoutError::Connect { .. } | CheckoutError::Closed)) => {
                    (Some(false), None)
                }
                // There is no connection to ask by.
                _ if engine.links.answers() > before => (Some(true), None),
                _ => {
                    let answer = time::timeout(HEALTH_TIMEOUT, engine.connector.is_answered());
                    (Some(answer.await == Ok(true)), None)
                }
            }
        }
    }

    /// What the server allows, beside what may be wanted of it. Tells of it, once, where that is more.
    fn budget(&self, allowed: usize) -> ConnectionBudget {
        let limits = self.admission().limits();
        let budget = ConnectionBudget {
            wanted: limits.connections()
                + self.multiplexer.most_connections()
                + self.cluster.as_ref().map_or(0, |it| it.connections_each()),
            allowed,
        };
        if budget.is_exceeded() && !self.is_over_budget.swap(true, Relaxed) {
            tracing::warn!(
                wanted = budget.wanted,
                allowed,
                "the pool may open more connections than the database takes: lower `size` or \
                 `max_overflow`, or raise `max_connections`"
            );
        }
        budget
    }

    pub(crate) async fn close(self: &Arc<Self>) {
        self.multiplexer.close();
        let (waiting, idle) = {
            let mut admission = self.admission();
            let waiting = admission.close();
            let idle = admission.counts().checked_in;
            (waiting, admission.retire(idle))
        };
        for caller in waiting {
            answer(caller, Err(Refused::Closed));
        }
        let closing = (0..idle).filter_map(|_| {
            let place = Place::closing(Arc::clone(self));
            let mut connection = self.take_spare()?;
            self.engine.counters.discarded(Discard::Closed);
            Some(async move {
                connection.close().await;
                drop(connection);
                drop(place);
            })
        });
        join_all(closing.collect::<Vec<_>>()).await;
        if let Some(cluster) = &self.cluster {
            Box::pin(cluster.close()).await;
        }
    }
}

impl managed::Manager for Manager {
    /// On the heap, as sessions are moved a lot.
    type Type = Box<Connection>;
    type Error = NoneReady;

    async fn create(&self) -> Result<Box<Connection>, NoneReady> {
        self.0.take().map(Box::new).ok_or(NoneReady)
    }

    /// Whether a connection is fit is judged where its place is at hand.
    async fn recycle(&self, _: &mut Box<Connection>, _: &Metrics) -> RecycleResult<NoneReady> {
        Ok(())
    }
}

/// Deadpool was asked for a connection that is not there.
#[derive(Debug, thiserror::Error)]
#[error("no connection is ready")]
pub(crate) struct NoneReady;
