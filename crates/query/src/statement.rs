//! SQL as text, or as a statement that a connection has prepared.

use std::sync::Arc;

use tokio_postgres::types::Type;

use crate::Fingerprint;

/// What can be run: SQL text, or a [`Statement`] prepared on the same connection.
pub trait Sql: Sync {
    /// The text as it is sent.
    fn text(&self) -> &str;

    /// The driver's handle, where a connection has prepared it.
    fn prepared(&self) -> Option<&tokio_postgres::Statement> {
        None
    }

    /// Which statement this is, whatever its constants are.
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.text())
    }
}

/// A statement that one connection has prepared.
///
/// It knows its text and fingerprint, so that a log need not compute them for each run. On any
/// other connection the server answers that it does not know the statement.
#[derive(Clone, Debug)]
pub struct Statement {
    text: Arc<str>,
    fingerprint: Fingerprint,
    prepared: tokio_postgres::Statement,
}

impl Statement {
    /// Joins the driver's handle with the text that it was prepared from.
    pub fn new(text: &str, prepared: tokio_postgres::Statement) -> Statement {
        Statement {
            text: text.into(),
            fingerprint: Fingerprint::of(text),
            prepared,
        }
    }

    /// The types of the parameters.
    pub fn params(&self) -> &[Type] {
        self.prepared.params()
    }

    /// The columns of the result.
    pub fn columns(&self) -> &[tokio_postgres::Column] {
        self.prepared.columns()
    }
}

impl Sql for Statement {
    fn text(&self) -> &str {
        &self.text
    }

    fn prepared(&self) -> Option<&tokio_postgres::Statement> {
        Some(&self.prepared)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl Sql for str {
    fn text(&self) -> &str {
        self
    }
}

impl Sql for String {
    fn text(&self) -> &str {
        self
    }
}
