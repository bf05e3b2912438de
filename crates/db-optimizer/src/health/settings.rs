//! Settings of the server that deserve a look.

use super::check::Check;
use crate::{
    Finding,
    Severity::{self, Critical, Notice, Warning},
};

/// A setting, when it is worth a look, and why.
struct Advice {
    name: &'static str,
    severity: Severity,
    why: &'static str,
    action: &'static str,
    sql: Option<&'static str>,
}

#[rustfmt::skip]
const ADVICE: &[Advice] = &[
    Advice { name: "fsync", severity: Critical,
        why: "after a crash of the machine the whole cluster may be unreadable",
        action: "turn it on, unless all data can be made again",
        sql: Some("ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()") },
    Advice { name: "full_page_writes", severity: Critical,
        why: "after a crash of the machine pages may be half old and half new",
        action: "turn it on, unless the file system writes whole pages or none",
        sql: Some("ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()") },
    Advice { name: "autovacuum", severity: Critical,
        why: "dead rows stay, statistics age, and transaction ids run out",
        action: "turn it on; slow it down per table where it disturbs",
        sql: Some("ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()") },
    Advice { name: "track_counts", severity: Critical,
        why: "autovacuum does not work without it, nor does most of this report",
        action: "turn it on",
        sql: Some("ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()") },
    Advice { name: "synchronous_commit", severity: Notice,
        why: "a crash of the server loses the commits of its last moments",
        action: "turn it off per transaction, where a loss does no harm, and on for all others",
        sql: Some("ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()") },
    Advice { name: "track_io_timing", severity: Notice,
        why: "nobody can tell whether a slow statement waits for the disk",
        action: "turn it on, if pg_test_timing says that the clock is cheap",
        sql: Some("ALTER SYSTEM SET track_io_timing = on; SELECT pg_reload_conf()") },
    Advice { name: "random_page_cost", severity: Notice,
        why: "this is the cost of disks that turn; on others the planner shuns indexes that would help",
        action: "set it to 1.1 where the data lie on solid state or in memory",
        sql: Some("ALTER SYSTEM SET random_page_cost = 1.1; SELECT pg_reload_conf()") },
    Advice { name: "shared_buffers", severity: Notice,
        why: "the default suits a machine of 512 MiB, and the database is larger than this",
        action: "set it to a quarter of the memory; that takes a restart",
        sql: None },
    Advice { name: "idle_in_transaction_session_timeout", severity: Notice,
        why: "a client that hangs in a transaction holds its locks, and dead rows everywhere, for ever",
        action: "set it to a few minutes",
        sql: Some("ALTER SYSTEM SET idle_in_transaction_session_timeout = '5min'; SELECT pg_reload_conf()") },
    Advice { name: "max_wal_size", severity: Notice,
        why: "most checkpoints come because the log is full: each one makes pages be written whole again",
        action: "raise it, so that checkpoints come by `checkpoint_timeout`",
        sql: None },
    Advice { name: "plan_cache_mode", severity: Warning,
        why: "for all sessions, prepared statements are planned in one way whatever suits them",
        action: "leave it on `auto`, and set it for the role or session that needs another",
        sql: Some("ALTER SYSTEM RESET plan_cache_mode; SELECT pg_reload_conf()") },
    Advice { name: "pending_restart", severity: Notice,
        why: "the file says one thing and the server does another until it is restarted",
        action: "restart the server when that suits, or take the change back",
        sql: None },
];

const PLANNER: Advice = Advice {
    name: "enable_*",
    severity: Warning,
    why: "the planner is kept from a way of doing things in every statement",
    action: "turn it on, and look at the one statement that it was turned off for",
    sql: None,
};

pub(super) const CHECK: Check = Check {
    code: "setting",
    what: "the settings of the server",
    // The counts of checkpoints moved away with 17; there, they are not looked at.
    sql: "
WITH checkpoints AS (
    SELECT (to_jsonb(stat) ->> 'checkpoints_req')::float8 AS requested,
           (to_jsonb(stat) ->> 'checkpoints_timed')::float8 AS timed
    FROM pg_stat_bgwriter stat
)
SELECT name, setting, coalesce(unit, '') AS unit, source, pending_restart,
       CASE WHEN pending_restart THEN 'pending_restart'
            WHEN name LIKE 'enable\\_%' THEN 'enable_*'
            ELSE name END AS advice
FROM pg_settings, checkpoints
WHERE pending_restart
   OR name IN ('fsync', 'full_page_writes', 'autovacuum', 'track_counts', 'synchronous_commit',
               'track_io_timing') AND setting = 'off'
   OR name LIKE 'enable\\_%' AND setting = 'off' AND boot_val = 'on' AND source <> 'session'
   OR name = 'random_page_cost' AND setting::float8 >= 4
   OR name = 'shared_buffers' AND setting::bigint <= 16384
      AND pg_database_size(current_database()) > setting::bigint * 8192
   OR name = 'idle_in_transaction_session_timeout' AND setting = '0'
   OR name = 'max_wal_size' AND requested > timed AND requested >= 100
   OR name = 'plan_cache_mode' AND setting <> 'auto' AND source <> 'session'
ORDER BY name
LIMIT 51",
    limits: |_| Vec::new(),
    finding: |row| {
        let (name, advice): (&str, &str) = (row.get("name"), row.get("advice"));
        let advice = ADVICE
            .iter()
            .find(|it| it.name == advice)
            .unwrap_or(&PLANNER);
        let (setting, unit): (&str, &str) = (row.get("setting"), row.get("unit"));
        Finding::new("setting", advice.severity, name)
            .seen(format!(
                "`{name}` is {}{unit}, by {}",
                shown(name, setting),
                row.get::<_, &str>("source")
            ))
            .why(advice.why)
            .action(advice.action)
            .sql(advice.sql.map(str::to_owned))
    },
};

/// A setting's value; of one that only waits for a restart it may be a secret.
fn shown<'a>(name: &str, setting: &'a str) -> &'a str {
    let is_known = name.starts_with("enable_") || ADVICE.iter().any(|it| it.name == name);
    match is_known {
        true => setting,
        false => "changed",
    }
}
