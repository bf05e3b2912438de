//! The foreign keys that no index serves, read from the catalogue.
//!
//! An index serves a key if its leading columns are the key's, in any order, because the check of
//! a deleted row compares all of them for equality. It must be valid, hold every row, and be able
//! to compare: a btree with the columns' own collations, or a hash index on a single column.
//!
//! A partition's copy of its parent's key counts as the parent's. The parent's key is served when
//! all partitions have an index, wherever each of these came from: the check reads partitions.

use ruleiq_query::Queries;

use crate::{Error, count, index_name::Taken};

/// A foreign key without an index.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) schema: String,
    pub(crate) table: String,
    /// The qualified name as it is written in SQL.
    pub(crate) quoted_table: String,
    pub(crate) constraint: String,
    /// The table that the key refers to, as it is written in SQL.
    pub(crate) references: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) is_partitioned: bool,
    pub(crate) rows_estimate: u64,
    pub(crate) table_bytes: u64,
    /// Indexes that would serve the key if they were valid, as they are written in SQL.
    pub(crate) invalid_indexes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) quoted: String,
}

const WITHOUT_INDEX: &str = r"
WITH key AS (
    SELECT con.oid, con.conname, con.conrelid, con.confrelid, rel.relkind,
           rel.relname, rel.relnamespace,
           ARRAY(
               SELECT att.attname
               FROM unnest(con.conkey) WITH ORDINALITY AS part (attnum, place)
               JOIN pg_attribute att ON att.attrelid = con.conrelid AND att.attnum = part.attnum
               ORDER BY part.place
           ) AS columns
    FROM pg_constraint con
    JOIN pg_class rel ON rel.oid = con.conrelid
    WHERE con.contype = 'f'
      AND con.conparentid = 0
      AND rel.relpersistence <> 't'
      -- An extension's tables are its author's to index.
      AND NOT EXISTS (
          SELECT FROM pg_depend dep
          WHERE dep.classid = 'pg_class'::regclass AND dep.objid = rel.oid AND dep.deptype = 'e'
      )
),
stored AS (
    SELECT key.oid AS key, key.conrelid AS relid FROM key WHERE key.relkind = 'r'
    UNION ALL
    SELECT key.oid, part.relid
    FROM key, pg_partition_tree(key.conrelid) part
    WHERE key.relkind = 'p' AND part.isleaf
),
found AS (
    SELECT stored.key,
           -- The size itself waits for whoever has locked the table, a migration for instance, and
           -- is null for one that is being dropped. It is asked for only where nothing has counted
           -- the pages and rows yet.
           CASE WHEN rel.reltuples >= 0
                THEN rel.relpages * current_setting('block_size')::bigint
                ELSE coalesce(pg_relation_size(stored.relid), 0) END AS bytes,
           CASE WHEN rel.reltuples >= 0 THEN rel.reltuples
                ELSE coalesce(pg_stat_get_live_tuples(stored.relid), 0) END AS row_count,
           serving.is_valid, serving.invalid
    FROM stored
    JOIN key ON key.oid = stored.key
    JOIN pg_class rel ON rel.oid = stored.relid
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(idx.indisvalid), false) AS is_valid,
               string_agg(quote_ident(idx_rel.relname), ', ' ORDER BY idx_rel.relname)
                   FILTER (WHERE NOT idx.indisvalid) AS invalid
        FROM pg_index idx
        JOIN pg_class idx_rel ON idx_rel.oid = idx.indexrelid
        JOIN pg_am am ON am.oid = idx_rel.relam
        WHERE idx.indrelid = stored.relid
          AND idx.indpred IS NULL
          AND (am.amname = 'btree' OR am.amname = 'hash' AND cardinality(key.columns) = 1)
          AND idx.indnkeyatts >= cardinality(key.columns)
          AND (
              SELECT array_agg(att.attname ORDER BY att.attname)
              FROM generate_series(0, cardinality(key.columns) - 1) place
              JOIN pg_attribute att
                  ON att.attrelid = idx.indrelid AND att.attnum = idx.indkey[place]
              WHERE idx.indcollation[place] = att.attcollation
          ) = (SELECT array_agg(name ORDER BY name) FROM unnest(key.columns) name)
    ) serving
)
SELECT nsp.nspname::text, key.relname::text,
       format('%I.%I', nsp.nspname, key.relname),
       key.conname::text,
       (SELECT format('%I.%I', ref_nsp.nspname, ref.relname)
        FROM pg_class ref JOIN pg_namespace ref_nsp ON ref_nsp.oid = ref.relnamespace
        WHERE ref.oid = key.confrelid),
       key.columns::text[],
       ARRAY(SELECT quote_ident(name) FROM unnest(key.columns) WITH ORDINALITY AS part (name, place)
             ORDER BY place),
       key.relkind = 'p',
       sum(found.row_count)::float8, sum(found.bytes)::bigint,
       coalesce(array_agg(found.invalid) FILTER (WHERE found.invalid IS NOT NULL), '{}')
FROM found
JOIN key ON key.oid = found.key
JOIN pg_namespace nsp ON nsp.oid = key.relnamespace
GROUP BY nsp.nspname, key.oid, key.relname, key.conname, key.confrelid, key.columns, key.relkind
HAVING NOT bool_and(found.is_valid) AND sum(found.bytes) >= $1::bigint
ORDER BY sum(found.bytes) DESC, nsp.nspname, key.relname, key.conname";

/// The foreign keys of tables of at least so many bytes that no index serves, those of the largest
/// tables first.
pub(crate) async fn without_index(
    queries: &impl Queries,
    min_table_bytes: u64,
) -> Result<Vec<Missing>, Error> {
    let min_bytes = i64::try_from(min_table_bytes).unwrap_or(i64::MAX);
    let rows = queries
        .query(WITHOUT_INDEX, &[&min_bytes])
        .await
        .map_err(Error::reading("the foreign keys from the catalogue"))?;
    let missing = rows.iter().map(|row| {
        let names: Vec<String> = row.get(5);
        let quoted: Vec<String> = row.get(6);
        let columns = names.into_iter().zip(quoted);
        Missing {
            schema: row.get(0),
            table: row.get(1),
            quoted_table: row.get(2),
            constraint: row.get(3),
            references: row.get(4),
            columns: columns
                .map(|(name, quoted)| Column { name, quoted })
                .collect(),
            is_partitioned: row.get(7),
            rows_estimate: count::of_estimate(row.get(8)),
            table_bytes: count::of(row.get(9)),
            invalid_indexes: row.get(10),
        }
    });
    Ok(missing.collect())
}

/// The names in the keys' schemas that an index of ours could clash with.
pub(crate) async fn taken_names(
    queries: &impl Queries,
    missing: &[Missing],
) -> Result<Taken, Error> {
    let schemas: Vec<&str> = missing.iter().map(|it| it.schema.as_str()).collect();
    Taken::read(queries, &schemas).await
}
