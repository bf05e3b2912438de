//! The table of applied migrations. sqlx gives it its shape.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection, migrate::Migrate as _};

use crate::{Error, ownership};

pub(crate) const TABLE: &str = "_sqlx_migrations";

/// What the table says of one migration.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) checksum: Vec<u8>,
    /// False while a concurrent build or drop is being reverted.
    pub(crate) whole: bool,
}

/// Makes the table. As long as it has no row, notes on it whether the database is empty otherwise.
pub(crate) async fn make_table(connection: &mut PgConnection) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    transaction
        .ensure_migrations_table(TABLE)
        .await
        .map_err(Error::Table)?;
    let is_unused: bool = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM _sqlx_migrations)")
        .fetch_one(&mut *transaction)
        .await?;
    if is_unused {
        ownership::note_whether_empty(&mut transaction, TABLE).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Reads the table; without one, nothing is applied.
pub(crate) async fn read(connection: &mut PgConnection) -> Result<BTreeMap<i64, Applied>, Error> {
    if !ownership::has_table(connection, TABLE).await? {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations")
            .fetch_all(connection)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(version, checksum, whole)| (version, Applied { checksum, whole }))
        .collect())
}

/// Notes that a migration is being reverted in steps, so that nobody takes it for applied when the
/// work is cut off.
pub(crate) async fn begin_revert(connection: &mut PgConnection, version: i64) -> Result<(), Error> {
    sqlx::query("UPDATE _sqlx_migrations SET success = false WHERE version = $1")
        .bind(version)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets a migration that is reverted, or whose reverting was cut off.
pub(crate) async fn forget(connection: &mut PgConnection, version: i64) -> Result<(), Error> {
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1")
        .bind(version)
        .execute(connection)
        .await?;
    Ok(())
}
