//! The one connection of a migrator: it holds the lock and runs the statements, so that the lock
//! cannot outlive the work or the other way round.

use std::{str::FromStr as _, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::{self, Instant};

use crate::Error;

/// "RULEIQ" in ASCII. Advisory locks belong to one database, so the key need not name it.
const LOCK_KEY: i64 = 0x5255_4c45_4951;
const LOCK_POLL: Duration = Duration::from_millis(100);
/// For connecting, and for what the server answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A role or a database may bound its statements; building an index takes as long as it takes.
const NO_STATEMENT_TIMEOUT: &str = "SET statement_timeout = 0";
/// How long a migration in a transaction waits for a table that somebody uses. Everybody who comes
/// later waits behind it.
const TABLE_LOCK_TIMEOUT: &str = "SET lock_timeout = '10s'";
/// A concurrent build waits for all older transactions, and nobody waits behind it.
const NO_LOCK_TIMEOUT: &str = "SET lock_timeout = 0";

pub(crate) async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::Address)?
        .application_name("ruleiq-migrator")
        .disable_statement_logging();
    in_time(options.connect()).await?.map_err(Error::Connect)
}

/// A network that has vanished would be waited for without end.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .map_err(|_| Error::NoAnswer {
            after: ANSWER_TIMEOUT,
        })
}

/// Connects and takes the lock, which the connection keeps until it closes.
///
/// It is polled with no transaction open. A statement that waits for the lock would hold a
/// snapshot, for which `CREATE INDEX CONCURRENTLY` of the holder waits in turn.
pub(crate) async fn connect_locked(url: &str, limit: Duration) -> Result<PgConnection, Error> {
    let mut connection = connect(url).await?;
    in_time(sqlx::query(NO_STATEMENT_TIMEOUT).execute(&mut connection)).await??;
    let start = Instant::now();
    loop {
        let take = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK_KEY);
        let taken: bool = in_time(take.fetch_one(&mut connection)).await??;
        if taken {
            return Ok(connection);
        }
        if start.elapsed() >= limit {
            return Err(Error::Locked {
                after: limit,
                holder: in_time(holder(&mut connection)).await??,
            });
        }
        time::sleep(LOCK_POLL).await;
    }
}

async fn holder(connection: &mut PgConnection) -> Result<String, Error> {
    let holder: Option<String> = sqlx::query_scalar(
        "SELECT format('%s (%s)', lock.pid, coalesce(activity.application_name, 'unknown'))
         FROM pg_locks AS lock
         LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
         WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
           AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (lock.classid::bigint << 32 | lock.objid::bigint) = $1
         LIMIT 1",
    )
    .bind(LOCK_KEY)
    .fetch_optional(connection)
    .await?;
    Ok(holder.unwrap_or_else(|| "(gone by now)".to_owned()))
}

/// Bounds the waiting for tables, or lifts the bound for a concurrent build.
pub(crate) async fn bound_table_locks(
    connection: &mut PgConnection,
    concurrent: bool,
) -> Result<(), Error> {
    let set = if concurrent {
        NO_LOCK_TIMEOUT
    } else {
        TABLE_LOCK_TIMEOUT
    };
    sqlx::query(set).execute(connection).await?;
    Ok(())
}

/// Drops the remains of an index whose concurrent build was cut off, unless somebody builds it now.
///
/// `CREATE INDEX … IF NOT EXISTS` would find the invalid index and do nothing.
pub(crate) async fn drop_invalid_index(
    connection: &mut PgConnection,
    index: &str,
) -> Result<(), Error> {
    let invalid: Option<bool> = sqlx::query_scalar(
        "SELECT true FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid
         WHERE class.relname = $1 AND NOT index.indisvalid
           AND pg_table_is_visible(class.oid)
           AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS build
                           WHERE build.index_relid = class.oid)",
    )
    .bind(index)
    .fetch_optional(&mut *connection)
    .await?;
    if invalid.is_some() {
        tracing::warn!(index, "dropping an index whose build was cut off");
        // The name was checked when its file was loaded: small letters, digits and underscores.
        let drop = sqlx::AssertSqlSafe(format!("DROP INDEX CONCURRENTLY IF EXISTS \"{index}\""));
        sqlx::query(drop).execute(connection).await?;
    }
    Ok(())
}

/// Whether the index is there and can be used.
pub(crate) async fn is_valid_index(
    connection: &mut PgConnection,
    index: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid
             WHERE class.relname = $1 AND index.indisvalid AND pg_table_is_visible(class.oid))",
    )
    .bind(index)
    .fetch_one(connection)
    .await?)
}
