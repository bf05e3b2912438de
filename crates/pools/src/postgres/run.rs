//! Running one statement: its deadline, its line in the scope's log, and the plan that a schema
//! change has spoiled.

mod form;
mod logged;

use std::{
    panic::Location,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _, TryFutureExt as _, join};
use ruleiq_query::{Error, Shape, Sql, Statement};
use ruleiq_scope::{CausalToken, Scope};
use tokio::time::{self, Instant, Sleep};
use tokio_postgres::{
    Client, Row, RowStream, ToStatement,
    error::SqlState,
    types::{PgLsn, ToSql},
};

pub(crate) use self::{form::Form, logged::Logged};
use super::{cluster::Origin, connection::Link, kind, pooler};

const BEGIN_READ_ONLY: &str = "BEGIN READ ONLY";
/// The schema may change again before what was prepared anew is run.
const HEALINGS: usize = 5;

/// Where SQL text came from.
pub(crate) type CallSite = &'static Location<'static>;

pub(super) type Driver<T> = Result<T, tokio_postgres::Error>;

/// The parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A client whose statements are run by the rules of the pool.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) client: &'a Client,
    pub(crate) link: &'a Link,
}

/// A statement that runs. Dropped before its end, it stays pending for ever, and the connection
/// is not given to anybody else.
pub(crate) struct Run<'a> {
    runner: Runner<'a>,
    logged: Logged,
    until: Instant,
    ended: bool,
}

/// A COPY. Unless it is done when this is dropped, its connection cannot be used any more.
struct Copying<'a> {
    link: &'a Link,
    is_done: bool,
}

/// The rows of a statement as they arrive.
pub(crate) struct Rows<'a> {
    rows: Pin<Box<RowStream>>,
    limit: Option<Pin<Box<Sleep>>>,
    run: Run<'a>,
}

impl<'a> Runner<'a> {
    pub(crate) async fn prepare(self, sql: &str, call_site: CallSite) -> Result<Statement, Error> {
        if let Some(statement) = self.kept(sql) {
            return Ok(statement);
        }
        let run = Run::begin(self, call_site)?;
        let result = run.limit(self.prepare_anew(sql)).await?;
        if let Err(error) = &result {
            self.note_unknown_type(error);
        }
        run.finish(result, |_| 0)
    }

    pub(crate) async fn query(
        self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
        call_site: CallSite,
    ) -> Result<Vec<Row>, Error> {
        let client = self.client;
        let is_noted = self.is_to_be_noted(sql.text());
        let query = |form: Form| async move {
            match form {
                Form::Named(it) if is_noted => {
                    let query = self.then_position(client.query(&it, params));
                    Ok(Box::pin(query).await?.0)
                }
                Form::Named(it) => client.query(&it, params).await,
                Form::Text(it) => {
                    let query = pooler::query(client, sql.text(), it.as_ref(), params);
                    Box::pin(pooler::in_turn(self, query)).await
                }
            }
        };
        let mut run = Run::begin(self, call_site)?;
        let rows = run.prepared(sql, params, query).await?;
        run.finish(rows, |rows| rows.len() as u64)
    }

    /// The same in a transaction that may only read, all in one round trip. Not inside of another one.
    pub(crate) async fn query_read_only(
        self,
        sql: &(impl Sql + ?Sized),
        params: Params<'_>,
        call_site: CallSite,
    ) -> Result<Vec<Row>, Error> {
        let client = self.client;
        let query = |form: Form| async move {
            let (begin, commit) = (
                client.batch_execute(BEGIN_READ_ONLY),
                client.batch_execute("COMMIT"),
            );
            let (begun, rows, ended) = match form {
                Form::Named(it) => join!(begin, client.query(&it, params), commit),
                Form::Text(it) => {
                    let query = pooler::query(client, sql.text(), it.as_ref(), params);
                    let all = async { join!(begin, query, commit) };
                    Box::pin(pooler::in_turn(self, all)).await
                }
            };
            begun?;
            let rows = rows?;
            ended.map(|()| rows)
        };
        let mut run = Run::begin(self, call_site)?;
        let rows = run.prepared(sql, params, query).await?;
        run.finish(rows, |rows| rows.len() as u64)
    }

    pub(crate) async fn execute(
        self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
        call_site: CallSite,
    ) -> Result<u64, Error> {
        let client = self.client;
        let is_noted = self.is_to_be_noted(sql.text());
        let execute = |form: Form| async move {
            match form {
                Form::Named(it) if is_noted => {
                    let execute = self.then_position(client.execute(&it, params));
                    Ok(Box::pin(execute).await?.0)
                }
                Form::Named(it) => client.execute(&it, params).await,
                Form::Text(it) => {
                    let execute = pooler::execute(client, sql.text(), it.as_ref(), params);
                    Box::pin(pooler::in_turn(self, execute)).await
                }
            }
        };
        let mut run = Run::begin(self, call_site)?;
        let rows = run.prepared(sql, params, execute).await?;
        run.finish(rows, |rows| *rows)
    }

