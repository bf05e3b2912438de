//! A session that reads, on a standby or on the primary.

use std::{fmt, panic::Location};

use ruleiq_query::{Error, Read, Sql, Statement};
use tokio_postgres::{Row, types::ToSql};

use super::{Session, kind};

/// A connection to read from that is checked out: to a standby that has seen what the caller has written, or
/// to the primary. Dropping it checks it in.
///
/// It sees what had been written when it was checked out: check another one out after a write of your own.
/// It follows the rules of a [`Session`]. What does not begin like a query, or writes by its text, is refused
/// wherever it would run; a function that writes, and `FOR UPDATE`, are refused by a standby alone.
pub struct ReadSession {
    session: Session,
    is_on_primary: bool,
}

impl ReadSession {
    pub(crate) fn new(session: Session, is_on_primary: bool) -> ReadSession {
        ReadSession {
            session,
            is_on_primary,
        }
    }

    /// Whether it reads from the server that takes the writes.
    pub fn is_on_primary(&self) -> bool {
        self.is_on_primary
    }
}

impl Read for ReadSession {
    fn prepare(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send {
        self.session.runner().prepare(sql, Location::caller())
    }

    fn query(
        &self,
        sql: &(impl Sql + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
        let call_site = Location::caller();
        async move {
            if kind::modifies(sql.text()) {
                return Err(Error::NotARead {
                    reason: "it writes, or changes the session",
                });
            }
            self.session.runner().query(sql, params, call_site).await
        }
    }
}

impl fmt::Debug for ReadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSession")
            .field("is_on_primary", &self.is_on_primary)
            .finish_non_exhaustive()
    }
}
