//! The pool: admission, then deadpool, which never has to wait.

use std::{future, panic::Location, sync::Arc, time::Duration};

use deadpool::managed::{
    self, Metrics, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};
use futures_util::future::join_all;
use ruleiq_scope::Scope;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{self, Instant},
};

use super::{
    CheckoutError, ConnectError, PostgresConfig, Session,
    admission::{Admission, Place, Refusal},
    autosize,
    connect::Connector,
    connection::{Condition, Connection},
    counters::{CheckoutFailure, Counters, Discard},
    engine::{Engine, LONGEST},
    ledger::{Ledger, State},
};
use crate::{BuildError, ResourceStats};

/// How long a server may take to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// A place is held before deadpool is asked, so there is always one for it too.
const NEVER_WAIT: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: None,
    recycle: None,
};

pub(crate) type Object = managed::Object<Manager>;

#[derive(Debug)]
pub(crate) struct Pool {
    connections: managed::Pool<Manager>,
    admission: Admission,
    engine: Arc<Engine>,
    timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Manager(Arc<Engine>);

impl Pool {
    pub(crate) fn new(
        config: &PostgresConfig,
        counters: Counters,
        runtime: Handle,
    ) -> Result<Arc<Pool>, BuildError> {
        let size = match config.autosize {
            true => autosize::for_this_machine(config.size),
            false => config.size,
        };
        let limit = size.get().checked_add(config.max_overflow);
        let Some(limit) = limit.filter(|limit| *limit <= Semaphore::MAX_PERMITS) else {
            return Err(BuildError::TooLarge {
                size: size.get(),
                max_overflow: config.max_overflow,
            });
        };
        let connector = Connector::new(config, runtime)?;
        tracing::info!(
            server = connector.server(),
            size,
            max_overflow = config.max_overflow,
            "database pool"
        );
        let ledger = Arc::new(Ledger::new(
            size.get(),
            config.max_overflow,
            config.max_waiting,
        ));
        let engine = Engine::new(config, connector, counters, Arc::clone(&ledger));
        let engine = Arc::new(engine);
        let connections = managed::Pool::builder(Manager(Arc::clone(&engine)))
            .max_size(limit)
            // The last used is used first, so that a pool that is too large lets the rest age.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("without time-outs of its own, deadpool needs no runtime");
        Ok(Arc::new(Pool {
            connections,
            admission: Admission::new(ledger),
            engine,
            timeout: config.timeout.min(LONGEST),
        }))
    }

    pub(crate) async fn checkout(
        self: Arc<Self>,
        call_site: &'static Location<'static>,
    ) -> Result<Session, CheckoutError> {
        let started = Instant::now();
        let scope = Scope::current();
        let deadline = scope.as_ref().and_then(Scope::deadline);
        let result = self.connection(started, deadline).await;
        let waited = started.elapsed();
        if let Some(scope) = scope {
            scope.record_queue(waited);
        }
        self.engine
            .counters
            .checkout_wait
            .observe(waited.as_secs_f64());
        match result {
            Ok((connection, place)) => Ok(Session::new(connection, place, self, call_site)),
            Err(error) => {
                if let Some(why) = failure(&error) {
                    self.engine.counters.checkout_failed(why);
                }
                Err(error)
            }
        }
    }

