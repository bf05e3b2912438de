//! Columns: types, and what is known of their values.

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use super::{Oid, Table};
use crate::{Error, Identifier};

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) number: i16,
    pub(crate) name: Identifier,
    /// The type under all domains, as it is written in SQL.
    pub(crate) type_name: String,
    /// The bytes of a value of fixed length.
    pub(crate) fixed_length: Option<f64>,
    /// What values are aligned to, in bytes.
    pub(crate) alignment: f64,
    /// Whether a btree can hold it, by the type's own operator class, and its values are no longer
    /// than what `ANALYZE` looks at.
    pub(crate) has_order: bool,
    /// Whether equal values are stored once (manual, "Deduplication").
    pub(crate) deduplicates: bool,
    /// Whether `LIKE 'x%'` needs an operator class of its own, as the collation is not `C`.
    pub(crate) needs_pattern_class: bool,
    /// Whether its type keeps values short: numbers, moments, `character varying(100)`.
    pub(crate) is_bounded: bool,
    /// Whether the type is `character`, `character varying` or `text`.
    pub(crate) is_text: bool,
    /// What is known of its values, if anything.
    pub(crate) values: Option<Values>,
}

/// What `ANALYZE` found.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) null_share: f64,
    /// The mean bytes of a value as it is stored in a row.
    pub(crate) width: f64,
    /// How many there are, or, where negative, how many for each row.
    distinct: f64,
    /// Between their order and that of the rows, from -1 to 1.
    correlation: f64,
}

const COLUMNS: &str = "
SELECT att.attrelid, att.attnum, att.attname::text, quote_ident(att.attname),
       format_type(base.oid, NULL), base.typlen, base.typalign::text,
       class.oid IS NOT NULL AND NOT (base.typlen = -1 AND stats.too_wide IS TRUE),
       -- Newer servers say that equal values of `character(n)` may look different.
       coalesce(image.found AND btequalimage(class.opcintype)
                AND (att.attcollation = 0 OR col.collisdeterministic), false),
       base.typcategory = 'S'
         AND NOT (coalesce(col.collcollate, '') IN ('C', 'POSIX')
                  OR (col.collprovider = 'd' AND db.datcollate IN ('C', 'POSIX'))),
       base.typcategory = 'S',
       stats.null_frac, stats.avg_width, stats.n_distinct,
       coalesce(stats.correlation, 0),
       base.typlen > 0 OR base.typcategory IN ('N', 'B', 'D', 'T', 'I', 'E')
         OR base.typname IN ('bpchar', 'varchar')
            AND coalesce(nullif(att.atttypmod, -1), typ.typtypmod) BETWEEN 5 AND 504
FROM pg_attribute att
JOIN pg_class rel ON rel.oid = att.attrelid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
JOIN pg_type typ ON typ.oid = att.atttypid
JOIN pg_type base ON base.oid = coalesce(nullif(typ.typbasetype, 0), typ.oid)
JOIN pg_database db ON db.datname = current_database()
LEFT JOIN pg_collation col ON col.oid = att.attcollation
LEFT JOIN LATERAL (
    SELECT opc.oid, opc.opcfamily, opc.opcintype
    FROM pg_opclass opc
    JOIN pg_am am ON am.oid = opc.opcmethod AND am.amname = 'btree'
    WHERE opc.opcdefault AND (
        opc.opcintype = base.oid
        OR (opc.opcintype = 'anyarray'::regtype AND base.typcategory = 'A')
        OR (opc.opcintype = 'anyenum'::regtype AND base.typtype = 'e')
        OR (opc.opcintype = 'anyrange'::regtype AND base.typtype = 'r')
        OR EXISTS (
            SELECT FROM pg_cast
            WHERE castsource = base.oid AND casttarget = opc.opcintype
              AND castmethod = 'b' AND castcontext = 'i'))
    ORDER BY opc.opcintype = base.oid DESC, opc.oid
    LIMIT 1
) class ON true
LEFT JOIN LATERAL (
    SELECT true AS found
    FROM pg_amproc
    WHERE amprocfamily = class.opcfamily AND amproclefttype = class.opcintype AND amprocnum = 4
    LIMIT 1
) image ON true
LEFT JOIN LATERAL (
    -- ANALYZE takes values of more than a kilobyte for distinct and lists none of them, and it
    -- counts one that is stored out of line as short (`analyze.c`, WIDTH_THRESHOLD). A btree
    -- refuses values of more than 2,704 bytes.
    SELECT null_frac, avg_width, n_distinct, correlation,
           n_distinct < 0 AND most_common_vals IS NULL AND histogram_bounds IS NULL AS too_wide
    FROM pg_stats
    WHERE schemaname = nsp.nspname AND tablename = rel.relname
      AND attname = att.attname AND inherited = (rel.relkind = 'p')
) stats ON true
WHERE att.attrelid = ANY($1) AND att.attnum > 0 AND NOT att.attisdropped
ORDER BY att.attrelid, att.attnum";