    pub(crate) async fn batch_execute(self, sql: &str, call_site: CallSite) -> Result<(), Error> {
        let mut run = Run::begin(self, call_site)?;
        run.log_text(sql);
        let work = self.send_text(sql);
        let is_noted =
            self.link.origin().is_some() && kind::may_commit(sql, self.link.is_in_transaction());
        let result = match is_noted {
            false => run.limit(work).await?,
            true => run
                .limit(Box::pin(self.then_position(work)))
                .await?
                .map(drop),
        };
        run.finish(result, |()| 0)
    }

    /// Runs what writes nothing, such as the beginning of a transaction.
    pub(crate) async fn control(self, sql: &str, call_site: CallSite) -> Result<(), Error> {
        let mut run = Run::begin(self, call_site)?;
        run.log_text(sql);
        let result = run.limit(self.send_text(sql)).await?;
        run.finish(result, |()| 0)
    }

    pub(crate) async fn commit(self, call_site: CallSite) -> Result<Option<CausalToken>, Error> {
        let mut run = Run::begin(self, call_site)?;
        run.log_text("COMMIT");
        let commit = self.send_text("COMMIT");
        let result = match self.link.origin() {
            None => run.limit(commit).await?.map(|()| None),
            Some(_) => {
                let committed = run.limit(Box::pin(self.then_position(commit))).await?;
                committed.map(|((), token)| token)
            }
        };
        run.finish(result, |_| 0)
    }

    async fn send_text(self, sql: &str) -> Driver<()> {
        match self.link.engine.transaction_pooling {
            false => self.client.batch_execute(sql).await,
            true => Box::pin(pooler::in_turn(self, self.client.batch_execute(sql))).await,
        }
    }

    /// Does what may write, and asks in the same flight how far the log reaches after it: what is asked
    /// later is answered later. Readers will have to have seen that.
    async fn then_position<T>(
        self,
        work: impl Future<Output = Driver<T>>,
    ) -> Driver<(T, Option<CausalToken>)> {
        let Some(origin) = self.link.origin() else {
            return Ok((work.await?, None));
        };
        let asking = self.client.query_one(origin.position(), &[]);
        // Also of what has failed: it may have committed something before it did.
        let (done, position) = join!(work, asking);
        if let Err(error) = &position
            && error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
        {
            // Somebody has thrown away all that was prepared.
            self.link.note_unusable();
        }
        let lsn = position.and_then(|row| row.try_get::<_, PgLsn>(0));
        let token = note_written(origin, lsn.map_or(u64::MAX, u64::from));
        Ok((done?, Some(token)))
    }

    /// The server may have been replaced while a statement was prepared.
    fn check_current(self) -> Result<(), Error> {
        match self.link.is_superseded() {
            false => Ok(()),
            true => Err(Error::Unusable),
        }
    }

    /// Whether what is run now writes at once, or ends a transaction, and others want to know.
    fn is_to_be_noted(self, sql: &str) -> bool {
        let is_in_transaction = self.link.is_in_transaction();
        self.link.origin().is_some()
            && kind::modifies(sql)
            && kind::may_commit(sql, is_in_transaction)
    }

    pub(crate) async fn copy_in(
        self,
        sql: &str,
        chunks: impl Stream<Item = Bytes> + Send,
        call_site: CallSite,
    ) -> Result<u64, Error> {
        let mut run = Run::begin(self, call_site)?;
        // The driver sends two requests and counts on one answer; a COPY that fails before it takes
        // anything in gets two, and each later answer would be taken for the one before it.
        let mut copying = Copying {
            link: self.link,
            is_done: false,
        };
        let result = if self.link.engine.transaction_pooling {
            run.log_text(sql);
            let copy = self.copy(sql, chunks);
            run.limit(Box::pin(pooler::in_one_transaction(self, copy)))
                .await?
        } else {
            match run.statement(sql, true).await? {
                Ok((shape, form)) => {
                    run.logged.is_of(Some(shape));
                    self.check_current()?;
                    match form {
                        Form::Named(it) if self.is_to_be_noted(sql) => {
                            run.limit(self.copy_and_note(&it, chunks)).await?
                        }
                        Form::Named(it) => run.limit(self.copy(&it, chunks)).await?,
                        Form::Text(_) => run.limit(self.copy(sql, chunks)).await?,
                    }
                }
                Err(error) => Err(error),
            }
        };
        copying.is_done = result.is_ok();
        run.finish(result, |rows| *rows)
    }

