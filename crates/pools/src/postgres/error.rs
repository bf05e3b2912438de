//! The errors of a checkout.

use std::{io, sync::Arc, time::Duration};

use tokio_postgres::error::SqlState;

use super::Holders;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The deadline of the scope passed before there was a connection.
    #[error("the deadline passed before there was a connection")]
    DeadlinePassed {
        /// How things stood then, as for a time-out; none where it had passed before the call.
        #[source]
        standing: Option<Box<CheckoutError>>,
    },

    /// No connection came free in time.
    #[error(
        "no connection came free within {} ms: {checked_out} of {limit} are in use{}, {connecting} are \
         being opened, and {waiting} callers wait; {}{}",
        after.as_millis(),
        held(holders),
        way_out(*checked_out < *limit && *connecting > 0),
        none_opened(connect_error.as_deref())
    )]
    TimedOut {
        /// How long the caller had waited.
        after: Duration,
        /// The connections in use.
        checked_out: usize,
        /// The most connections there may be.
        limit: usize,
        /// The connections that are being opened: a server that answers takes milliseconds.
        connecting: usize,
        /// The callers that still wait.
        waiting: usize,
        /// The lines of code that use them.
        holders: Holders,
        /// Why no further connection could be opened, if that was tried.
        connect_error: Option<Arc<ConnectError>>,
    },

    /// The caller was refused, since too many wait for what comes free.
    #[error(
        "refused after {} ms: more callers come than connections come free, and {waiting} wait; \
         shed load, or raise `size` or `max_overflow`",
        after.as_millis()
    )]
    Shed {
        /// How long the caller had waited.
        after: Duration,
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
        source: Arc<ConnectError>,
    },

    /// What the caller has written is not on any server that may be read: it was written just before another
    /// server took the writes, and did not get there, or nobody has watched whether it did. What is read now
    /// may lack it.
    #[error(
        "what was written on timeline {timeline} is not known to be on timeline {current}, which is the \
         primary's: a promotion has come between"
    )]
    TokenLost {
        /// The timeline of the token.
        timeline: u32,
        /// That of the primary.
        current: u32,
    },

    /// The pool was closed.
    #[error("the pool is closed: the service is going down")]
    Closed,

    /// The manager was built without a database.
    #[error("the manager has no database: give its builder a `PostgresConfig`")]
    NotConfigured,
}

impl CheckoutError {
    /// Whether another attempt may do better soon: the server could not be reached, or has no room. Not a
    /// wrong password, nor a database that is not there. Where callers wait for each other, further attempts make it worse.
    pub fn is_transient(&self) -> bool {
        match self {
            CheckoutError::Connect { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server could not be reached or refused the login.
    #[error("connecting failed")]
    Failed(#[source] tokio_postgres::Error),

    /// There is no connection to its address.
    #[error("`{address}` cannot be reached")]
    Unreachable {
        /// Host or address, and port.
        address: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },

    /// The server is not what `target_session_attrs` of the URL wants.
    #[error("the server at `{address}` is not what `target_session_attrs` wants")]
    WrongRole {
        /// Its address and port.
        address: String,
    },

    /// None of the servers takes writes.
    #[error("none of the servers takes writes: {found}")]
    NoPrimary {
        /// What each is, or why it cannot be asked.
        found: String,
    },

    /// Two servers take writes, and neither is known to be the right one.
    #[error("`{first}` and `{second}` both take writes on the same timeline: stop one of them")]
    TwoPrimaries {
        /// Host and port.
        first: String,
        /// Host and port.
        second: String,
    },

    /// The server took the writes once, and another one does now.
    #[error(
        "the server at `{address}` is not the primary any more, or of another database cluster"
    )]
    Superseded {
        /// Its address and port.
        address: String,
    },

    /// What stands between takes no options, as poolers do.
    #[error(
        "a pooler stands between and refuses the options of a connection: set `transaction_pooling`, or \
         leave `options` out of the URL"
    )]
    Pooler(#[source] tokio_postgres::Error),

    /// The host has no address.
    #[error("the host of the database has no address")]
    NoAddress,

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

impl ConnectError {
    /// Whether another attempt may do better.
    fn is_transient(&self) -> bool {
        match self {
            ConnectError::Failed(source) => {
                // A wrong name or password, no such database, no TLS.
                let code = source.code().map(SqlState::code).unwrap_or_default();
                let is_refused = ["28", "3D"].iter().any(|class| code.starts_with(class));
                source.as_db_error().is_some() && !is_refused || is_io(source)
            }
            ConnectError::Unreachable { .. }
            | ConnectError::WrongRole { .. }
            | ConnectError::NoPrimary { .. }
            | ConnectError::Superseded { .. }
            | ConnectError::TimedOut { .. } => true,
            ConnectError::TwoPrimaries { .. }
            | ConnectError::Pooler(_)
            | ConnectError::NoAddress
            | ConnectError::RuntimeEnded => false,
        }
    }
}

impl From<tokio_postgres::Error> for ConnectError {
    fn from(error: tokio_postgres::Error) -> ConnectError {
        let refuses_options = error.as_db_error().is_some_and(|refusal| {
            let message = refusal.message();
            message.contains("unsupported startup parameter") && message.contains("options")
        });
        match refuses_options {
            true => ConnectError::Pooler(error),
            false => ConnectError::Failed(error),
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    error.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<io::Error>)
}

/// A size that the pool cannot have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a pool of {size} + {max_overflow} connections cannot be had: it was built for 1 to {built_for}"
)]
#[non_exhaustive]
pub struct ResizeError {
    /// The connections that were to stay open.
    pub size: usize,
    /// The connections beyond these.
    pub max_overflow: usize,
    /// The most connections that it was built for: `size` and `max_overflow` of its settings, and at least
    /// 1,000.
    pub built_for: usize,
}

/// Why a pool cannot be optimized.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// There is no database.
    #[error("there is no database pool")]
    NotConfigured,
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
    /// The step before is being measured.
    #[error("the step before is on trial: ask again when it was judged, within three windows")]
    OnTrial,
}

fn way_out(waits_for_the_server: bool) -> &'static str {
    match waits_for_the_server {
        true => "the server has not let them in yet",
        false => "release them sooner, or raise `size` or `max_overflow`",
    }
}

/// Who holds the connections, in brackets.
fn held(holders: &Holders) -> String {
    match holders.to_string() {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    }
}

fn none_opened(error: Option<&ConnectError>) -> String {
    error.map_or_else(String::new, |error| {
        format!("; another could not be opened: {error}")
    })
}
