//! The two traits.
//!
//! The methods are plain functions that return futures, not `async fn`, so that `#[track_caller]`
//! reaches the line that runs the statement: an `async fn` would report the executor.

use std::future::Future;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream};
use tokio_postgres::{Row, types::ToSql};

use crate::{Error, Sql, Statement};

/// Runs statements whose rows are read as a whole.
///
/// # Errors
///
/// Every method fails with [`Error::Database`] when the server refuses or the connection breaks;
/// an implementation with a deadline also with [`Error::TimedOut`] and [`Error::DeadlinePassed`].
///
/// # Cancel safety
///
/// Dropping a future does not stop a statement that the server has begun. What becomes of the
/// connection is the implementation's to say.
pub trait Read: Sync {
    /// Prepares a statement on this connection.
    #[track_caller]
    fn prepare(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send;

    /// Runs a statement and returns its rows.
    #[track_caller]
    fn query(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// Runs a statement that gives exactly one row.
    ///
    /// # Errors
    ///
    /// [`Error::RowCount`] for none or several, besides the errors of [`query`](Read::query).
    #[track_caller]
    fn query_one(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Row, Error>> + Send {
        // An `async` block would hold the future twice: as it was captured and as it is awaited.
        self.query(sql, params).map(one)
    }

    /// Runs a statement that gives one row or none.
    ///
    /// # Errors
    ///
    /// [`Error::RowCount`] for several, besides the errors of [`query`](Read::query).
    #[track_caller]
    fn query_opt(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Option<Row>, Error>> + Send {
        self.query(sql, params).map(at_most_one)
    }
}

/// Runs any statement.
///
/// Errors and cancel safety are those of [`Read`].
pub trait Queries: Read {
    /// Runs a statement and returns how many rows it touched.
    #[track_caller]
    fn execute(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Runs several statements, separated by semicolons, without parameters.
    ///
    /// Never build the text from input: nothing is quoted.
    #[track_caller]
    fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Runs a `COPY … FROM STDIN`, feeds it all chunks and returns how many rows were stored.
    ///
    /// Where a chunk ends has no meaning. Nothing is stored unless all is.
    #[track_caller]
    fn copy_in(
        &self,
        sql: &str,
        chunks: impl Stream<Item = Bytes> + Send,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Runs a statement and returns its rows as they arrive.
    #[track_caller]
    fn stream(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<impl Stream<Item = Result<Row, Error>> + Send, Error>> + Send;
}

fn one(rows: Result<Vec<Row>, Error>) -> Result<Row, Error> {
    let mut rows = rows?;
    match (rows.pop(), rows.len()) {
        (Some(row), 0) => Ok(row),
        (last, others) => Err(Error::RowCount {
            expected: "one",
            found: others + usize::from(last.is_some()),
        }),
    }
}

fn at_most_one(rows: Result<Vec<Row>, Error>) -> Result<Option<Row>, Error> {
    let mut rows = rows?;
    match (rows.pop(), rows.len()) {
        (row, 0) => Ok(row),
        (_, others) => Err(Error::RowCount {
            expected: "at most one",
            found: others + 1,
        }),
    }
}
