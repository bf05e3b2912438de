//! The table of applied migrations.

use ruleiq_query::{Error, Read};
use tokio_postgres::error::SqlState;

/// Whether the database has the newest migration that this program knows.
pub(crate) async fn is_expected(db: &impl Read) -> Result<bool, Error> {
    let expected = ruleiq_migrator::latest_version();
    let row = db
        .query_one(
            "SELECT EXISTS (SELECT FROM _sqlx_migrations WHERE version = $1 AND success)",
            &[&expected],
        )
        .await;
    match row {
        Ok(row) => Ok(row.get(0)),
        Err(error) if error.sql_state() == Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
        Err(error) => Err(error),
    }
}
