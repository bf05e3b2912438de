//! Indexes that no statement may use.

use super::{
    check::{Check, number, of_users},
    droppable::{drop_columns, index_list},
};
use crate::{Finding, Severity, quantity::Bytes};

/// One that is being built is invalid, too. A role that may not see what is built sees that something is,
/// and then all are left out that could be it.
macro_rules! not_being_built {
    ($table:literal) => {
        concat!(
            "NOT EXISTS (
      SELECT FROM pg_stat_progress_create_index progress
      WHERE progress.datname = current_database()
        AND (progress.relid IS NULL OR progress.relid = ",
            $table,
            "))"
        )
    };
}

/// Those that may be dropped. A partitioned one wants its missing parts, and a standby does not see what its
/// primary is building.
pub(super) const DROPPABLE: &str = concat!(
    "WITH ",
    index_list!(),
    "
SELECT ",
    drop_columns!(),
    "
FROM idx
WHERE NOT idx.indisvalid AND NOT idx.is_protected AND idx.relkind = 'i'
  AND NOT pg_is_in_recovery()
  AND ",
    not_being_built!("idx.indrelid"),
    "
ORDER BY idx.bytes DESC, idx.name
LIMIT 51"
);

pub(super) const CHECK: Check = Check {
    code: "invalid_index",
    what: "the invalid indexes",
    sql: concat!(
        "
SELECT format('%I.%I', nsp.nspname, rel.relname) AS subject,
       format('%I.%I', tab_nsp.nspname, tab.relname) AS table_name,
       idx.indisready AS is_written, rel.relkind = 'I' AS is_partitioned,
       rel.relname ~ '_ccnew[0-9]*$' OR rel.relname ~ '_ccold[0-9]*$' AS is_left_by_reindex,
       rel.relpages::bigint * current_setting('block_size')::bigint AS bytes
FROM pg_index idx
JOIN pg_class rel ON rel.oid = idx.indexrelid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
JOIN pg_class tab ON tab.oid = idx.indrelid
JOIN pg_namespace tab_nsp ON tab_nsp.oid = tab.relnamespace
WHERE NOT idx.indisvalid
  AND ",
        not_being_built!("idx.indrelid"),
        "
  AND ",
        of_users!("rel", "nsp"),
        "
ORDER BY idx.indisready DESC, rel.relpages DESC, 1
LIMIT 51"
    ),
    limits: |_| Vec::new(),
    finding: |row| {
        let (subject, table): (&str, &str) = (row.get("subject"), row.get("table_name"));
        let (is_written, is_partitioned): (bool, bool) =
            (row.get("is_written"), row.get("is_partitioned"));
        let is_left_by_reindex: bool = row.get("is_left_by_reindex");
        let found = Finding::new("invalid_index", Severity::Warning, subject)
            .number("bytes", number(row, "bytes"));
        if is_partitioned {
            return found
                .seen(format!("an index of {table} that not all partitions have"))
                .why("only the partitions that have it can be searched by it")
                .action(
                    "make the index on each partition that lacks it and attach it: `ALTER INDEX … ATTACH PARTITION …`",
                );
        }
        found
            .seen(format!(
                "an index of {table} that was not built to its end, {}{}",
                Bytes(number(row, "bytes")),
                if is_written {
                    ", and is written to"
                } else {
                    ""
                },
            ))
            .why(match is_written {
                true => "no statement uses it, and every write to the table pays for it",
                false => "no statement uses it, and its name is taken",
            })
            .action(match is_left_by_reindex {
                true => "drop it: REINDEX CONCURRENTLY has left it",
                false => "build it again, or drop it",
            })
            .sql(match is_left_by_reindex {
                true => format!("DROP INDEX CONCURRENTLY {subject}"),
                false => format!("REINDEX INDEX CONCURRENTLY {subject}"),
            })
    },
};
