//! The error of every operation of the optimizer.

use ruleiq_query::Error as QueryError;

/// Why there is no advice.
#[derive(Debug, thiserror::Error)]
#[error("could not read {what}")]
#[non_exhaustive]
pub struct Error {
    /// What was being read.
    what: &'static str,
    source: QueryError,
}

impl Error {
    /// Turns the error of a statement into one that says what it was to read.
    pub(crate) fn reading(what: &'static str) -> impl FnOnce(QueryError) -> Error {
        move |source| Error { what, source }
    }

    /// The error of the statement: whether it timed out, whether the connection is lost.
    pub fn query_error(&self) -> &QueryError {
        &self.source
    }
}

impl From<Error> for QueryError {
    fn from(error: Error) -> QueryError {
        error.source
    }
}

/// Why there is no advice on a workload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdviseError {
    /// The server refused a statement of ours, or the connection broke.
    #[error(transparent)]
    Failed(#[from] Error),
    /// There is nothing to serve.
    #[error("there is no statement in the workload")]
    NoStatements,
    /// All that is recorded belongs to other roles.
    #[error(
        "{statements} recorded statements are of other roles, and this one may not read them: \
         GRANT pg_read_all_stats"
    )]
    Hidden {
        /// How many.
        statements: u64,
    },
    /// There is no `pg_stat_statements` to read the workload from.
    #[error(
        "`pg_stat_statements` records nothing here: add it to `shared_preload_libraries` and \
         `CREATE EXTENSION pg_stat_statements`, or give a workload"
    )]
    NotRecorded,
    /// The server could plan no statement at all.
    #[error("none of the {} statements could be planned", unplanned.len())]
    NothingPlanned {
        /// Each with what the server says.
        unplanned: Vec<crate::Unplanned>,
    },
}
