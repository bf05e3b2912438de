//! Reads over connections that callers share.
//!
//! A checkout costs each read the way to the server and back, on both sides: the connection is nobody
//! else's for that long, and each request is a message of its own for client and server. On a shared
//! connection requests go out as they come, and one system call carries many. What that takes is that
//! nothing is left behind in the session, that nobody's statement keeps the others waiting, and that a lost
//! connection is known for what it has cost. The three are `stateless`, `pace` and `pipeline` here.

mod floor;
mod lane;
mod multiplexer;
mod pace;
mod pipeline;
mod queue;
mod stateless;
mod tally;

use std::{fmt, panic::Location, sync::Arc};

use ruleiq_query::{Error, Read, Sql, Statement};
use ruleiq_scope::Scope;
use tokio::time::{self, Instant};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

pub(crate) use self::multiplexer::Multiplexer;
use self::{
    lane::Lane,
    multiplexer::{Route, Way},
    pace::Pace,
    pipeline::{Done, Known, Pipeline},
};
use super::{
    CheckoutError,
    pool::{DEFAULT_CLASS, Pool},
    run::{CallSite, Form, Logged, Params, is_spoiled},
};

/// Connections that are checked out for one read.
const ATTEMPTS: usize = 3;

/// Reads that do without a checkout: over a few connections that all callers of a thread share.
///
/// Each statement is a transaction of its own, may only read, and has its rows read as a whole. What a
/// session would remember is refused: `SET`, cursors, session-level locks. A statement is run on a
/// connection that is checked out, in a read-only transaction, until it is known to be quick, and again
/// when it is found to be slow, so that nobody waits behind it. What is sent and not answered when a
/// connection breaks is an error; what the server cannot have heard of, or has undone because it goes down, is
/// run again on a connection of its own.
///
/// [`Statement`]s that it prepares are those of their text, and run anywhere.
///
/// # Cancel safety
///
/// Dropping a future does not stop the statement, for at most as long as
/// [`statement_timeout`](crate::ReaderConfig::statement_timeout); its answer is thrown away. Others do not
/// notice. One for which a connection was checked out is cancelled, as that of a [`Session`](crate::Session)
/// is.
#[derive(Clone)]
pub struct Reader {
    pool: Option<Arc<Pool>>,
}

/// How a read on a shared connection ended.
enum Ended<T> {
    With(Result<T, Error>),
    /// The server has not run it, or has undone it.
    Again,
}

impl Reader {
    pub(crate) fn new(pool: Option<Arc<Pool>>) -> Reader {
        Reader { pool }
    }

    fn pool(&self) -> Result<&Arc<Pool>, Error> {
        let pool = self.pool.as_ref();
        pool.ok_or_else(|| Error::NoConnection(Box::new(CheckoutError::NotConfigured)))
    }

    async fn run(
        &self,
        sql: &str,
        params: Params<'_>,
        call_site: CallSite,
    ) -> Result<Vec<Row>, Error> {
        let pool = self.pool()?;
        if let Some(cluster) = pool.cluster()
            && let Some(token) = Scope::current().and_then(|scope| scope.causal_token())
        {
            // What is sent next is sent to a server that has it.
            let accepted = Box::pin(cluster.accept(token)).await;
            accepted.map_err(|error| Error::NoConnection(Box::new(error)))?;
        }
        let (lane, route) = pool.multiplexer().route(sql)?;
        let (way, pace) = match route {
            Route::Shared(pipeline, known) => {
                let reading = Reading {
                    pool,
                    lane: &lane,
                    pipeline: &pipeline,
                };
                match reading.run(sql, params, &known, call_site).await {
                    Ended::With(result) => return result,
                    Ended::Again => (Way::Again, known.pace),
                }
            }
            Route::Unprepared(pipeline, pace) => {
                let reading = Reading {
                    pool,
                    lane: &lane,
                    pipeline: &pipeline,
                };
                // On the heap, as it is rare, and all futures would be as large as this.
                let ended = Box::pin(reading.prepare_and_run(sql, params, &pace, call_site));
                match ended.await {
                    Ended::With(result) => return result,
                    Ended::Again => (Way::Again, pace),
                }
            }
            Route::Checkout(way, pace) => (way, pace),
        };
        lane.tally.took(way);
        // On the heap for the same reason.
        Box::pin(by_checkout(pool, sql, params, &pace, call_site)).await
    }

