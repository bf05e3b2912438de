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
