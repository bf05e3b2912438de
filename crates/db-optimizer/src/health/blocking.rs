//! Who waits for whose lock.

use super::check::{Check, number};
use crate::{Finding, Severity, quantity::Seconds};

pub(super) const CHECK: Check = Check {
    code: "blocking",
    what: "who waits for whom",
    // Whoever waits for nobody's session waits for a prepared transaction, whose process is 0. The
    // time since when a lock is waited for came with 14.
    sql: "
WITH waiting AS (
    SELECT lck.pid,
           CASE WHEN rel.oid IS NOT NULL
                THEN format('%I.%I', nsp.nspname, rel.relname) END AS relation,
           extract(epoch FROM clock_timestamp() - coalesce(
               (to_jsonb(lck) ->> 'waitstart')::timestamptz, act.query_start))::float8 AS wait_s
    FROM pg_locks lck
    JOIN pg_stat_activity act ON act.pid = lck.pid
    LEFT JOIN pg_class rel ON rel.oid = lck.relation
    LEFT JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
    WHERE NOT lck.granted AND act.datname = current_database()
)
SELECT blocker.pid, count(*) AS waiters, max(waiting.wait_s) AS wait_s,
       (array_agg(waiting.pid ORDER BY waiting.wait_s DESC))[1:10] AS pids,
       (array_agg(DISTINCT waiting.relation)
            FILTER (WHERE waiting.relation IS NOT NULL))[1:10] AS relations,
       min(act.state) AS state,
       extract(epoch FROM clock_timestamp() - min(act.xact_start))::float8 AS open_s
FROM waiting
CROSS JOIN LATERAL (SELECT DISTINCT pid FROM unnest(pg_blocking_pids(waiting.pid)) pid) blocker
LEFT JOIN pg_stat_activity act ON act.pid = blocker.pid
GROUP BY blocker.pid
HAVING coalesce(max(waiting.wait_s), $1::float8) >= $1::float8
ORDER BY max(waiting.wait_s) DESC NULLS LAST, blocker.pid
LIMIT 51",
    limits: |limits| vec![limits.lock_wait.as_secs_f64()],
    finding: |row| {
        let pid: i32 = row.get("pid");
        let (waiters, wait) = (number(row, "waiters"), number(row, "wait_s"));
        let pids: Vec<i32> = row.get("pids");
        let relations: Option<Vec<String>> = row.get("relations");
        let severity = match wait >= 60.0 {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        let on = relations.map(|it| format!(" on {}", it.join(", ")));
        let state: Option<&str> = row.get("state");
        Finding::new("blocking", severity, blocker(pid))
            .seen(format!(
                "{waiters} sessions wait for it{}, the longest for {}: {pids:?}; it is {}, in a \
                 transaction that is open for {}",
                on.unwrap_or_default(),
                Seconds(wait),
                state.unwrap_or("in a state that is not seen"),
                Seconds(number(row, "open_s")),
            ))
            .number("process", pid.into())
            .number("waiting_sessions", waiters)
            .number("wait_seconds", wait)
            .why("who waits for a lock holds its own meanwhile, and all who come after it wait, too")
            .action(match pid {
                0 => "commit or roll back the prepared transaction that holds the lock: see pg_prepared_xacts",
                _ => {
                    "find out what it waits for itself; shorten its transaction; if nobody needs it any \
                     more, end the session; set `lock_timeout` where a schema is changed"
                }
            })
            .sql((pid != 0).then(|| format!("SELECT pg_terminate_backend({pid})")))
    },
};

fn blocker(pid: i32) -> String {
    match pid {
        0 => "a prepared transaction".to_owned(),
        _ => format!("process {pid}"),
    }
}
