//! The pool: admission decides, deadpool keeps the connections, and never has to wait or to open one.

use std::{
    future,
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool::managed::{self, Metrics, QueueMode, RecycleResult, Timeouts};
use futures_util::{FutureExt as _, future::join_all};
use ruleiq_scope::Scope;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{self, Instant},
};

use super::{
    Bulkhead, BulkheadStats, CheckoutError, ConnectError, PostgresConfig, ResizeError, Session,
    admission::{Admission, ClassId, Freed, Limits, Refusal, Renewal, Waiting},
    autosize,
    bulkhead::Names,
    connect::Connector,
    connection::{Condition, Connection},
    counters::{CheckoutFailure, Counters, Discard},
    engine::{Engine, LONGEST},
    holders::{HeldConnection, Holder, Holders},
    keeper,
    opening::answer,
    place::Place,
    ready::Ready,
};
use crate::{BuildError, ResourceStats};

/// How long a server may take to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection that has been idle may take to answer before it counts as lost.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// There is a connection before deadpool is asked.
const NEVER_WAIT: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: None,
    recycle: None,
};
/// More connections than any server takes.
const MOST_CONNECTIONS: usize = 100_000;
/// The class of those who name none.
pub(crate) const DEFAULT_CLASS: ClassId = 0;

pub(crate) type Object = managed::Object<Manager>;
pub(super) type Caller = oneshot::Sender<Answer>;
pub(super) type Answer = Result<Place, Refused>;
type Admissions = Admission<Caller, Arc<ConnectError>>;

#[derive(Debug)]
pub(crate) struct Pool {
    connections: managed::Pool<Manager>,
    /// Not the engine's, which each connection holds.
    ready: Arc<Ready>,
    admission: Mutex<Admissions>,
    engine: Arc<Engine>,
    bulkheads: Names,
    timeout: Duration,
    overflow_linger: Duration,
    idle_check: Duration,
    /// The most connections that deadpool was built for.
    built_for: usize,
}

#[derive(Debug)]
pub(crate) struct Manager(Arc<Ready>);

/// Why a caller that waited has no connection.
#[derive(Debug)]
pub(super) enum Refused {
    Closed,
    Shed,
    Unreachable(Arc<ConnectError>),
}

/// A caller in the queue, who leaves it when this is dropped.
struct Queued<'a> {
    pool: &'a Pool,
    waiting: Waiting,
}

/// What a caller has at once.
enum Entered<'a> {
    Place(Place),
    Queued(Queued<'a>, oneshot::Receiver<Answer>),
}

/// A caller and what it can wait for.
struct Checkout {
    class: ClassId,
    started: Instant,
    until: Instant,
    /// Whether that is the scope's deadline.
    is_deadline: bool,
}