    async fn describe(&self, sql: &str, call_site: CallSite) -> Result<Statement, Error> {
        let pool = self.pool()?;
        let (lane, route) = pool.multiplexer().route(sql)?;
        let known = match route {
            Route::Shared(_, known) => Some(known.statement),
            Route::Unprepared(pipeline, pace) => {
                let reading = Reading {
                    pool,
                    lane: &lane,
                    pipeline: &pipeline,
                };
                let logged = Logged::begin(call_site);
                match reading.prepare(sql, &pace, &logged).await {
                    Ended::With(known) => Some(known?.statement),
                    Ended::Again => None,
                }
            }
            Route::Checkout(..) => None,
        };
        let statement = match known {
            Some(statement) => statement,
            None => {
                let session = Arc::clone(pool).checkout(DEFAULT_CLASS, call_site).await;
                let session = session.map_err(|error| Error::NoConnection(Box::new(error)))?;
                session.runner().prepare(sql, call_site).await?
            }
        };
        // By its name it is known to one connection.
        Ok(match statement.into_prepared() {
            Ok((_, described)) => Statement::unnamed(sql, described),
            Err(unnamed) => unnamed,
        })
    }
}

/// A read on a shared connection.
struct Reading<'a> {
    pool: &'a Pool,
    lane: &'a Lane,
    pipeline: &'a Pipeline,
}

