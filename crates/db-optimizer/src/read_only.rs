//! A transaction that reads, with settings of its own, and is rolled back.

use ruleiq_query::{Error as QueryError, Queries};
use tokio_postgres::error::SqlState;

/// It must be [ended](ReadOnly::end) whatever happens.
pub(crate) struct ReadOnly<'a, Q> {
    queries: &'a Q,
    /// Whether the transaction is the caller's, so that only a savepoint of it is ours.
    is_nested: bool,
}

impl<'a, Q: Queries> ReadOnly<'a, Q> {
    /// Begins, and sets what is given as `SET LOCAL` statements.
    pub(crate) async fn begin(
        queries: &'a Q,
        settings: &str,
    ) -> Result<ReadOnly<'a, Q>, QueryError> {
        // Outside of a transaction there is no savepoint.
        let is_nested = match queries.batch_execute("SAVEPOINT ruleiq_reading").await {
            Ok(()) => true,
            Err(error) => match error.sql_state() {
                Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => false,
                _ => return Err(error),
            },
        };
        if !is_nested {
            queries.batch_execute("BEGIN READ ONLY").await?;
        }
        let reading = ReadOnly { queries, is_nested };
        match queries.batch_execute(settings).await {
            Ok(()) => Ok(reading),
            Err(error) => reading.end().await.and(Err(error)),
        }
    }

    /// Ends the transaction, or gives the caller's back as it was.
    pub(crate) async fn end(self) -> Result<(), QueryError> {
        let sql = match self.is_nested {
            true => "ROLLBACK TO SAVEPOINT ruleiq_reading; RELEASE SAVEPOINT ruleiq_reading",
            false => "ROLLBACK",
        };
        self.queries.batch_execute(sql).await
    }
}