impl Pool {
    pub(crate) fn new(
        config: &PostgresConfig,
        counters: Counters,
        runtime: &Handle,
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
        let connector = Connector::new(config, runtime.clone())?;
        tracing::info!(
            server = connector.server(),
            size,
            max_overflow = config.max_overflow,
            "database pool"
        );
        let engine = Arc::new(Engine::new(config, connector, counters));
        let ready = Arc::new(Ready::default());
        let connections = managed::Pool::builder(Manager(Arc::clone(&ready)))
            .max_size(limit)
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
            bulkheads,
            timeout: config.timeout.min(LONGEST),
            overflow_linger: config.overflow_linger.min(LONGEST),
            idle_check: config.idle_check.min(LONGEST),
            built_for: limit,
        });
        runtime.spawn(keeper::keep(Arc::downgrade(&pool), config));
        Ok(pool)
    }

    pub(crate) async fn checkout(
        self: Arc<Self>,
        class: ClassId,
        call_site: &'static Location<'static>,
    ) -> Result<Session, CheckoutError> {
        let scope = Scope::current();
        let checkout = self.begin(class, scope.as_ref());
        let result = self.connection(&checkout).await;
        let had = match &result {
            Ok((_, _, had)) => *had,
            Err(_) => Instant::now(),
        };
        let waited = had - checkout.started;
        let counters = &self.engine.counters;
        counters.checkout_wait.observe(waited.as_secs_f64());
        if let Some(scope) = &scope
            && !waited.is_zero()
        {
            scope.record_queue(waited);
        }
        match result {
            Ok((connection, place, since)) => {
                *connection.link().holder() = Some(Holder {
                    call_site,
                    scope,
                    since,
                    is_reported: false,
                });
                Ok(Session::new(connection, place, call_site))
            }
            Err(error) => {
                if let Some(why) = failure(&error) {
                    counters.checkout_failed(why);
                }
                Err(error)
            }
        }
    }

    fn begin(&self, class: ClassId, scope: Option<&Scope>) -> Checkout {
        let started = Instant::now();
        let own = started + self.timeout;
        let deadline = scope.and_then(Scope::deadline);
        let is_deadline = deadline.is_some_and(|deadline| deadline < own);
        Checkout {
            class,
            started,
            until: deadline.map_or(own, |deadline| deadline.min(own)),
            is_deadline,
        }
    }

    /// A connection that is fit for use, and when it was had.
    async fn connection(
        self: &Arc<Self>,
        checkout: &Checkout,
    ) -> Result<(Object, Place, Instant), CheckoutError> {
        if checkout.until <= checkout.started {
            return Err(CheckoutError::DeadlinePassed);
        }
        // What is at hand costs no time that is worth a look at the clock.
        let mut now = checkout.started;
        loop {
            let place = match self.enter(checkout)? {
                Entered::Place(place) => place,
                Entered::Queued(queued, answer) => {
                    let place = self.wait(checkout, queued, answer).await?;
                    now = Instant::now();
                    place
                }
            };
            let connection = self.take();
            match connection.condition(now) {
                Condition::Clean | Condition::Expired
                    if connection.idle_for(now) < self.idle_check =>
                {
                    return Ok((connection, place, now));
                }
                Condition::Clean | Condition::Expired => {
                    let until = checkout.until.min(now + CHECK_TIMEOUT);
                    let is_alive = connection.is_alive(until).await;
                    now = Instant::now();
                    if is_alive {
                        return Ok((connection, place, now));
                    }
                    self.retire(connection, place, Discard::Lost);
                }
                Condition::Unsettled => self.retire(connection, place, Discard::Busy),
                Condition::Doomed(why) => self.retire(connection, place, why),
            }
        }
    }

    /// A place, or one in the queue.
    fn enter(self: &Arc<Self>, checkout: &Checkout) -> Result<Entered<'_>, CheckoutError> {
        let mut admission = self.admission();
        let is_there = admission.enter(checkout.class);
        if is_there.map_err(|refusal| self.refused(refusal))? {
            drop(admission);
            let place = Place::checked_out(Arc::clone(self), checkout.class);
            return Ok(Entered::Place(place));
        }
        let (caller, answer) = oneshot::channel();
        let patience = checkout.until.saturating_duration_since(checkout.started);
        let waiting = admission.wait(checkout.class, caller, checkout.started, patience);
        let queued = Queued {
            pool: self,
            waiting,
        };
        let opening = admission.open_more();
        drop(admission);
        self.open(opening, false);
        Ok(Entered::Queued(queued, answer))
    }

    async fn wait(
        &self,
        checkout: &Checkout,
        queued: Queued<'_>,
        mut answer: oneshot::Receiver<Answer>,
    ) -> Result<Place, CheckoutError> {
        let answered = match time::timeout_at(checkout.until, &mut answer).await {
            Ok(answered) => answered.ok(),
            Err(_) => {
                drop(queued);
                // It may have come at the last moment.
                answer.try_recv().ok()
            }
        };
        match answered {
            Some(Ok(place)) => Ok(place),
            Some(Err(Refused::Closed)) => Err(CheckoutError::Closed),
            Some(Err(Refused::Unreachable(error))) => Err(self.cannot_connect(error)),
            Some(Err(Refused::Shed)) => Err(CheckoutError::Shed {
                after: checkout.started.elapsed(),
                waiting: self.admission().waiting(),
            }),
            None if checkout.is_deadline => Err(CheckoutError::DeadlinePassed),
            None => Err(self.timed_out(checkout.started)),
        }
    }

    /// The connection for a place that is counted as checked out.
    fn take(&self) -> Object {
        // Deadpool has one or takes one that is ready, and so never waits.
        let taken = self.connections.timeout_get(&NEVER_WAIT).now_or_never();
        taken
            .and_then(Result::ok)
            .expect("admission counts as checked in what deadpool has or is ready")
    }

    /// Takes one that nobody uses, to be closed.
    fn take_spare(&self) -> Option<Connection> {
        if let Some(connection) = self.ready.take() {
            return Some(connection);
        }
        self.take_idle(1, |_| true).pop()
    }

    /// Takes up to so many out of deadpool that are to go.
    fn take_idle(
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
        let opening = {
            let mut admission = self.admission();
            admission.closed();
            admission.open_more()
        };
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

    /// Closes what has been idle for too long, beyond the size, and replaces what is too old.
    pub(super) fn tend(self: &Arc<Self>, now: Instant) {
        let has_lingered = |it: &Connection| it.idle_for(now) >= self.overflow_linger;
        self.close_idle(Admissions::surplus, has_lingered, Discard::Overflow);
        let expired = |it: &Connection| it.is_expired(now);
        loop {
            let found = self.has_idle(expired);
            if !found {
                break;
            }
            let renewal = self.admission().renew();
            match renewal {
                Renewal::Open => {
                    self.open(1, true);
                    break;
                }
                Renewal::Close if self.close_idle(|_| 1, expired, Discard::Expired) > 0 => {}
                // One is being opened, or somebody uses it by now.
                Renewal::Wait | Renewal::Close => break,
            }
        }
    }

    fn has_idle(&self, is_wanted: impl Fn(&Connection) -> bool) -> bool {
        let mut found = false;
        self.connections.retain(|connection, _| {
            found = found || is_wanted(connection);
            true
        });
        found
    }

    /// Closes up to so many that are checked in. Says how many.
    fn close_idle(
        self: &Arc<Self>,
        at_most: impl Fn(&Admissions) -> usize,
        is_to_go: impl Fn(&Connection) -> bool,
        why: Discard,
    ) -> usize {
        let closing = {
            // What callers have been promised is in deadpool too, until they take it.
            let mut admission = self.admission();
            let at_most = at_most(&admission).min(admission.counts().checked_in);
            let mut taken = self.ready.take_if(at_most, &is_to_go);
            taken.extend(self.take_idle(at_most - taken.len(), &is_to_go));
            let retired = admission.retire(taken.len());
            debug_assert_eq!(retired, taken.len());
            taken
        };
        let closed = closing.len();
        for connection in closing {
            self.end(connection, Place::closing(Arc::clone(self)), why);
        }
        closed
    }

    /// How long a connection is to live, less a random part, so that those that were opened together
    /// are not replaced together.
    pub(super) fn lifetime(&self, is_renewal: bool) -> Duration {
        let recycle = self.engine.recycle;
        let random = self.engine.random.fraction();
        let fills_up = {
            let admission = self.admission();
            admission.counts().connections() <= admission.limits().size
        };
        // After a start or an outage the pool fills up at once.
        let part = if fills_up && !is_renewal { 0.9 } else { 0.1 };
        recycle.mul_f64(1.0 - part * random)
    }

    pub(crate) fn resize(
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
        let (spares, opening) = {
            let mut admission = self.admission();
            (admission.resize(size, max_overflow), admission.open_more())
        };
        self.end_spares(spares, Discard::Overflow);
        self.open(opening, false);
        Ok(())
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
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
        ResourceStats {
            size: limits.size,
            max_overflow: limits.max_overflow,
            checked_out: counts.checked_out,
            checked_in: counts.checked_in,
            overflow: 0,
            waiting: admission.waiting(),
            oldest_wait: oldest.map_or(Duration::ZERO, |since| since.elapsed()),
            connecting: counts.connecting,
            closing: counts.closing,
            utilization: 0.0,
        }
        .derive()
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

    /// Whether the server answers within a limit. Where no connection comes free, an answer to
    /// somebody else counts.
    #[track_caller]
    pub(crate) fn is_healthy(self: &Arc<Self>) -> impl Future<Output = bool> + Send + use<> {
        let call_site = Location::caller();
        let pool = Arc::clone(self);
        async move {
            let engine = Arc::clone(&pool.engine);
            let before = engine.links.answers();
            let answer = time::timeout(HEALTH_TIMEOUT, async {
                match pool.checkout(DEFAULT_CLASS, call_site).await {
                    Ok(session) => session.is_answering().await,
                    Err(CheckoutError::Connect { .. } | CheckoutError::Closed) => false,
                    // There is no connection to ask by: somebody else may have an answer in time.
                    Err(_) => future::pending().await,
                }
            });
            let answer = answer.await;
            answer.unwrap_or_else(|_| engine.links.answers() > before)
        }
    }

    pub(crate) async fn close(self: &Arc<Self>) {
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
    }
}

impl Pool {
    fn refused(&self, refusal: Refusal<Arc<ConnectError>>) -> CheckoutError {
        match refusal {
            Refusal::Closed => CheckoutError::Closed,
            Refusal::TooManyWaiting(waiting) => CheckoutError::TooManyWaiting { waiting },
            Refusal::Unreachable(error) => self.cannot_connect(error),
        }
    }

    fn timed_out(&self, started: Instant) -> CheckoutError {
        let stats = self.stats();
        CheckoutError::TimedOut {
            after: started.elapsed(),
            checked_out: stats.checked_out,
            limit: stats.size + stats.max_overflow,
            waiting: stats.waiting,
            holders: Holders::of(&self.held()),
            connect_error: self.admission().error(),
        }
    }

    fn cannot_connect(&self, source: Arc<ConnectError>) -> CheckoutError {
        CheckoutError::Connect {
            server: self.engine.connector.server(),
            source,
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let caller = self.pool.admission().leave(self.waiting);
        drop(caller);
    }
}

fn failure(error: &CheckoutError) -> Option<CheckoutFailure> {
    Some(match error {
        CheckoutError::Closed => CheckoutFailure::Closed,
        CheckoutError::Connect { .. } => CheckoutFailure::Connect,
        CheckoutError::DeadlinePassed => CheckoutFailure::Deadline,
        CheckoutError::Shed { .. } => CheckoutFailure::Shed,
        CheckoutError::TimedOut { .. } => CheckoutFailure::TimedOut,
        CheckoutError::TooManyWaiting { .. } => CheckoutFailure::TooManyWaiting,
        CheckoutError::NotConfigured => return None,
    })
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
