//! The database as a whole.

use ruleiq_query::Queries;
use serde::Serialize;
use time::OffsetDateTime;

use crate::{Error, count};

/// A database's size, connections and counters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DatabaseOverview {
    /// Its name.
    pub database: String,
    /// The server's version, as in `15.4`.
    pub server_version: String,
    /// All that it takes on disk.
    pub size_bytes: u64,
    /// How many sessions are connected to it.
    pub connections: u64,
    /// How many sessions are connected to any database of the server.
    pub server_connections: u64,
    /// How many sessions the server admits.
    pub max_connections: u64,
    /// The share of blocks that were found in shared memory, 0 to 1; `None` before the first.
    pub cache_hit_ratio: Option<f64>,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions rolled back.
    pub rollbacks: u64,
    /// Transactions ended because they waited for each other.
    pub deadlocks: u64,
    /// Bytes that sorts and joins wrote because they did not fit in memory.
    pub temporary_bytes: u64,
    /// Since when the counters count; `None` where they were never reset.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
}

const OVERVIEW: &str = "
SELECT stat.datname::text,
       current_setting('server_version'),
       pg_database_size(stat.datid),
       stat.numbackends::bigint,
       (SELECT sum(numbackends)::bigint FROM pg_stat_database),
       current_setting('max_connections')::bigint,
       stat.blks_hit::float8 / nullif(stat.blks_hit + stat.blks_read, 0),
       stat.xact_commit, stat.xact_rollback, stat.deadlocks, stat.temp_bytes,
       stat.stats_reset
FROM pg_stat_database stat
WHERE stat.datname = current_database()";

pub(crate) async fn read(queries: &impl Queries) -> Result<DatabaseOverview, Error> {
    let row = queries
        .query_one(OVERVIEW, &[])
        .await
        .map_err(Error::reading("the statistics of the database"))?;
    let number = |at: usize| count::of(row.get(at));
    Ok(DatabaseOverview {
        database: row.get(0),
        server_version: row.get(1),
        size_bytes: number(2),
        connections: number(3),
        server_connections: number(4),
        max_connections: number(5),
        cache_hit_ratio: row.get(6),
        commits: number(7),
        rollbacks: number(8),
        deadlocks: number(9),
        temporary_bytes: number(10),
        since: row.get(11),
    })
}
