//! Indexes that hold what another one does.

use super::droppable::{drop_columns, index_list};

/// Of those that hold the same, one stays: a constraint's first, then a unique one, then the one that
/// is used most. A unique index is a rule, and only another with the same rule takes its place.
pub(super) const SQL: &str = concat!(
    "WITH ",
    index_list!(),
    "
SELECT ",
    drop_columns!(),
    ", keeper.name AS keeper
FROM idx
CROSS JOIN LATERAL (
    SELECT other.name
    FROM idx other
    WHERE other.indrelid = idx.indrelid AND other.indexrelid <> idx.indexrelid
      AND other.indisvalid AND other.relam = idx.relam AND other.keys = idx.keys
      AND other.included = idx.included AND other.predicate = idx.predicate
      AND (NOT idx.indisunique OR other.indisunique AND other.nulls_equal = idx.nulls_equal)
      AND (other.is_protected, other.indisunique, other.scans, -other.indexrelid::bigint)
          > (idx.is_protected, idx.indisunique, idx.scans, -idx.indexrelid::bigint)
    ORDER BY other.is_protected DESC, other.indisunique DESC, other.scans DESC, other.indexrelid
    LIMIT 1
) keeper
WHERE NOT idx.is_protected AND idx.indisvalid
ORDER BY idx.bytes DESC, idx.name
LIMIT 51"
);