    async fn connection(
        &self,
        started: Instant,
        deadline: Option<Instant>,
    ) -> Result<(Object, Place), CheckoutError> {
        if deadline.is_some_and(|deadline| deadline <= started) {
            return Err(CheckoutError::DeadlinePassed);
        }
        let own = started + self.timeout;
        let until = deadline.map_or(own, |deadline| deadline.min(own));
        let place = self
            .admission
            .enter(until)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Closed => CheckoutError::Closed,
                Refusal::TooManyWaiting(waiting) => CheckoutError::TooManyWaiting { waiting },
                Refusal::TimedOut if until < own => CheckoutError::DeadlinePassed,
                Refusal::TimedOut => self.timed_out(started),
            })?;
        let connecting = self.connections.timeout_get(&NEVER_WAIT);
        match time::timeout_at(until, connecting).await {
            Ok(Ok(connection)) => Ok((connection, place)),
            Ok(Err(PoolError::Backend(source))) => Err(self.cannot_connect(source)),
            Ok(Err(PoolError::Closed)) => Err(CheckoutError::Closed),
            // Nothing else is left: no time-out of deadpool's is set and no hook.
            Ok(Err(_)) => Err(self.timed_out(started)),
            Err(_) if until < own => Err(CheckoutError::DeadlinePassed),
            Err(_) => Err(self.cannot_connect(ConnectError::TimedOut {
                after: started.elapsed(),
            })),
        }
    }

    fn timed_out(&self, started: Instant) -> CheckoutError {
        let stats = self.stats();
        CheckoutError::TimedOut {
            after: started.elapsed(),
            checked_out: stats.checked_out,
            limit: self.engine.ledger.limit(),
            waiting: stats.waiting,
        }
    }

    fn cannot_connect(&self, source: ConnectError) -> CheckoutError {
        CheckoutError::Connect {
            server: self.engine.connector.server(),
            source,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn stats(&self) -> ResourceStats {
        self.engine.ledger.stats()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.admission.is_closed()
    }

    /// Whether the server answers within a limit. Where no connection comes free, an answer to
    /// somebody else counts.
    #[track_caller]
    pub(crate) fn is_healthy(self: &Arc<Self>) -> impl Future<Output = bool> + Send + use<> {
        let call_site = Location::caller();
        let pool = Arc::clone(self);
        async move {
            let asked_ms = pool.engine.now_ms();
            let engine = Arc::clone(&pool.engine);
            let answer = time::timeout(HEALTH_TIMEOUT, async {
                match pool.checkout(call_site).await {
                    Ok(session) => session.is_answering().await,
                    Err(CheckoutError::Connect { .. } | CheckoutError::Closed) => false,
                    // There is no connection to ask by: somebody else may have an answer in time.
                    Err(_) => future::pending().await,
                }
            });
            let answer = answer.await;
            answer.unwrap_or_else(|_| engine.has_answered_since(asked_ms))
        }
    }

    pub(crate) async fn close(&self) {
        self.admission.close();
        join_all(
            self.take_idle()
                .into_iter()
                .map(|mut connection| async move {
                    connection.entry.set(State::Closing);
                    connection.link().engine.counters.discarded(Discard::Closed);
                    connection.close(false).await;
                }),
        )
        .await;
    }
}

impl Pool {
    fn take_idle(&self) -> Vec<Connection> {
        self.connections.retain(|_, _| false).removed
    }

    /// Closes what nobody uses, without waiting for it.
    pub(crate) fn drop_idle(&self) {
        drop(self.take_idle());
    }
}

fn failure(error: &CheckoutError) -> Option<CheckoutFailure> {
    Some(match error {
        CheckoutError::Closed => CheckoutFailure::Closed,
        CheckoutError::Connect { .. } => CheckoutFailure::Connect,
        CheckoutError::DeadlinePassed => CheckoutFailure::Deadline,
        CheckoutError::TimedOut { .. } => CheckoutFailure::TimedOut,
        CheckoutError::TooManyWaiting { .. } => CheckoutFailure::TooManyWaiting,
        CheckoutError::NotConfigured => return None,
    })
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = ConnectError;

    async fn create(&self) -> Result<Connection, ConnectError> {
        let engine = &self.0;
        let entry = engine.ledger.connect();
        match engine.connector.connect().await {
            Ok(opened) => {
                engine.counters.connects.inc();
                Ok(Connection::new(opened, Arc::clone(engine), entry))
            }
            Err(error) => {
                engine.counters.connects_failed.inc();
                Err(error)
            }
        }
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        _: &Metrics,
    ) -> RecycleResult<ConnectError> {
        match connection.condition() {
            Condition::Clean => {
                connection.entry.set(State::CheckedOut);
                Ok(())
            }
            condition => {
                connection.entry.set(State::Closing);
                if let Condition::Doomed(why) = condition {
                    self.0.counters.discarded(why);
                }
                // The place is the caller's, and the next connection may be opened only when this
                // one is closed.
                connection.close(false).await;
                Err(RecycleError::message("it is not fit for use"))
            }
        }
    }
}