    pub(crate) async fn stream(
        self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
        call_site: CallSite,
    ) -> Result<Rows<'a>, Error> {
        let client = self.client;
        let start = |form: Form| async move {
            match form {
                Form::Named(it) => {
                    let params = params.iter().map(|it| *it as &(dyn ToSql + Sync));
                    client.query_raw(&it, params).await
                }
                Form::Text(it) => {
                    let stream = pooler::stream(client, sql.text(), it.as_ref(), params);
                    Box::pin(pooler::in_turn(self, stream)).await
                }
            }
        };
        let mut run = Run::begin(self, call_site)?;
        if self.is_to_be_noted(sql.text())
            && let Some(origin) = self.link.origin()
        {
            // It is done when its rows are read, whenever that is: the primary has it for sure.
            note_written(origin, u64::MAX);
        }
        match run.prepared(sql, params, start).await? {
            Ok(rows) => Ok(Rows {
                rows: Box::pin(rows),
                limit: Some(Box::pin(time::sleep_until(run.until))),
                run,
            }),
            Err(error) => {
                run.end();
                Err(error.into())
            }
        }
    }

    /// What is prepared or described already, or need not be.
    fn known(self, sql: &(impl Sql + ?Sized), has_params: bool) -> Option<(Shape, Form)> {
        if self.link.engine.transaction_pooling && !has_params {
            return Some((sql.shape(), Form::Text(None)));
        }
        if let Some(prepared) = sql.prepared() {
            return Some((sql.shape(), Form::Named(prepared.clone())));
        }
        self.kept(sql.text()).map(Form::of)
    }

    fn kept(self, sql: &str) -> Option<Statement> {
        let statement = self.link.statements().get(sql);
        let counters = &self.link.engine.counters;
        counters.statement_looked_up(statement.is_some());
        statement
    }

    async fn copy<S: ToStatement + ?Sized>(
        self,
        statement: &S,
        chunks: impl Stream<Item = Bytes> + Send,
    ) -> Driver<u64> {
        let mut sink = pin!(self.client.copy_in::<_, Bytes>(statement).await?);
        let mut chunks = pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            sink.feed(chunk).await?;
        }
        sink.finish().await
    }

    /// What is sent behind a COPY would end it, so that it is asked when all is there.
    async fn copy_and_note<S: ToStatement + ?Sized>(
        self,
        statement: &S,
        chunks: impl Stream<Item = Bytes> + Send,
    ) -> Driver<u64> {
        let rows = self.copy(statement, chunks).await?;
        Box::pin(self.then_position(async { Ok(rows) })).await?;
        Ok(rows)
    }

    async fn prepare_anew(self, sql: &str) -> Driver<Statement> {
        let statement = match self.link.engine.transaction_pooling {
            false => Statement::new(sql, self.client.prepare(sql).await?),
            true => pooler::describe(self, sql).await?,
        };
        self.link.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Behind a pooler, the driver will never know a type that was made since the connection was opened.
    fn note_unknown_type(self, error: &tokio_postgres::Error) {
        if self.link.engine.transaction_pooling && pooler::is_type_unknown(error) {
            self.link.note_unusable();
        }
    }

    /// How often a statement that was spoiled is run again.
    fn healings(self, has_params: bool) -> usize {
        match self.link.engine.transaction_pooling {
            false => HEALINGS,
            // Nothing but the types of parameters is known. It may as well be the caller's mistake.
            true => usize::from(has_params),
        }
    }

    /// Whether what is known of a statement is out of date, so that the server has refused it.
    fn is_spoiled(self, error: &tokio_postgres::Error) -> bool {
        match self.link.engine.transaction_pooling {
            false => is_spoiled(error),
            true => pooler::is_outdated(error),
        }
    }
}

