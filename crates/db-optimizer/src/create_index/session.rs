//! A connection on which every statement has a limit, and what has to be known of it.

use std::{future::Future, time::Duration};

use ruleiq_query::{Error as QueryError, Queries};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::Obstacle;
use crate::{ChangeError, Error, Failure};

/// How long reading the catalogue or setting a setting may take.
const STEP_LIMIT: Duration = Duration::from_secs(30);
/// How much longer than the server's own limit an answer is waited for.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Debug)]
pub(crate) struct Session<'a, Q> {
    queries: &'a Q,
}

/// What a session is.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) pid: i32,
    /// Tells the process from a later one of the same number.
    pub(crate) started: Option<OffsetDateTime>,
    is_in_recovery: bool,
    is_read_only: bool,
    transaction: Option<String>,
    /// Whether the transactions of other roles can be seen.
    pub(crate) sees_all: bool,
}

const FACTS: &str = "
SELECT pg_backend_pid(),
       (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
       pg_is_in_recovery(),
       current_setting('transaction_read_only')::bool,
       (SELECT virtualtransaction FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'virtualxid' LIMIT 1),
       pg_has_role('pg_read_all_stats', 'USAGE')";

impl<'a, Q: Queries> Session<'a, Q> {
    pub(crate) fn over(queries: &'a Q) -> Session<'a, Q> {
        Session { queries }
    }

    pub(crate) fn queries(&self) -> &'a Q {
        self.queries
    }

    pub(crate) async fn query(
        &self,
        what: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ChangeError> {
        in_time(what, STEP_LIMIT, self.queries.query(sql, params)).await
    }

    pub(crate) async fn query_one(
        &self,
        what: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, ChangeError> {
        in_time(what, STEP_LIMIT, self.queries.query_one(sql, params)).await
    }

    /// Runs one statement that changes something: sent on its own, so that a text with two is
    /// refused by the server. The server has the same limit, as a setting.
    pub(crate) async fn run(&self, sql: &str, limit: Duration) -> Result<(), Failure> {
        ended(limit, self.queries.execute(sql, &[])).await
    }

    /// Runs statements that happen as a whole or not at all.
    pub(crate) async fn run_as_one(&self, sql: &str, limit: Duration) -> Result<(), Failure> {
        ended(limit, self.queries.batch_execute(sql)).await
    }

    /// Has the server read a statement without running it: a text with two is refused.
    pub(crate) async fn parse(&self, sql: &str) -> Result<(), Failure> {
        ended(STEP_LIMIT, self.queries.prepare(sql)).await
    }

    /// Waits until the server has done all that was sent. The driver takes back what it has prepared
    /// without waiting for that, and would keep a pooler's process busy meanwhile.
    pub(crate) async fn settle(&self) -> Result<(), ChangeError> {
        let what = "the state of the session";
        in_time(what, STEP_LIMIT, self.queries.batch_execute("SELECT 1")).await
    }

    pub(crate) async fn facts(&self) -> Result<Facts, ChangeError> {
        let row = self
            .query_one("the state of the session", FACTS, &[])
            .await?;
        Ok(Facts {
            pid: row.get(0),
            started: row.get(1),
            is_in_recovery: row.get(2),
            is_read_only: row.get(3),
            transaction: row.get(4),
            sees_all: row.get(5),
        })
    }
}

impl Facts {
    /// What these say against a change, given what the same session said a moment later, and another.
    pub(crate) fn obstacles(&self, later: &Facts, observer: Option<&Facts>) -> Vec<Obstacle> {
        let is_shared = observer.is_some_and(|it| it.pid == later.pid);
        [
            (
                self.pid != later.pid || is_shared,
                Obstacle::TransactionPooler,
            ),
            (
                self.transaction.is_some() && self.transaction == later.transaction,
                Obstacle::InTransaction,
            ),
            (self.is_in_recovery, Obstacle::InRecovery),
            (
                self.is_read_only && !self.is_in_recovery,
                Obstacle::ReadOnly,
            ),
        ]
        .into_iter()
        .filter_map(|(is_there, obstacle)| is_there.then_some(obstacle))
        .collect()
    }
}

async fn in_time<T>(
    what: &'static str,
    after: Duration,
    statement: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, ChangeError> {
    let answer = timeout(after, statement).await;
    let answer = answer.map_err(|_| ChangeError::NoAnswer { what, after })?;
    answer.map_err(|error| match error.sql_state() {
        Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
            ChangeError::InTheWay(Obstacle::InTransaction)
        }
        // What this session has prepared is not there, or what another has is: another process.
        Some(&(SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT)) => {
            ChangeError::InTheWay(Obstacle::TransactionPooler)
        }
        _ => Error::reading(what)(error).into(),
    })
}

async fn ended<T>(
    limit: Duration,
    statement: impl Future<Output = Result<T, QueryError>>,
) -> Result<(), Failure> {
    let start = Instant::now();
    match timeout(limit.saturating_add(GRACE), statement).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::of(&error, start.elapsed(), limit)),
        Err(_) => Err(Failure::NoAnswer {
            after: start.elapsed(),
        }),
    }
}
