//! Whether a database is ours to change beyond repair.
//!
//! A row in `ruleiq_marker` says so. It is written only into a database that was empty when it was
//! first migrated, or migrated again after everything was reverted; that it was is noted on the
//! table of applied migrations, since the marker's own table comes with a later migration.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{Error, connection};

/// The note on the table of applied migrations.
const FIRST_MIGRATED_EMPTY: &str = "ruleiq: first migrated empty";

/// How a caller shows that a database may be changed beyond repair.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    /// The name of the database, repeated by the operator, where the marker is missing.
    pub i_own: Option<String>,
}

impl Ownership {
    /// Lets the caller pass if the database is marked as ours or the operator repeats its name.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let database: String = sqlx::query_scalar("SELECT current_database()")
            .fetch_one(&mut *connection)
            .await?;
        if is_marked(connection).await? || self.i_own.as_ref() == Some(&database) {
            return Ok(());
        }
        Err(Error::NotOurs { database })
    }
}

/// Fails unless the database is marked as ours or the operator repeats its name.
///
/// # Errors
///
/// [`Error::NotOurs`], and those of connecting.
pub async fn require_ours(url: &str, ownership: &Ownership) -> Result<(), Error> {
    ownership.check(&mut connection::connect(url).await?).await
}

async fn is_marked(connection: &mut PgConnection) -> Result<bool, Error> {
    if !has_table(connection, "ruleiq_marker").await? {
        return Ok(false);
    }
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM ruleiq_marker)")
            .fetch_one(connection)
            .await?,
    )
}

/// Notes on the table of applied migrations whether it is alone in the database. What belongs to
/// an extension does not count.
pub(crate) async fn note_whether_empty(
    connection: &mut PgConnection,
    table: &str,
) -> Result<(), Error> {
    let is_empty: bool = sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT FROM pg_class AS class JOIN pg_namespace AS schema ON schema.oid = relnamespace
             WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
               AND class.oid <> to_regclass($1)
               AND nspname NOT IN ('pg_catalog', 'information_schema')
               AND nspname !~ '^pg_(toast|temp)'
               AND NOT EXISTS (SELECT FROM pg_depend
                               WHERE objid = class.oid AND classid = 'pg_class'::regclass
                                 AND deptype = 'e'))",
    )
    .bind(table)
    .fetch_one(&mut *connection)
    .await?;
    let note = match is_empty {
        true => format!("COMMENT ON TABLE {table} IS '{FIRST_MIGRATED_EMPTY}'"),
        false => format!("COMMENT ON TABLE {table} IS NULL"),
    };
    sqlx::query(AssertSqlSafe(note)).execute(connection).await?;
    Ok(())
}

/// Marks the database as ours, if it was empty at first and has the marker's table by now. Belongs
/// into the transaction of the migration that makes that table.
pub(crate) async fn mark(connection: &mut PgConnection, table: &str) -> Result<(), Error> {
    let noted: Option<String> =
        sqlx::query_scalar("SELECT obj_description(to_regclass($1), 'pg_class')")
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
    if noted.as_deref() != Some(FIRST_MIGRATED_EMPTY)
        || !has_table(connection, "ruleiq_marker").await?
    {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ruleiq_marker (created_by)
         SELECT 'ruleiq-migrator' WHERE NOT EXISTS (SELECT FROM ruleiq_marker)",
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn has_table(connection: &mut PgConnection, table: &str) -> Result<bool, Error> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(connection)
        .await?)
}