impl<'a> Run<'a> {
    fn begin(runner: Runner<'a>, call_site: CallSite) -> Result<Run<'a>, Error> {
        let logged = Logged::begin(call_site);
        let (started, deadline) = (logged.started, logged.deadline());
        let passed = deadline.is_some_and(|deadline| deadline <= started);
        if passed {
            return Err(Error::DeadlinePassed);
        }
        // Where one statement has run out of time, the connection is being cancelled: a later one
        // could be hit.
        let link = runner.link;
        if link.has_timed_out() || link.is_unusable() || link.is_superseded() {
            return Err(Error::Unusable);
        }
        let own = started + runner.link.engine.statement_limit;
        runner.link.statement_began();
        Ok(Run {
            runner,
            logged,
            until: deadline.map_or(own, |deadline| deadline.min(own)),
            ended: false,
        })
    }

    /// Waits for what the driver does, until the time is up.
    fn limit<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Result<T, Error>> {
        // An `async fn` would hold the work twice.
        time::timeout_at(self.until, work).map_err(|_| self.time_out())
    }

    fn time_out(&self) -> Error {
        self.runner.link.time_out();
        Error::TimedOut {
            after: self.logged.started.elapsed(),
        }
    }

    /// How a text or a prepared statement is sent.
    async fn statement(
        &mut self,
        sql: &(impl Sql + ?Sized),
        has_params: bool,
    ) -> Result<Driver<(Shape, Form)>, Error> {
        if let Some(known) = self.runner.known(sql, has_params) {
            return Ok(Ok(known));
        }
        // Also of what is given up while the server waits for a lock.
        let is_kept = self.logged.is_kept();
        self.logged.is_of(is_kept.then(|| sql.shape()));
        // On the heap, as it is rare, and all futures would be as large as this.
        let prepared = self.limit(Box::pin(self.runner.prepare_anew(sql.text())));
        let prepared = prepared.await?;
        Ok(prepared.map(Form::of))
    }

    /// Notes which text is sent as it is.
    fn log_text(&mut self, sql: &str) {
        if self.logged.is_kept() {
            self.logged.runs(Shape::of(sql), sql, &[], &[]);
        }
    }

    /// Runs a statement by its prepared handle, and again where the handle is known to be spoiled: the server refuses it before it begins, so that nothing has happened yet.
    async fn prepared<T, F>(
        &mut self,
        sql: &(impl Sql + ?Sized),
        params: Params<'_>,
        run: impl Fn(Form) -> F,
    ) -> Result<Driver<T>, Error>
    where
        F: Future<Output = Driver<T>>,
    {
        let (runner, has_params) = (self.runner, !params.is_empty());
        let (shape, form) = match self.statement(sql, has_params).await? {
            Ok(found) => found,
            Err(error) => {
                runner.note_unknown_type(&error);
                return Ok(Err(error));
            }
        };
        let types = form.params();
        self.logged.runs(shape, sql.text(), types, params);
        runner.check_current()?;
        let mut result = self.limit(run(form)).await?;
        for _ in 0..runner.healings(has_params) {
            if !matches!(&result, Err(error) if runner.is_spoiled(error)) {
                break;
            }
            runner.link.statements().forget(sql.text());
            // There the transaction has failed with it.
            if runner.link.is_in_transaction() {
                break;
            }
            runner.link.engine.counters.statements_healed.inc();
            // On the heap, as it is rare, and all futures would be as large as this.
            let prepared = self
                .limit(Box::pin(runner.prepare_anew(sql.text())))
                .await?;
            runner.check_current()?;
            result = match prepared {
                Ok(statement) => self.limit(Box::pin(run(Form::of(statement).1))).await?,
                Err(error) => Err(error),
            };
        }
        if let Err(error) = &result {
            runner.note_unknown_type(error);
        }
        Ok(result)
    }

    /// The statement has its answer.
    fn finish<T>(mut self, result: Driver<T>, rows: impl FnOnce(&T) -> u64) -> Result<T, Error> {
        match &result {
            Ok(answer) => {
                self.logged.rows = rows(answer);
                self.end();
            }
            Err(_) => self.end(),
        }
        Ok(result?)
    }

    /// The statement has its answer.
    fn end(&mut self) {
        self.ended = true;
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.link.note_unusable();
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.ended {
            self.runner.link.statement_ended();
        }
    }
}

impl Stream for Rows<'_> {
    type Item = Result<Row, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.run.ended {
            return Poll::Ready(None);
        }
        if let Some(limit) = &mut this.limit
            && limit.as_mut().poll(cx).is_ready()
        {
            // Not seen to end, so it stays pending.
            this.limit = None;
            return Poll::Ready(Some(Err(this.run.time_out())));
        }
        let row = ready!(this.rows.as_mut().poll_next(cx));
        match &row {
            Some(Ok(_)) => this.run.logged.rows += 1,
            Some(Err(_)) | None => this.run.end(),
        }
        Poll::Ready(row.map(|row| Ok(row?)))
    }
}

/// Notes that readers will have to have seen what was written up to there. What nobody knows no standby has
/// reached.
fn note_written(origin: &Origin, lsn: u64) -> CausalToken {
    let token = origin.token(lsn);
    if let Some(scope) = Scope::current() {
        scope.set_causal_token(token);
    }
    token
}

/// Whether the server refused a prepared statement because it does not know it (any more), or
/// because its result would have other types than were promised.
pub(super) fn is_spoiled(error: &tokio_postgres::Error) -> bool {
    let Some(refusal) = error.as_db_error() else {
        return false;
    };
    // What a function or procedure says while it runs comes with a context.
    if refusal.where_().is_some() {
        return false;
    }
    match *refusal.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        // Much else has this code too; the text is translated, the routine is not.
        SqlState::FEATURE_NOT_SUPPORTED => refusal.routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}
