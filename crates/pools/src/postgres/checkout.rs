//! A checkout: a connection that is there, or a place in the queue for one that will be.

use std::{panic::Location, sync::Arc, time::Duration};

use deadpool::managed::Timeouts;
use futures_util::FutureExt as _;
use ruleiq_scope::{CausalToken, Scope};
use tokio::{
    sync::oneshot,
    time::{self, Instant},
};

use super::{
    CheckoutError, ConnectError, Session,
    admission::{ClassId, Refusal, Waiting},
    connection::Condition,
    counters::{CheckoutFailure, Discard},
    holders::{Holder, Holders},
    place::Place,
    pool::{Object, Pool},
    usage::Usage,
};

/// How long a connection that has been idle may take to answer before it counts as lost.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// There is a connection before deadpool is asked.
const NEVER_WAIT: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: None,
    recycle: None,
};

/// How a caller that waits is reached.
pub(super) type Caller = oneshot::Sender<Answer>;
pub(super) type Answer = Result<Place, Refused>;

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
    /// `None` once it has had its answer, and so is in the queue no more.
    waiting: Option<Waiting>,
}

/// What a caller has at once.
enum Entered<'a> {
    Place(Place),
    Queued(Queued<'a>, oneshot::Receiver<Answer>),
}

/// A checkout that has not ended. Dropped, its caller has gone without a connection.
struct Abandoned<'a>(Option<&'a Usage>);

/// A caller and what it can wait for.
struct Checkout {
    class: ClassId,
    started: Instant,
    until: Instant,
    /// Whether that is the scope's deadline.
    is_deadline: bool,
}

impl Pool {
    /// A session that sees what the scope has written.
    pub(crate) async fn checkout(
        self: Arc<Self>,
        class: ClassId,
        call_site: &'static Location<'static>,
    ) -> Result<Session, CheckoutError> {
        let after = match &self.cluster() {
            Some(_) => Scope::current().and_then(|scope| scope.causal_token()),
            None => None,
        };
        self.checkout_after(after, class, call_site).await
    }

    /// A session that sees what was written up to a position. Where a promotion has lost that, nobody goes on
    /// as if nothing had happened.
    pub(crate) async fn checkout_after(
        self: Arc<Self>,
        after: Option<CausalToken>,
        class: ClassId,
        call_site: &'static Location<'static>,
    ) -> Result<Session, CheckoutError> {
        let after = after.zip(self.cluster().cloned());
        if let Some((token, cluster)) = &after {
            cluster.accept(*token).await?;
        }
        let session = self.checkout_any(class, call_site).await?;
        // It is of the server that is the primary by now.
        if let Some((token, cluster)) = &after {
            cluster.holds(*token)?;
        }
        Ok(session)
    }

    async fn checkout_any(
        self: Arc<Self>,
        class: ClassId,
        call_site: &'static Location<'static>,
    ) -> Result<Session, CheckoutError> {
        let scope = Scope::current();
        let checkout = self.begin(class, scope.as_ref());
        let mut abandoned = Abandoned(Some(self.usage()));
        let result = self.connection(&checkout).await;
        abandoned.0 = None;
        let had = match &result {
            Ok((_, _, had)) => *had,
            Err(_) => Instant::now(),
        };
        let waited = had - checkout.started;
        let counters = &self.engine().counters;
        counters.checkout_wait.observe(waited.as_secs_f64());
        if let Some(scope) = &scope
            && !waited.is_zero()
        {
            scope.record_queue(waited);
        }
        match result {
            Ok((connection, place, since)) => {
                self.usage().waited(waited);
                *connection.link().holder() = Some(Holder {
                    call_site,
                    scope,
                    since,
                    is_reported: false,
                    reported_transaction: None,
                });
                Ok(Session::new(connection, place, call_site))
            }
            Err(error) => {
                if is_for_want_of_connections(&error) {
                    self.usage().refused();
                }
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
        if checkout.is_deadline && checkout.until <= checkout.started {
            return Err(CheckoutError::DeadlinePassed { standing: None });
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
                    if now >= checkout.until {
                        // Too late for this caller says nothing of the connection.
                        connection.link().note_driven();
                        self.settle(connection, place);
                        return Err(self.too_late(checkout));
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
            waiting: Some(waiting),
        };
        let opening = admission.open_more();
        drop(admission);
        self.open(opening, false);
        Ok(Entered::Queued(queued, answer))
    }

    async fn wait(
        &self,
        checkout: &Checkout,
        mut queued: Queued<'_>,
        mut answer: oneshot::Receiver<Answer>,
    ) -> Result<Place, CheckoutError> {
        let answered = match time::timeout_at(checkout.until, &mut answer).await {
            Ok(answered) => {
                queued.waiting = None;
                answered.ok()
            }
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
            None => Err(self.too_late(checkout)),
        }
    }

    fn too_late(&self, checkout: &Checkout) -> CheckoutError {
        let standing = self.timed_out(checkout.started);
        match checkout.is_deadline {
            true => CheckoutError::DeadlinePassed {
                standing: Some(Box::new(standing)),
            },
            false => standing,
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
            limit: stats.limit(),
            connecting: stats.connecting,
            waiting: stats.waiting,
            holders: Holders::of(&self.held()),
            connect_error: self.admission().error(),
        }
    }

    fn cannot_connect(&self, source: Arc<ConnectError>) -> CheckoutError {
        CheckoutError::Connect {
            server: self.engine().connector.server(),
            source,
        }
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(usage) = self.0 {
            usage.refused();
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting {
            let caller = self.pool.admission().leave(waiting);
            drop(caller);
        }
    }
}

/// Whether more connections, or quicker ones, would have helped.
fn is_for_want_of_connections(error: &CheckoutError) -> bool {
    matches!(
        error,
        CheckoutError::Shed { .. }
            | CheckoutError::TimedOut { .. }
            | CheckoutError::TooManyWaiting { .. }
            | CheckoutError::DeadlinePassed { standing: Some(_) }
    )
}

fn failure(error: &CheckoutError) -> Option<CheckoutFailure> {
    Some(match error {
        CheckoutError::Closed => CheckoutFailure::Closed,
        CheckoutError::Connect { .. } => CheckoutFailure::Connect,
        CheckoutError::DeadlinePassed { .. } => CheckoutFailure::Deadline,
        CheckoutError::Shed { .. } => CheckoutFailure::Shed,
        CheckoutError::TimedOut { .. } => CheckoutFailure::TimedOut,
        CheckoutError::TooManyWaiting { .. } => CheckoutFailure::TooManyWaiting,
        CheckoutError::NotConfigured | CheckoutError::TokenLost { .. } => return None,
    })
}
