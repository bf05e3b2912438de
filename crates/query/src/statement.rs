//! SQL as text, or as a statement that a connection has prepared.

use std::sync::Arc;

use tokio_postgres::types::Type;

use crate::{Fingerprint, Shape};

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

    /// The same, with a text for people.
    fn shape(&self) -> Shape {
        Shape::of(self.text())
    }
}

/// A statement that one connection has prepared, or has described.
///
/// It knows its text and fingerprint, so that a log need not compute them for each run. On any
/// other connection the server answers that it does not know the statement.
#[derive(Clone, Debug)]
pub struct Statement {
    text: Arc<str>,
    fingerprint: Fingerprint,
    described: tokio_postgres::Statement,
    /// Whether the server still knows it by name.
    is_kept: bool,
}

impl Statement {
    /// Joins the driver's handle with the text that it was prepared from.
    pub fn new(text: &str, prepared: tokio_postgres::Statement) -> Statement {
        Statement {
            text: text.into(),
            fingerprint: Fingerprint::of(text),
            described: prepared,
            is_kept: true,
        }
    }

    /// Joins what the server has said of a text with it, where the server does not keep the statement:
    /// it is sent as text each time. For poolers, behind which each transaction may meet another server
    /// process.
    pub fn unnamed(text: &str, described: tokio_postgres::Statement) -> Statement {
        Statement {
            is_kept: false,
            ..Statement::new(text, described)
        }
    }

    /// Takes it apart into what a log keeps and the driver's handle; gives it back where the server does not
    /// keep it by name.
    ///
    /// # Errors
    ///
    /// The statement itself, if it is [unnamed](Statement::unnamed).
    #[inline]
    pub fn into_prepared(self) -> Result<(Shape, tokio_postgres::Statement), Statement> {
        match self.is_kept {
            true => Ok((Shape::sent(self.fingerprint, self.text), self.described)),
            false => Err(self),
        }
    }

    /// The types of the parameters.
    pub fn params(&self) -> &[Type] {
        self.described.params()
    }

    /// The columns of the result.
    pub fn columns(&self) -> &[tokio_postgres::Column] {
        self.described.columns()
    }
}

impl Sql for Statement {
    fn text(&self) -> &str {
        &self.text
    }

    fn prepared(&self) -> Option<&tokio_postgres::Statement> {
        self.is_kept.then_some(&self.described)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn shape(&self) -> Shape {
        Shape::sent(self.fingerprint, Arc::clone(&self.text))
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
