//! Whether the caller has a transaction open.

use ruleiq_query::{Error as QueryError, Queries};
use tokio_postgres::error::SqlState;

/// Whether the connection is in a transaction, failed or not, which a rollback would end.
pub(crate) async fn is_open(queries: &impl Queries) -> Result<bool, QueryError> {
    // Outside of a transaction there is no savepoint.
    match queries.batch_execute("SAVEPOINT ruleiq_probe").await {
        Ok(()) => {
            let undo = "RELEASE SAVEPOINT ruleiq_probe";
            queries.batch_execute(undo).await.map(|()| true)
        }
        Err(error) => match error.sql_state() {
            Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => Ok(false),
            Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => Ok(true),
            _ => Err(error),
        },
    }
}
