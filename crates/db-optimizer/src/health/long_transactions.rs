//! Transactions that are open for long, at work or idle.

use super::check::{Check, number};
use crate::{Finding, Severity, quantity::Seconds, statement_text};

pub(super) const CHECK: Check = Check {
    code: "long_transaction",
    what: "the open transactions",
    sql: "
SELECT pid, coalesce(usename::text, '') AS role, coalesce(application_name, '') AS application,
       left(query, 16384) AS query, state LIKE 'idle in transaction%' AS is_idle,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS open_s,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS since_s
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND backend_type = 'client backend' AND xact_start IS NOT NULL
  AND (clock_timestamp() - xact_start >= $1::float8 * interval '1 s'
       OR state LIKE 'idle in transaction%'
          AND clock_timestamp() - state_change >= $2::float8 * interval '1 s')
ORDER BY xact_start, pid
LIMIT 51",
    limits: |limits| {
        vec![
            limits.long_transaction.as_secs_f64(),
            limits.idle_in_transaction.as_secs_f64(),
        ]
    },
    finding: |row| {
        let pid: i32 = row.get("pid");
        let is_idle: bool = row.get("is_idle");
        let code = match is_idle {
            true => "idle_in_transaction",
            false => "long_transaction",
        };
        let open = number(row, "open_s");
        let doing = match is_idle {
            true => format!(", idle for {}, after", Seconds(number(row, "since_s"))),
            false => ", at".to_owned(),
        };
        let query: Option<&str> = row.get("query");
        Finding::new(code, Severity::Warning, format!("process {pid}"))
            .seen(format!(
                "role {:?}, application {:?}: open for {}{doing} `{}`",
                row.get::<_, &str>("role"),
                row.get::<_, &str>("application"),
                Seconds(open),
                query.map(statement_text::shown).unwrap_or_default(),
            ))
            .number("process", pid.into())
            .number("open_seconds", open)
            .why(
                "while it is open, no row that has died since can be vacuumed, and its locks are held",
            )
            .action(match is_idle {
                true => {
                    "let the program commit before it does other things; if nobody needs the \
                     transaction any more, end the session; `idle_in_transaction_session_timeout` \
                     does so by itself"
                }
                false => "do the work in smaller parts; if nobody needs the statement any more, cancel it",
            })
            .sql(match is_idle {
                true => format!("SELECT pg_terminate_backend({pid})"),
                false => format!("SELECT pg_cancel_backend({pid})"),
            })
    },
};
