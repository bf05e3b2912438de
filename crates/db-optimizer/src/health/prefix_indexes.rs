//! Indexes with whose keys another one begins.

use super::droppable::{drop_columns, index_list};

/// The other may hold more keys, or the same and more beside them. Only a btree finds by its
/// leading keys.
pub(super) const SQL: &str = concat!(
    "WITH ",
    index_list!(),
    "
SELECT ",
    drop_columns!(),
    ", wider.name AS keeper
FROM idx
CROSS JOIN LATERAL (
    SELECT other.name
    FROM idx other
    WHERE other.indrelid = idx.indrelid AND other.indexrelid <> idx.indexrelid
      AND other.indisvalid AND other.method = 'btree'
      AND other.keys[1:cardinality(idx.keys)] = idx.keys
      AND other.predicate = idx.predicate
      AND idx.included <@ (other.included || ARRAY(
          SELECT 'column ' || attnum FROM unnest(other.columns) attnum))
      AND (cardinality(other.keys) > cardinality(idx.keys)
           OR cardinality(other.included) > cardinality(idx.included))
    ORDER BY other.is_protected DESC, other.bytes, other.indexrelid
    LIMIT 1
) wider
WHERE NOT idx.is_protected AND NOT idx.indisunique AND idx.indisvalid AND idx.method = 'btree'
ORDER BY idx.bytes DESC, idx.name
LIMIT 51"
);
