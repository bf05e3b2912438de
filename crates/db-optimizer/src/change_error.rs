//! The error of every operation that changes something.

use std::time::Duration;

use ruleiq_query::Error as QueryError;
use tokio_postgres::error::SqlState;

use crate::{Blocker, Error, Obstacle};

/// Why nothing was changed, or what was begun and not finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// A text names nothing.
    #[error(
        "`{text}` is no name: write it as in SQL, such as `users`, `public.users` or `\"Mixed Case\"`"
    )]
    NoName {
        /// What was given.
        text: String,
    },

    /// There is no such table.
    #[error("there is no table `{table}` that this connection finds")]
    UnknownTable {
        /// What was given.
        table: String,
    },

    /// The table has no such column.
    #[error(
        "`{table}` has no column `{column}`: names are read as in SQL, in small letters unless quoted"
    )]
    UnknownColumn {
        /// The table.
        table: String,
        /// What was given.
        column: String,
    },

    /// An index needs a column.
    #[error("an index needs at least one column")]
    NoColumns,

    /// Something has to change first. Nothing was done.
    #[error("{0}")]
    InTheWay(Obstacle),

    /// What was waited for did not go away. Nothing was done.
    #[error("{obstacle}; it was waited for for {} ms", after.as_millis())]
    StillInTheWay {
        /// What it is.
        obstacle: Obstacle,
        /// How long it was waited for.
        after: Duration,
    },

    /// A statement that changes something did not end well.
    #[error("failed to {step}{}", remains(leftover.as_ref()))]
    Statement {
        /// What it was to do.
        step: &'static str,
        /// What an invalid index of ours is called that could not be removed, as it is written in SQL.
        leftover: Option<String>,
        /// What happened.
        #[source]
        failure: Failure,
    },

    /// The server did not answer in time.
    #[error("could not read {what} within {} ms", after.as_millis())]
    NoAnswer {
        /// What was being read.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },

    /// The catalogue could not be read.
    #[error(transparent)]
    Read(#[from] Error),
}

/// What ended a statement.
///
/// It keeps no message that may hold values of rows: the server's log has it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A lock was not to be had, or a transaction did not end, within the limit.
    #[error("waited in vain for {}", blockers_of(blockers))]
    Blocked {
        /// Who was in the way, as far as it can be seen.
        blockers: Vec<Blocker>,
    },

    /// It took longer than it may, and the server stopped it.
    #[error("stopped after {} ms, when its time ran out", after.as_millis())]
    TimedOut {
        /// How long it had run.
        after: Duration,
    },

    /// Somebody cancelled it.
    #[error("cancelled by somebody")]
    Cancelled,

    /// The server's disk is full.
    #[error("the server has no space left on its disk")]
    DiskFull,

    /// The connection is gone: the server ended it, or the network did.
    #[error("the connection was lost")]
    ConnectionLost,

    /// The server refused.
    #[error("the server refused with SQLSTATE {code}: {}", message.as_deref().unwrap_or("see its log, since the message may hold values of rows"))]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// What the server said, where that names things alone.
        message: Option<String>,
    },

    /// The statement ended well, and the index is not valid all the same.
    #[error("the index is not valid")]
    NotValid,

    /// The connection's own limit.
    #[error("the connection gave the statement up")]
    GivenUp,

    /// Nothing was heard of the server after its own limit had passed.
    #[error("the server did not answer within {} ms", after.as_millis())]
    NoAnswer {
        /// How long it was waited for.
        after: Duration,
    },
}

/// The server's clock begins to count later than ours, and ends as much earlier or later.
const CLOCKS_DIFFER: Duration = Duration::from_millis(200);

impl Failure {
    pub(crate) fn of(error: &QueryError, after: Duration, limit: Duration) -> Failure {
        if error.is_connection_lost() {
            return Failure::ConnectionLost;
        }
        let Some(refusal) = error.as_db_error() else {
            return Failure::GivenUp;
        };
        let blockers = Vec::new();
        match *refusal.code() {
            SqlState::LOCK_NOT_AVAILABLE => Failure::Blocked { blockers },
            SqlState::QUERY_CANCELED if after + CLOCKS_DIFFER >= limit => {
                Failure::TimedOut { after }
            }
            SqlState::QUERY_CANCELED => Failure::Cancelled,
            SqlState::DISK_FULL => Failure::DiskFull,
            _ => Failure::Refused {
                code: refusal.code().code().to_owned(),
                message: says_names_alone(refusal.code().code())
                    .then(|| refusal.message().to_owned()),
            },
        }
    }

    /// Whether the same statement may do better in a moment.
    pub(crate) fn is_for_now(&self) -> bool {
        let deadlock = SqlState::T_R_DEADLOCK_DETECTED;
        match self {
            Failure::Blocked { .. } => true,
            Failure::Refused { code, .. } => code == deadlock.code(),
            _ => false,
        }
    }

    /// Whether another connection is needed to do anything about it.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Failure::ConnectionLost | Failure::GivenUp | Failure::NoAnswer { .. }
        )
    }
}

/// Whether messages of this class name objects, and never hold what is in rows (manual, appendix A).
fn says_names_alone(code: &str) -> bool {
    let classes = ["0A", "25", "40", "42", "53", "54", "55", "57"];
    classes.iter().any(|class| code.starts_with(class))
}

fn remains(leftover: Option<&String>) -> String {
    match leftover {
        None => String::new(),
        Some(index) => format!(
            "; `{index}` is left and is not valid: the next call for the table removes it, or \
             `DROP INDEX CONCURRENTLY {index}` does"
        ),
    }
}

fn blockers_of(blockers: &[Blocker]) -> String {
    if blockers.is_empty() {
        return "a lock or a transaction of another session, which cannot be seen any more".into();
    }
    let texts: Vec<String> = blockers.iter().map(Blocker::to_string).collect();
    texts.join(", ")
}
