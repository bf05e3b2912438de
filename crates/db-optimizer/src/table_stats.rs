//! What PostgreSQL has counted about one table.

use ruleiq_query::Queries;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::Row;

use crate::{Error, count, table_name::TableName};

/// The counts of a table since the server's statistics were last reset. Those of a partitioned
/// table are the sums over its partitions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TableStats {
    /// The table with its schema, as it is written in SQL.
    pub table: String,
    /// How many partitions with rows of their own it has; `None` where it is not partitioned.
    pub partitions: Option<u64>,
    /// How many rows the planner believes there are, as of the last vacuum or analyze.
    pub rows_estimate: u64,
    /// How many rows the statistics count.
    pub live_rows: u64,
    /// How many rows are dead and not yet vacuumed.
    pub dead_rows: u64,
    /// How often the whole table was read.
    pub sequential_scans: u64,
    /// How many rows that gave.
    pub sequential_rows_read: u64,
    /// How often an index was used.
    pub index_scans: u64,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Rows updated.
    pub rows_updated: u64,
    /// Rows updated without an entry in any index.
    pub rows_hot_updated: u64,
    /// Rows deleted.
    pub rows_deleted: u64,
    /// The bytes of the rows, without what is stored out of line.
    pub table_bytes: u64,
    /// The bytes of all indexes.
    pub index_bytes: u64,
    /// All of it, values stored out of line included.
    pub total_bytes: u64,
    /// When it was last vacuumed, by whomever; of partitions the latest.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_vacuum: Option<OffsetDateTime>,
    /// When it was last analyzed, by whomever; of partitions the latest.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_analyze: Option<OffsetDateTime>,
    /// Its indexes, by name.
    pub indexes: Vec<IndexStats>,
}

/// An index of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IndexStats {
    /// The name, as it is written in SQL.
    pub name: String,
    /// The statement that makes it.
    pub definition: String,
    /// Its bytes.
    pub bytes: u64,
    /// How often it was used.
    pub scans: u64,
    /// Whether it holds each key once.
    pub is_unique: bool,
    /// Whether it is the primary key's.
    pub is_primary: bool,
    /// Whether queries may use it: not while it is being built, nor after that failed.
    pub is_valid: bool,
}

// The functions and not the views over them: those would count every table to find one.
const TABLE: &str = "
SELECT rel.oid, format('%I.%I', nsp.nspname, rel.relname), rel.relkind = 'p', stats.*
FROM pg_class rel
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
CROSS JOIN LATERAL (
    SELECT count(part.oid),
           coalesce(sum(greatest(part.reltuples, 0)), 0)::float8,
           coalesce(sum(pg_stat_get_live_tuples(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_dead_tuples(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_numscans(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_tuples_returned(part.oid)), 0)::bigint,
           coalesce(sum((
               SELECT sum(pg_stat_get_numscans(idx.indexrelid))
               FROM pg_index idx WHERE idx.indrelid = part.oid
           )), 0)::bigint,
           coalesce(sum(pg_stat_get_tuples_inserted(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_tuples_updated(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_tuples_hot_updated(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_tuples_deleted(part.oid)), 0)::bigint,
           coalesce(sum(pg_relation_size(part.oid)), 0)::bigint,
           coalesce(sum(pg_indexes_size(part.oid)), 0)::bigint,
           coalesce(sum(pg_total_relation_size(part.oid)), 0)::bigint,
           max(greatest(pg_stat_get_last_vacuum_time(part.oid),
                        pg_stat_get_last_autovacuum_time(part.oid))),
           max(greatest(pg_stat_get_last_analyze_time(part.oid),
                        pg_stat_get_last_autoanalyze_time(part.oid)))
    FROM (
        SELECT rel.oid WHERE rel.relkind <> 'p'
        UNION ALL
        SELECT relid FROM pg_partition_tree(rel.oid) WHERE rel.relkind = 'p' AND isleaf
    ) leaf
    JOIN pg_class part ON part.oid = leaf.oid AND part.relkind <> 'p'
) stats
WHERE rel.relname = $1::text
  AND rel.relkind IN ('r', 'p', 'm')
  AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(rel.oid)
      ELSE nsp.nspname = $2::text END";

const INDEXES: &str = "
SELECT quote_ident(rel.relname), pg_get_indexdef(rel.oid),
       idx.indisunique, idx.indisprimary, idx.indisvalid,
       stats.*
FROM pg_index idx
JOIN pg_class rel ON rel.oid = idx.indexrelid
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pg_relation_size(part.oid)), 0)::bigint,
           coalesce(sum(pg_stat_get_numscans(part.oid)), 0)::bigint
    FROM (
        SELECT rel.oid WHERE rel.relkind <> 'I'
        UNION ALL
        SELECT relid FROM pg_partition_tree(rel.oid) WHERE rel.relkind = 'I' AND isleaf
    ) leaf
    JOIN pg_class part ON part.oid = leaf.oid AND part.relkind <> 'I'
) stats
WHERE idx.indrelid = $1
ORDER BY rel.relname";

/// The table's counts, or `None` where there is no such table.
pub(crate) async fn read(
    queries: &impl Queries,
    name: &TableName,
) -> Result<Option<TableStats>, Error> {
    let row = queries
        .query_opt(TABLE, &[&name.table, &name.schema])
        .await
        .map_err(Error::reading("the statistics of the table"))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let oid: u32 = row.get(0);
    let indexes = queries
        .query(INDEXES, &[&oid])
        .await
        .map_err(Error::reading("the statistics of the table's indexes"))?;
    Ok(Some(TableStats::of(&row, &indexes)))
}

impl TableStats {
    fn of(row: &Row, indexes: &[Row]) -> TableStats {
        let number = |at: usize| count::of(row.get(at));
        let is_partitioned: bool = row.get(2);
        TableStats {
            table: row.get(1),
            partitions: is_partitioned.then(|| number(3)),
            rows_estimate: count::of_estimate(row.get(4)),
            live_rows: number(5),
            dead_rows: number(6),
            sequential_scans: number(7),
            sequential_rows_read: number(8),
            index_scans: number(9),
            rows_inserted: number(10),
            rows_updated: number(11),
            rows_hot_updated: number(12),
            rows_deleted: number(13),
            table_bytes: number(14),
            index_bytes: number(15),
            total_bytes: number(16),
            last_vacuum: row.get(17),
            last_analyze: row.get(18),
            indexes: indexes.iter().map(IndexStats::of).collect(),
        }
    }
}

impl IndexStats {
    fn of(row: &Row) -> IndexStats {
        IndexStats {
            name: row.get(0),
            definition: row.get(1),
            is_unique: row.get(2),
            is_primary: row.get(3),
            is_valid: row.get(4),
            bytes: count::of(row.get(5)),
            scans: count::of(row.get(6)),
        }
    }
}
