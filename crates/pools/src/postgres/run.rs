//! Running one statement: its deadline, its line in the scope's log, and the plan that a schema
//! change has spoiled.

mod form;

use std::{
    panic::Location,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _, TryFutureExt as _};
use ruleiq_query::{Arguments, Error, Shape, Sql, Statement};
use ruleiq_scope::{Scope, StatementRun};
use tokio::time::{self, Instant, Sleep};
use tokio_postgres::{
    Client, Row, RowStream, ToStatement,
    error::SqlState,
    types::{ToSql, Type},
};

use self::form::Form;
use super::{connection::Link, pooler};

/// The schema may change again before what was prepared anew is run.
const HEALINGS: usize = 5;

/// Where SQL text came from.
pub(crate) type CallSite = &'static Location<'static>;

pub(super) type Driver<T> = Result<T, tokio_postgres::Error>;

/// The parameters of a statement.
type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

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
    call_site: CallSite,
    scope: Option<Scope>,
    shape: Option<Shape>,
    arguments: Option<Arguments>,
    started: Instant,
    until: Instant,
    rows: u64,
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
        let query = |form: Form| async move {
            match form {
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

    pub(crate) async fn execute(
        self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
        call_site: CallSite,
    ) -> Result<u64, Error> {
        let client = self.client;
        let execute = |form: Form| async move {
            match form {
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
        let client = self.client;
        let result = match self.link.engine.transaction_pooling {
            false => run.limit(client.batch_execute(sql)).await?,
            true => {
                let execute = pooler::in_turn(self, client.batch_execute(sql));
                run.limit(Box::pin(execute)).await?
            }
        };
        run.finish(result, |()| 0)
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
                    run.shape = Some(shape);
                    match form {
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
        let started = Instant::now();
        let scope = Scope::current();
        let deadline = scope.as_ref().and_then(Scope::deadline);
        let passed = deadline.is_some_and(|deadline| deadline <= started);
        if passed {
            return Err(Error::DeadlinePassed);
        }
        // Where one statement has run out of time, the connection is being cancelled: a later one
        // could be hit.
        if runner.link.has_timed_out() || runner.link.is_unusable() {
            return Err(Error::Unusable);
        }
        let own = started + runner.link.engine.statement_limit;
        runner.link.statement_began();
        Ok(Run {
            runner,
            call_site,
            scope,
            shape: None,
            arguments: None,
            started,
            until: deadline.map_or(own, |deadline| deadline.min(own)),
            rows: 0,
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
            after: self.started.elapsed(),
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
        self.shape = self.scope.is_some().then(|| sql.shape());
        // On the heap, as it is rare, and all futures would be as large as this.
        let prepared = self.limit(Box::pin(self.runner.prepare_anew(sql.text())));
        let prepared = prepared.await?;
        Ok(prepared.map(Form::of))
    }

    /// Notes which statement runs, and what with, if it has run before.
    fn log(&mut self, shape: Shape, sql: &str, types: &[Type], params: Params<'_>) {
        if let Some(scope) = &self.scope
            && scope.begins_again(shape.fingerprint(), self.call_site)
        {
            self.arguments = Some(Arguments::of(sql, types, params));
        }
        self.shape = Some(shape);
    }

    /// The same for a text that is sent as it is.
    fn log_text(&mut self, sql: &str) {
        if self.scope.is_some() {
            self.log(Shape::of(sql), sql, &[], &[]);
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
        self.log(shape, sql.text(), form.params(), params);
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
            let again = async { run(Form::of(runner.prepare_anew(sql.text()).await?).1).await };
            result = self.limit(Box::pin(again)).await?;
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
                self.rows = rows(answer);
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
        if let (Some(scope), Some(shape)) = (&self.scope, self.shape.take()) {
            scope.record_statement(StatementRun {
                shape,
                call_site: self.call_site,
                arguments: self.arguments,
                rows: self.rows,
                elapsed: self.started.elapsed(),
            });
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
            Some(Ok(_)) => this.run.rows += 1,
            Some(Err(_)) | None => this.run.end(),
        }
        Poll::Ready(row.map(|row| Ok(row?)))
    }
}

/// Whether the server refused a prepared statement because it does not know it (any more), or
/// because its result would have other types than were promised.
fn is_spoiled(error: &tokio_postgres::Error) -> bool {
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