impl Reading<'_> {
    async fn run(
        &self,
        sql: &str,
        params: Params<'_>,
        known: &Known,
        call_site: CallSite,
    ) -> Ended<Vec<Row>> {
        let mut logged = Logged::begin(call_site);
        let until = match self.until(&logged) {
            Ok(until) => until,
            Err(error) => return Ended::With(Err(error)),
        };
        let (shape, form) = Form::of(known.statement.clone());
        let Form::Named(statement) = form else {
            return Ended::Again;
        };
        logged.runs(shape, sql, statement.params(), params);
        let query = self.pipeline.query(&statement, params);
        let Ok(done) = time::timeout_at(until, query).await else {
            self.lane.tally.took(Way::Failed);
            return Ended::With(Err(self.timed_out(&logged)));
        };
        self.measure(&done, &known.pace);
        match done.result {
            Ok(rows) => {
                logged.rows = rows.len() as u64;
                self.lane.tally.took(Way::Shared);
                Ended::With(Ok(rows))
            }
            Err(error) => {
                let is_again = done.is_unsent || self.is_undone(&error, sql, known, &logged);
                if is_again {
                    logged.is_of(None);
                    return Ended::Again;
                }
                self.lane.tally.took(Way::Failed);
                Ended::With(Err(error.into()))
            }
        }
    }

    async fn prepare_and_run(
        &self,
        sql: &str,
        params: Params<'_>,
        pace: &Arc<Pace>,
        call_site: CallSite,
    ) -> Ended<Vec<Row>> {
        let known = self.prepare(sql, pace, &Logged::begin(call_site)).await;
        match known {
            Ended::With(Ok(known)) => self.run(sql, params, &known, call_site).await,
            Ended::With(Err(error)) => Ended::With(Err(error)),
            Ended::Again => Ended::Again,
        }
    }

    async fn prepare(&self, sql: &str, pace: &Arc<Pace>, logged: &Logged) -> Ended<Known> {
        let until = match self.until(logged) {
            Ok(until) => until,
            Err(error) => return Ended::With(Err(error)),
        };
        let preparing = self.pipeline.prepare(sql, Arc::clone(pace));
        let Ok(done) = time::timeout_at(until, preparing).await else {
            return Ended::With(Err(self.timed_out(logged)));
        };
        match done.result {
            Ok(known) => Ended::With(Ok(known)),
            // Preparing changes nothing, so it may be done again wherever it failed: it is checked out for,
            // where what is wrong shows as well.
            Err(_) => Ended::Again,
        }
    }

    /// Until when an answer is waited for.
    fn until(&self, logged: &Logged) -> Result<Instant, Error> {
        let own = logged.started + self.pool.engine().statement_limit;
        match logged.deadline() {
            Some(deadline) if deadline <= logged.started => Err(Error::DeadlinePassed),
            Some(deadline) => Ok(deadline.min(own)),
            None => Ok(own),
        }
    }

    fn timed_out(&self, logged: &Logged) -> Error {
        self.pool.engine().counters.statements_timed_out.inc();
        Error::TimedOut {
            after: logged.started.elapsed(),
        }
    }

    fn measure(&self, done: &Done<Vec<Row>>, pace: &Pace) {
        let Some(served) = done.served else { return };
        self.lane.tally.served(served);
        if let Ok(rows) = &done.result {
            self.pool.multiplexer().ran(pace, served.took, bytes(rows));
        }
    }

    /// Whether the server has said that the statement has not run, or was stopped for us.
    fn is_undone(
        &self,
        error: &tokio_postgres::Error,
        sql: &str,
        known: &Known,
        logged: &Logged,
    ) -> bool {
        if is_spoiled(error) {
            self.pipeline.forget(sql);
            self.pool.engine().counters.statements_healed.inc();
            return true;
        }
        match error.code() {
            code if is_going_down(code) => true,
            // Not where somebody has cancelled it before its time.
            Some(&SqlState::QUERY_CANCELED) => {
                let is_ours = self.pool.multiplexer().has_had_its_time(logged.started);
                if is_ours {
                    known.pace.was_stopped();
                }
                is_ours
            }
            _ => false,
        }
    }
}

/// Runs a statement on a connection of its own, and learns how long it takes. Again where the server has
/// undone it because it goes down: whoever ends connections ends those that are idle as well.
async fn by_checkout(
    pool: &Arc<Pool>,
    sql: &str,
    params: Params<'_>,
    pace: &Pace,
    call_site: CallSite,
) -> Result<Vec<Row>, Error> {
    let mut attempts = ATTEMPTS;
    loop {
        let session = Arc::clone(pool).checkout(DEFAULT_CLASS, call_site).await;
        let session = session.map_err(|error| match error {
            CheckoutError::DeadlinePassed { standing: None } => Error::DeadlinePassed,
            error => Error::NoConnection(Box::new(error)),
        })?;
        let runner = session.runner();
        if !runner.link.engine.transaction_pooling {
            // So that the time is the statement's own.
            runner.prepare(sql, call_site).await?;
        }
        let began = Instant::now();
        attempts -= 1;
        match runner.query_read_only(sql, params, call_site).await {
            Ok(rows) => {
                pool.multiplexer().ran(pace, began.elapsed(), bytes(&rows));
                return Ok(rows);
            }
            Err(error) if attempts > 0 && is_going_down(error.sql_state()) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the server ends the connection, and has undone what it was about to do: a read leaves nothing.
fn is_going_down(code: Option<&SqlState>) -> bool {
    matches!(
        code,
        Some(&(SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN))
    )
}

/// The length of an answer, without what frames it.
fn bytes(rows: &[Row]) -> usize {
    rows.iter().map(Row::raw_size_bytes).sum()
}

impl Read for Reader {
    fn prepare(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send {
        self.describe(sql, Location::caller())
    }

    fn query(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
        self.run(sql.text(), params, Location::caller())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
