//! The errors of a checkout.

use std::time::Duration;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The deadline of the scope passed before there was a connection.
    #[error("the deadline passed before there was a connection")]
    DeadlinePassed,

    /// No connection came free in time.
    #[error(
        "no connection came free within {} ms: {checked_out} of {limit} are in use and {waiting} \
         callers wait; find what holds them, or raise `size` or `max_overflow`",
        after.as_millis()
    )]
    TimedOut {
        /// How long the caller had waited.
        after: Duration,
        /// The connections in use.
        checked_out: usize,
        /// The most connections there may be.
        limit: usize,
        /// The callers that still wait.
        waiting: usize,
    },

    /// As many callers wait as may.
    #[error(
        "{waiting} callers wait for a connection already: shed load, or raise `size`, \
         `max_overflow` or `max_waiting`"
    )]
    TooManyWaiting {
        /// The callers that wait.
        waiting: usize,
    },

    /// No connection could be opened.
    #[error("cannot connect to the database at `{server}`")]
    Connect {
        /// Hosts and ports, as configured.
        server: String,
        /// What went wrong.
        #[source]
        source: ConnectError,
    },

    /// The pool was closed.
    #[error("the pool is closed: the service is going down")]
    Closed,

    /// The manager was built without a database.
    #[error("the manager has no database: give its builder a `PostgresConfig`")]
    NotConfigured,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server could not be reached or refused the login.
    #[error("connecting failed")]
    Failed(#[from] tokio_postgres::Error),

    /// The server did not answer in time.
    #[error(
        "the server did not answer within {} ms; `connect_timeout` is the limit",
        after.as_millis()
    )]
    TimedOut {
        /// How long the attempt had taken.
        after: Duration,
    },

    /// The runtime that connections live on has ended.
    #[error("the runtime of the pool has ended; build the pool on one that outlives its users")]
    RuntimeEnded,
}
