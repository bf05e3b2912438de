//! The line of a statement in the scope's log.

use ruleiq_query::{Arguments, Shape};
use ruleiq_scope::{Scope, StatementRun};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::{CallSite, Params};

/// A statement that runs. When this is dropped it is logged, if it is known by then which it is.
pub(crate) struct Logged {
    call_site: CallSite,
    scope: Option<Scope>,
    shape: Option<Shape>,
    arguments: Option<Arguments>,
    pub(crate) started: Instant,
    pub(crate) rows: u64,
}

impl Logged {
    pub(crate) fn begin(call_site: CallSite) -> Logged {
        Logged {
            call_site,
            scope: Scope::current(),
            shape: None,
            arguments: None,
            started: Instant::now(),
            rows: 0,
        }
    }

    /// Whether there is a log.
    pub(crate) fn is_kept(&self) -> bool {
        self.scope.is_some()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.scope.as_ref().and_then(Scope::deadline)
    }

    /// Notes which statement runs.
    pub(crate) fn is_of(&mut self, shape: Option<Shape>) {
        self.shape = shape;
    }

    /// Notes which statement runs, and what with, if it has run before.
    pub(crate) fn runs(&mut self, shape: Shape, sql: &str, types: &[Type], params: Params<'_>) {
        if let Some(scope) = &self.scope
            && scope.begins_again(shape.fingerprint(), self.call_site)
        {
            self.arguments = Some(Arguments::of(sql, types, params));
        }
        self.shape = Some(shape);
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
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
