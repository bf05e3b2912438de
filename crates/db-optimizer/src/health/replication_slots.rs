//! Replication slots that keep log for nobody, or have lost what they kept.

use super::check::{Check, limit, number};
use crate::{Finding, Severity, quantity::Bytes};

pub(super) const CHECK: Check = Check {
    code: "replication_slot",
    what: "the replication slots",
    sql: "
WITH slot AS (
    SELECT slot_name::text AS name, quote_literal(slot_name) AS literal, active,
           coalesce(wal_status, '') AS wal_status,
           pg_wal_lsn_diff(
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                    ELSE pg_current_wal_lsn() END, restart_lsn)::float8 AS bytes
    FROM pg_replication_slots
)
SELECT * FROM slot
WHERE wal_status IN ('unreserved', 'lost') OR NOT active AND bytes >= $1::float8
ORDER BY wal_status = 'lost' DESC, bytes DESC NULLS LAST, name
LIMIT 51",
    limits: |limits| vec![limit(limits.slot_bytes)],
    finding: |row| {
        let (bytes, is_active): (f64, bool) = (number(row, "bytes"), row.get("active"));
        let (name, status): (&str, &str) = (row.get("name"), row.get("wal_status"));
        let severity = match status {
            "unreserved" | "lost" => Severity::Critical,
            _ => Severity::Warning,
        };
        Finding::new("replication_slot", severity, format!("slot {name:?}"))
            .seen(format!(
                "{}, keeps {} of log, whose state is {status:?}",
                if is_active { "in use" } else { "used by nobody" },
                Bytes(bytes),
            ))
            .number("kept_bytes", bytes)
            .why(match severity {
                Severity::Critical => "its reader will miss changes and has to be made anew",
                _ => "log and dead rows are kept until its reader comes back; the disk may fill",
            })
            .action("bring its reader back, or drop the slot; bound what slots keep by `max_slot_wal_keep_size`")
            .sql((!is_active).then(|| {
                format!("SELECT pg_drop_replication_slot({})", row.get::<_, &str>("literal"))
            }))
    },
};
