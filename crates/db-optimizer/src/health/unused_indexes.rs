//! Indexes that nothing has used for long.
//!
//! Those that serve a foreign key, if by their first column alone, stay: the key's checks may come as rarely
//! as a parent is deleted, and then read the whole table.

use super::droppable::{drop_columns, index_list};

/// Parameters: seconds without use, bytes of an index.
///
/// A server that was never asked to reset its statistics does not say since when it counts; it has
/// counted at least since it was started.
pub(super) const SQL: &str = concat!(
    "WITH ",
    index_list!(),
    ",
counted AS (
    SELECT clock_timestamp() - coalesce(stats_reset, pg_postmaster_start_time())
           >= $1::float8 * interval '1 s' AS is_long
    FROM pg_stat_database WHERE datname = current_database()
)
SELECT ",
    drop_columns!(),
    "
FROM idx, counted
WHERE counted.is_long
  AND NOT idx.is_protected AND NOT idx.indisunique AND idx.indisvalid
  AND idx.bytes >= $2::float8
  AND (idx.scans = 0 OR clock_timestamp() - idx.last_used >= $1::float8 * interval '1 s')
  AND NOT EXISTS (
      SELECT FROM pg_constraint con
      WHERE con.contype = 'f' AND con.conrelid = idx.indrelid
        AND idx.columns[1] = ANY (con.conkey))
ORDER BY idx.bytes DESC, idx.name
LIMIT 51"
);
