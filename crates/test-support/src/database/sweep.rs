//! Dropping what runs that crashed or were killed have left.

use super::server::{Lock, Server};
use crate::error::SetupError;

/// What the name of every test's database begins with.
pub(crate) const PREFIX: &str = "ruleiq_test_";
/// What the application name of a process that uses such databases begins with.
pub(crate) const LEASE: &str = "ruleiq-test-lease ";
/// The shape of such a name and, with `_owner`, of its ordinary owner's.
const NAME: &str = "^ruleiq_test_[0-9a-f]{12}_[0-9]+";
/// How many databases one process drops at most; the next one drops the others.
const AT_MOST: i64 = 20;

/// Drops databases and owners whose process holds no lease any more, unless somebody does so now.
pub(crate) async fn sweep() -> Result<(), SetupError> {
    let server = Server::connect().await?;
    if !server.try_lock(Lock::Sweep).await? {
        return Ok(());
    }
    // A process takes its lease before it makes its first database, so that one seen here without
    // a lease has ended.
    let sql = "SELECT name FROM (
                   SELECT datname::text AS name FROM pg_database WHERE datname ~ ($1 || '$')
                   UNION
                   SELECT regexp_replace(rolname, '_owner$', '') FROM pg_roles
                   WHERE rolname ~ ($1 || '_owner$')
               ) AS left_over
               WHERE NOT EXISTS (SELECT FROM pg_stat_activity
                                 WHERE application_name = $2 || split_part(name, '_', 3))
               LIMIT $3";
    let rows = server.client.query(sql, &[&NAME, &LEASE, &AT_MOST]).await;
    let rows = rows.map_err(|source| SetupError::Refused {
        task: "tell what is left over",
        source,
    })?;
    for row in rows {
        server.drop_database(row.get(0)).await?;
    }
    Ok(())
}
