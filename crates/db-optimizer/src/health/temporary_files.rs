//! What did not fit into memory.

use super::check::{Check, limit, number};
use crate::{
    Finding, Severity,
    quantity::{Bytes, Count},
};

pub(super) const CHECK: Check = Check {
    code: "temporary_files",
    what: "the temporary files of the database",
    sql: "
SELECT quote_ident(datname) AS subject, temp_files AS files, temp_bytes AS bytes,
       current_setting('work_mem') AS work_mem
FROM pg_stat_database
WHERE datname = current_database() AND temp_bytes > 0 AND temp_bytes >= $1::float8
LIMIT 51",
    limits: |limits| vec![limit(limits.temporary_bytes)],
    finding: |row| {
        let (files, bytes) = (number(row, "files"), number(row, "bytes"));
        Finding::new("temporary_files", Severity::Notice, row.get::<_, &str>("subject"))
            .seen(format!(
                "{} in {} files were written; `work_mem` is {}",
                Bytes(bytes),
                Count(files),
                row.get::<_, &str>("work_mem"),
            ))
            .number("files", files)
            .number("bytes", bytes)
            .why("sorts, joins and aggregates that do not fit in `work_mem` go through the disk")
            .action(
                "find the statements (`log_temp_files`, or the slow statements' plans) and give their role \
                 more `work_mem`, or them an index in the order they need",
            )
    },
};
