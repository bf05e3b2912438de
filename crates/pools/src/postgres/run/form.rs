//! What is sent for a statement: its name, or its text.

use ruleiq_query::{Shape, Sql as _, Statement};
use tokio_postgres::types::Type;

/// How a statement is sent.
pub(crate) enum Form {
    /// By its name on the server.
    Named(tokio_postgres::Statement),
    /// As text, behind a pooler, with what is known of the parameters, if there are any.
    Text(Option<Statement>),
}

impl Form {
    /// What a log keeps of a statement, and how it is sent.
    pub(crate) fn of(statement: Statement) -> (Shape, Form) {
        match statement.into_prepared() {
            Ok((shape, prepared)) => (shape, Form::Named(prepared)),
            Err(unnamed) => (unnamed.shape(), Form::Text(Some(unnamed))),
        }
    }

    /// The types of the parameters, where they are known.
    pub(crate) fn params(&self) -> &[Type] {
        match self {
            Form::Named(statement) => statement.params(),
            Form::Text(Some(statement)) => statement.params(),
            Form::Text(None) => &[],
        }
    }
}
