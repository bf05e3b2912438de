//! Tables: sizes, rows, writes.

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use super::{Catalogue, Column, ExistingIndex, Oid};
use crate::{Error, Identifier, QualifiedName};

/// A table, a partitioned table with all its partitions, or a materialized view.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) oid: Oid,
    pub(crate) name: QualifiedName,
    pub(crate) is_partitioned: bool,
    /// As the planner believes.
    pub(crate) rows: f64,
    pub(crate) pages: f64,
    /// Pages of which an index alone can answer, without reading them.
    pub(crate) visible_pages: f64,
    /// Whether some of its values are so long that they are stored elsewhere (manual, "TOAST").
    pub(crate) has_long_values: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) indexes: Vec<ExistingIndex>,
}

const TABLES: &str = "
WITH named AS (
    SELECT DISTINCT n.nspname::text AS schema, c.relname::text AS name,
           coalesce(pg_partition_root(c.oid), c.oid)::oid AS root
    FROM unnest($1::text[], $2::text[]) asked (schema, name)
    JOIN pg_namespace n ON n.nspname = asked.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = asked.name
    WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema')
)
SELECT named.schema, named.name, root.oid,
       n.nspname::text, quote_ident(n.nspname), root.relname::text, quote_ident(root.relname),
       root.relkind = 'p', part.rows, part.pages, part.visible, part.toast > 0
FROM named
JOIN pg_class root ON root.oid = named.root
JOIN pg_namespace n ON n.oid = root.relnamespace
CROSS JOIN LATERAL (
    SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::float8 AS rows,
           coalesce(sum(leaf.relpages), 0)::float8 AS pages,
           coalesce(sum(leaf.relallvisible), 0)::float8 AS visible,
           coalesce(sum(pg_relation_size(nullif(leaf.reltoastrelid, 0))), 0) AS toast
    FROM (SELECT tree.relid::oid AS oid FROM pg_partition_tree(root.oid) tree WHERE tree.isleaf
          UNION SELECT root.oid) leaf_oid
    JOIN pg_class leaf ON leaf.oid = leaf_oid.oid AND leaf.relkind IN ('r', 'm')
) part
WHERE NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = root.oid AND d.deptype = 'e'
)
ORDER BY root.oid";

pub(super) async fn read(
    queries: &impl Queries,
    schemas: &[String],
    names: &[String],
) -> Result<Catalogue, Error> {
    let rows = queries
        .query(TABLES, &[&schemas, &names])
        .await
        .map_err(Error::reading("the tables of the statements"))?;
    let mut catalogue = Catalogue::default();
    for row in rows {
        let oid: Oid = row.get(2);
        catalogue.by_name.insert((row.get(0), row.get(1)), oid);
        let tables: &mut BTreeMap<Oid, Table> = &mut catalogue.tables;
        tables.entry(oid).or_insert_with(|| Table {
            oid,
            name: QualifiedName {
                schema: Identifier::new(row.get::<_, String>(3), row.get::<_, String>(4)),
                table: Identifier::new(row.get::<_, String>(5), row.get::<_, String>(6)),
            },
            is_partitioned: row.get(7),
            rows: row.get(8),
            pages: row.get(9),
            visible_pages: row.get(10),
            has_long_values: row.get(11),
            columns: Vec::new(),
            indexes: Vec::new(),
        });
    }
    Ok(catalogue)
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|it| it.name.name() == name)
    }

    /// The part of the table that an index alone can answer for.
    pub(crate) fn visible_share(&self) -> f64 {
        if self.pages > 0.0 {
            (self.visible_pages / self.pages).min(1.0)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
impl Table {
    /// `public.t` with a hundred thousand rows: numbers `a` and `b` of many values, `s` of four, a
    /// text `x`, and a wide text `w`.
    pub(crate) fn example() -> Table {
        let mut wide = Column::example(5, "w", true, -1.0);
        if let Some(values) = &mut wide.values {
            values.width = 200.0;
        }
        Table {
            oid: 1,
            name: QualifiedName {
                schema: Identifier::new("public", "public"),
                table: Identifier::new("t", "t"),
            },
            is_partitioned: false,
            rows: 100_000.0,
            pages: 3_000.0,
            visible_pages: 3_000.0,
            has_long_values: false,
            columns: vec![
                Column::example(1, "a", false, -0.1),
                Column::example(2, "b", false, -1.0),
                Column::example(3, "s", false, 4.0),
                Column::example(4, "x", true, -1.0),
                wide,
            ],
            indexes: Vec::new(),
        }
    }
}
