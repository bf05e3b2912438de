//! Who an index that is built concurrently would have to wait for.
//!
//! It waits for every transaction that may write to the table, and in the end for every transaction
//! of the database whose snapshot is older than the index (manual, "Building Indexes Concurrently").

use std::{fmt, time::Duration};

use ruleiq_query::Queries;
use serde::Serialize;
use tokio_postgres::{Row, types::ToSql};

use super::session::Session;
use crate::{ChangeError, duration};

/// A transaction that is in the way. It is shown and never ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Blocker {
    /// The server process; `None` for a transaction that was prepared to be committed later.
    pub pid: Option<i32>,
    /// How long the transaction has been open, in milliseconds when serialized.
    #[serde(rename = "age_ms", with = "duration")]
    pub age: Duration,
    /// What the session does, such as `idle in transaction`.
    pub state: Option<String>,
    /// Whether it holds a lock on the table; else it is its snapshot that is waited for.
    pub holds_lock: bool,
}

// Vacuums are not waited for, and an autovacuum that holds a lock gives way, unless it prevents
// wraparound. The locks are those that conflict with SHARE, which the build waits for.
const BLOCKERS: &str = "
WITH held AS (
    SELECT lock.pid, lock.virtualtransaction
    FROM pg_locks lock
    WHERE lock.locktype = 'relation' AND lock.granted
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND lock.relation = ANY($1::oid[])
      AND lock.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock',
                        'ExclusiveLock', 'AccessExclusiveLock')
)
SELECT act.pid,
       extract(epoch FROM clock_timestamp() - act.xact_start)::float8 * 1000 AS age,
       act.state,
       EXISTS (SELECT FROM held WHERE held.pid = act.pid) AS holds_lock
FROM pg_stat_activity act
WHERE act.datname = current_database()
  AND NOT act.pid = ANY($2::int[])
  AND act.xact_start <= clock_timestamp() - $3::float8 * interval '1 ms'
  AND CASE WHEN act.backend_type = 'autovacuum worker'
      THEN act.query LIKE '%to prevent wraparound%'
           AND EXISTS (SELECT FROM held WHERE held.pid = act.pid)
      ELSE act.backend_xmin IS NOT NULL OR EXISTS (SELECT FROM held WHERE held.pid = act.pid) END
UNION ALL
SELECT NULL, extract(epoch FROM clock_timestamp() - xact.prepared)::float8 * 1000,
       'prepared', true
FROM pg_prepared_xacts xact
WHERE xact.database = current_database()
  AND xact.prepared <= clock_timestamp() - $3::float8 * interval '1 ms'
  -- All locks of one transaction bear the same virtual one, and one of them is on its own number.
  AND EXISTS (SELECT FROM held JOIN pg_locks own USING (virtualtransaction)
              WHERE held.pid IS NULL AND own.pid IS NULL
                AND own.locktype = 'transactionid' AND own.transactionid = xact.transaction)
ORDER BY age DESC
LIMIT 20";

/// The transactions that have been open for so long and would be waited for, the oldest first, at
/// most 20. Those of these processes are left out.
pub(crate) async fn find<Q: Queries>(
    session: &Session<'_, Q>,
    tables: &[u32],
    processes: &[i32],
    older_than: Duration,
) -> Result<Vec<Blocker>, ChangeError> {
    let older_than = duration::milliseconds(older_than);
    let params: &[&(dyn ToSql + Sync)] = &[&tables, &processes, &older_than];
    let rows = session.query("who is in the way", BLOCKERS, params).await?;
    Ok(rows.iter().map(Blocker::of).collect())
}

impl Blocker {
    fn of(row: &Row) -> Blocker {
        Blocker {
            pid: row.get(0),
            age: duration::from_milliseconds(row.get(1)),
            state: row.get(2),
            holds_lock: row.get(3),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("a prepared transaction")?,
        }
        write!(f, " (open for {} s", self.age.as_secs())?;
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        match self.holds_lock {
            true => f.write_str(", holds a lock on the table)"),
            false => f.write_str(", holds a snapshot)"),
        }
    }
}