pub(super) async fn read(
    queries: &impl Queries,
    oids: &[Oid],
    tables: &mut BTreeMap<Oid, Table>,
) -> Result<(), Error> {
    let rows = queries
        .query(COLUMNS, &[&oids])
        .await
        .map_err(Error::reading("the columns of the tables"))?;
    for row in rows {
        let length: i16 = row.get(5);
        let null_share: Option<f32> = row.get(11);
        let column = Column {
            number: row.get(1),
            name: Identifier::new(row.get::<_, String>(2), row.get::<_, String>(3)),
            type_name: row.get(4),
            fixed_length: (length > 0).then(|| f64::from(length)),
            alignment: alignment(row.get(6)),
            has_order: row.get(7),
            deduplicates: row.get(8),
            needs_pattern_class: row.get(9),
            is_text: row.get(10),
            is_bounded: row.get(15),
            values: null_share.map(|null_share| Values {
                null_share: f64::from(null_share),
                width: f64::from(row.get::<_, i32>(12)),
                distinct: f64::from(row.get::<_, f32>(13)),
                correlation: f64::from(row.get::<_, f32>(14)),
            }),
        };
        if let Some(table) = tables.get_mut(&row.get(0)) {
            table.columns.push(column);
        }
    }
    Ok(())
}

/// `typalign` in bytes.
fn alignment(letter: &str) -> f64 {
    match letter {
        "c" => 1.0,
        "s" => 2.0,
        "i" => 4.0,
        _ => 8.0,
    }
}

/// The bytes of a value of which nothing is known.
const UNKNOWN_WIDTH: f64 = 32.0;

impl Column {
    /// The mean bytes of a value.
    pub(crate) fn width(&self) -> f64 {
        let known = self.values.as_ref().map(|it| it.width);
        self.fixed_length.or(known).unwrap_or(UNKNOWN_WIDTH)
    }

    /// How many different values there are among so many rows.
    pub(crate) fn distinct(&self, rows: f64) -> f64 {
        let distinct = match &self.values {
            Some(it) if it.distinct < 0.0 => -it.distinct * rows,
            Some(it) if it.distinct > 0.0 => it.distinct,
            // What the planner takes where nothing is known.
            _ => rows.min(200.0),
        };
        distinct.clamp(1.0, rows.max(1.0))
    }

    /// Between the order of the values and that of the rows; 0 where it is not known.
    pub(crate) fn correlation(&self) -> f64 {
        self.values.as_ref().map_or(0.0, |it| it.correlation)
    }

    pub(crate) fn null_share(&self) -> f64 {
        self.values.as_ref().map_or(0.0, |it| it.null_share)
    }
}

#[cfg(test)]
impl Column {
    /// A column with so many values of four bytes: an `integer`, or a `text` where it says so.
    pub(crate) fn example(number: i16, name: &str, is_text: bool, distinct: f64) -> Column {
        Column {
            number,
            name: Identifier::new(name, name),
            type_name: if is_text { "text" } else { "integer" }.to_owned(),
            fixed_length: (!is_text).then_some(4.0),
            alignment: 4.0,
            has_order: true,
            deduplicates: true,
            needs_pattern_class: is_text,
            is_text,
            is_bounded: !is_text,
            values: Some(Values {
                null_share: 0.0,
                width: 4.0,
                distinct,
                correlation: 0.0,
            }),
        }
    }
}
