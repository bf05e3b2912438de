//! How far standbys are behind.

use super::check::{Check, limit, number};
use crate::{
    Finding, Severity,
    quantity::{Bytes, Seconds},
};

/// The standbys of this server, as it sees them.
pub(super) const OF_OTHERS: Check = Check {
    code: "replication_lag",
    what: "the standbys of this server",
    sql: "
WITH standby AS (
    SELECT pid, coalesce(application_name, '') AS name, coalesce(state, '') AS state,
           pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                    ELSE pg_current_wal_lsn() END, replay_lsn)::float8 AS bytes,
           extract(epoch FROM replay_lag)::float8 AS lag_s
    FROM pg_stat_replication
)
SELECT * FROM standby
WHERE bytes >= $1::float8 OR lag_s >= $2::float8
ORDER BY bytes DESC NULLS LAST, pid
LIMIT 51",
    limits: |limits| {
        vec![
            limit(limits.replication_lag_bytes),
            limits.replication_lag.as_secs_f64(),
        ]
    },
    finding: |row| {
        let (name, state): (&str, &str) = (row.get("name"), row.get("state"));
        lag(format!("standby {name:?}"), number(row, "bytes"), number(row, "lag_s"))
            .action(format!(
                "it is in the state {state:?}: look at its network, its disk, and at long statements there \
                 that hold up the replay"
            ))
    },
};

/// This server, if it is a standby itself.
pub(super) const OWN: Check = Check {
    code: "replication_lag",
    what: "how far this standby is behind",
    sql: "
WITH own AS (
    SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::float8 AS bytes,
           CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
           END AS lag_s
    WHERE pg_is_in_recovery()
)
SELECT * FROM own
WHERE bytes >= $1::float8 OR lag_s >= $2::float8
LIMIT 51",
    limits: OF_OTHERS.limits,
    finding: |row| {
        lag(
            "this standby".to_owned(),
            number(row, "bytes"),
            number(row, "lag_s"),
        )
        .action("look for long statements here that hold up the replay, and at this server's disk")
    },
};

fn lag(subject: String, bytes: f64, seconds: f64) -> Finding {
    Finding::new("replication_lag", Severity::Warning, subject)
        .seen(format!(
            "{} of log and {} behind",
            Bytes(bytes),
            Seconds(seconds)
        ))
        .number("lag_bytes", bytes)
        .number("lag_seconds", seconds)
        .why("what is read there is old, and a failover would wait for it or lose it")
}
