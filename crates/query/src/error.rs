//! The error of every operation in [`Read`](crate::Read) and [`Queries`](crate::Queries).

use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};

/// Why a statement gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the statement, or the connection broke under it.
    #[error("the statement failed")]
    Database(#[from] tokio_postgres::Error),

    /// The time for the statement ran out; the server was asked to stop it.
    #[error("the statement was cancelled after {} ms, when its time ran out", after.as_millis())]
    TimedOut {
        /// How long the statement had run.
        after: Duration,
    },

    /// The caller's deadline had passed before the statement was sent.
    #[error("the deadline had passed before the statement was sent")]
    DeadlinePassed,

    /// An earlier statement has left the connection in a state that nobody can rely on; it is closed when
    /// the session ends. The statement was not sent.
    #[error(
        "the connection cannot be used any more: an earlier statement on it ran out of time or broke off"
    )]
    Unusable,

    /// There was no connection to run the statement on. It was not sent.
    #[error("there was no connection for the statement")]
    NoConnection(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// The statement is none that may run where only what reads may. It was not sent.
    #[error("the statement may not run where others only read: {reason}; run it on a session")]
    NotARead {
        /// What is wrong with it.
        reason: &'static str,
    },

    /// `query_one` found no row, or `query_one` or `query_opt` found more than one.
    #[error("expected {expected} row, found {found}")]
    RowCount {
        /// What the call asked for: `one` or `at most one`.
        expected: &'static str,
        /// How many rows there were.
        found: usize,
    },
}

impl Error {
    /// The server's own error, if it is the server that refused.
    pub fn as_db_error(&self) -> Option<&DbError> {
        match self {
            Error::Database(source) => source.as_db_error(),
            _ => None,
        }
    }

    /// The SQLSTATE, if it is the server that refused.
    pub fn sql_state(&self) -> Option<&SqlState> {
        self.as_db_error().map(DbError::code)
    }

    /// Whether the server has undone the whole transaction because of others, so that it may be
    /// repeated from its beginning: a deadlock, or a conflict of serializable transactions.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.sql_state(),
            Some(&(SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE))
        )
    }

    /// Whether the connection is gone, so that another one may do better.
    ///
    /// The statement may have run all the same: only what is known not to have run may be repeated.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Error::Database(source) => match source.as_db_error() {
                Some(refusal) => {
                    matches!(
                        *refusal.code(),
                        SqlState::ADMIN_SHUTDOWN
                            | SqlState::CRASH_SHUTDOWN
                            | SqlState::CANNOT_CONNECT_NOW
                            | SqlState::IDLE_SESSION_TIMEOUT
                            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                    ) || refusal.code().code().starts_with("08")
                }
                None => source.is_closed() || is_io(source),
            },
            Error::Unusable => true,
            _ => false,
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}
