//! The indexes that are there.

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use super::{Oid, Table};
use crate::Error;

/// An index that is there.
#[derive(Clone, Debug)]
pub(crate) struct ExistingIndex {
    pub(crate) oid: Oid,
    /// Its name as it is written in SQL, with its schema.
    pub(crate) name: String,
    pub(crate) keys: Vec<ExistingKey>,
    /// The numbers of the columns that are only stored.
    pub(crate) include: Vec<i16>,
    pub(crate) is_btree: bool,
    pub(crate) is_unique: bool,
    pub(crate) is_valid: bool,
    /// Whether a constraint, a replica's identity or clustering rests on it.
    pub(crate) is_needed: bool,
    /// Whether a foreign key of its table may look for rows by it: its first column is one of a key's.
    pub(crate) serves_foreign_key: bool,
    /// Its predicate as SQL.
    pub(crate) predicate: Option<String>,
    pub(crate) bytes: f64,
    /// The statement that makes it.
    pub(crate) definition: String,
}

/// One key of an index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ExistingKey {
    /// The column's number; 0 for an expression.
    pub(crate) column: i16,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
    /// Whether its operator class and collation are the column's own.
    pub(crate) is_default: bool,
}

const INDEXES: &str = "
SELECT idx.indrelid, format('%I.%I', nsp.nspname, rel.relname),
       idx.indkey::int2[], idx.indnkeyatts, idx.indoption::int2[],
       ARRAY(
           SELECT opc.opcdefault AND (key.coll = 0 OR att.attnum IS NULL
                                      OR key.coll = att.attcollation)
           FROM unnest(idx.indclass::oid[], idx.indcollation::oid[])
                WITH ORDINALITY AS key (class, coll, place)
           JOIN pg_opclass opc ON opc.oid = key.class
           LEFT JOIN pg_attribute att
             ON att.attrelid = idx.indrelid AND att.attnum = idx.indkey[key.place - 1]
            AND att.attnum > 0
           ORDER BY key.place
       ),
       am.amname = 'btree', idx.indisunique, idx.indisvalid AND idx.indisready,
       idx.indisreplident OR idx.indisclustered OR EXISTS (
           SELECT FROM pg_constraint con WHERE con.conindid = idx.indexrelid
       ),
       pg_get_expr(idx.indpred, idx.indrelid), pg_relation_size(idx.indexrelid)::float8,
       pg_get_indexdef(idx.indexrelid), idx.indexrelid,
       EXISTS (
           SELECT FROM pg_constraint con
           WHERE con.contype = 'f' AND con.conrelid = idx.indrelid
             AND idx.indkey[0] = ANY (con.conkey)
       )
FROM pg_index idx
JOIN pg_class rel ON rel.oid = idx.indexrelid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
JOIN pg_am am ON am.oid = rel.relam
WHERE idx.indrelid = ANY($1)
ORDER BY idx.indrelid, idx.indexrelid";

/// Bits of `pg_index.indoption`.
const DESCENDING: i16 = 1;
const NULLS_FIRST: i16 = 2;

pub(super) async fn read(
    queries: &impl Queries,
    oids: &[Oid],
    tables: &mut BTreeMap<Oid, Table>,
) -> Result<(), Error> {
    let rows = queries
        .query(INDEXES, &[&oids])
        .await
        .map_err(Error::reading("the indexes of the tables"))?;
    for row in rows {
        let mut columns: Vec<i16> = row.get(2);
        let key_count = usize::try_from(row.get::<_, i16>(3)).unwrap_or(0);
        let include = columns.split_off(key_count.min(columns.len()));
        let (options, defaults): (Vec<i16>, Vec<bool>) = (row.get(4), row.get(5));
        let keys = columns.iter().enumerate().map(|(at, &column)| ExistingKey {
            column,
            descending: options.get(at).is_some_and(|it| it & DESCENDING != 0),
            nulls_first: options.get(at).is_some_and(|it| it & NULLS_FIRST != 0),
            is_default: defaults.get(at).copied().unwrap_or(false),
        });
        let index = ExistingIndex {
            name: row.get(1),
            keys: keys.collect(),
            include,
            is_btree: row.get(6),
            is_unique: row.get(7),
            is_valid: row.get(8),
            is_needed: row.get(9),
            predicate: row.get(10),
            bytes: row.get(11),
            definition: row.get(12),
            oid: row.get(13),
            serves_foreign_key: row.get(14),
        };
        if let Some(table) = tables.get_mut(&row.get(0)) {
            table.indexes.push(index);
        }
    }
    Ok(())
}
