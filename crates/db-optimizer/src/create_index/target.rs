//! The table that an index is wanted on, with its partitions.

use ruleiq_query::Queries;
use tokio_postgres::{Row, types::ToSql};

use super::{Obstacle, session::Session};
use crate::{
    ChangeError, Identifier, IndexDefinition, Key, QualifiedName, count,
    table_name::{self, TableName},
};

/// A table, and its partitions with theirs.
#[derive(Debug)]
pub(crate) struct Target {
    /// The table first, and every table before its partitions.
    pub(crate) tables: Vec<Table>,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    pub(crate) parent: Option<u32>,
    pub(crate) name: QualifiedName,
    kind: Kind,
    owner: String,
    may_index: bool,
    /// The upper estimate of an index on the columns asked for.
    pub(crate) estimated_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Stored,
    Partitioned,
    Foreign,
    Other,
}

const TABLES: &str = "
WITH RECURSIVE tree AS (
    SELECT rel.oid, NULL::oid AS parent, 0 AS level
    FROM pg_class rel JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
    WHERE nsp.nspname = $1::text AND rel.relname = $2::text AND rel.relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT inh.inhrelid, inh.inhparent, tree.level + 1
    FROM tree
    JOIN pg_class up ON up.oid = tree.oid AND up.relkind = 'p'
    JOIN pg_inherits inh ON inh.inhparent = tree.oid
)
SELECT tree.oid, tree.parent,
       nsp.nspname::text, quote_ident(nsp.nspname), rel.relname::text, quote_ident(rel.relname),
       rel.relkind::text, quote_ident(pg_get_userbyid(rel.relowner)),
       pg_has_role(rel.relowner, 'USAGE') AND has_schema_privilege(nsp.oid, 'CREATE'),
       -- Each entry has a header and a pointer of 12 bytes in all, its columns at full width, and
       -- pages are filled to nine tenths. Equal keys, which are stored once, are not counted off.
       CASE WHEN rel.relkind <> 'p' AND rel.reltuples >= 0
            THEN (rel.reltuples * (12 + wide.bytes) / 0.9 + 16384)::float8 END
FROM tree
JOIN pg_class rel ON rel.oid = tree.oid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
CROSS JOIN LATERAL (
    SELECT $4::float8 + coalesce(sum(8 * ceil(coalesce(stat.avg_width,
               CASE WHEN att.attlen > 0 THEN att.attlen ELSE 32 END) / 8.0)), 0) AS bytes
    FROM pg_attribute att
    LEFT JOIN pg_stats stat ON stat.schemaname = nsp.nspname AND stat.tablename = rel.relname
                           AND stat.attname = att.attname AND NOT stat.inherited
    WHERE att.attrelid = rel.oid AND att.attname::text = ANY($3::text[])
) wide
ORDER BY tree.level, nsp.nspname, rel.relname";

const NAMED: &str = "
SELECT nsp.nspname::text, quote_ident(nsp.nspname), rel.relname::text, quote_ident(rel.relname),
       ARRAY(SELECT attname::text FROM pg_attribute
             WHERE attrelid = rel.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
       ARRAY(SELECT quote_ident(attname) FROM pg_attribute
             WHERE attrelid = rel.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
FROM pg_class rel
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
WHERE rel.relname = $1::text
  AND rel.relkind NOT IN ('i', 'I', 'S', 't', 'c')
  AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(rel.oid)
      ELSE nsp.nspname = $2::text END";

/// A btree on these columns, with names as in SQL.
pub(crate) async fn definition<Q: Queries>(
    session: &Session<'_, Q>,
    table: &str,
    columns: &[&str],
) -> Result<IndexDefinition, ChangeError> {
    if columns.is_empty() {
        return Err(ChangeError::NoColumns);
    }
    let (name, row) = named(session, table).await?;
    let names: Vec<String> = row.get(4);
    let quoted: Vec<String> = row.get(5);
    let key = |text: &&str| {
        let column = table_name::identifier_alone(text).ok_or_else(|| no_name(text))?;
        let at = names.iter().position(|it| *it == column);
        let at = at.ok_or_else(|| ChangeError::UnknownColumn {
            table: name.to_string(),
            column: (*text).to_owned(),
        })?;
        Ok(Key::column(Identifier::new(column, quoted[at].clone())))
    };
    let keys = columns
        .iter()
        .map(key)
        .collect::<Result<_, ChangeError>>()?;
    Ok(IndexDefinition::btree(name, keys))
}

/// The table of a name as in SQL.
pub(crate) async fn named<Q: Queries>(
    session: &Session<'_, Q>,
    text: &str,
) -> Result<(QualifiedName, Row), ChangeError> {
    let name = TableName::parse(text).ok_or_else(|| no_name(text))?;
    let mut rows = session
        .query("the table", NAMED, &[&name.table, &name.schema])
        .await?;
    let row = rows.pop().ok_or_else(|| ChangeError::UnknownTable {
        table: text.to_owned(),
    })?;
    let name = QualifiedName {
        schema: Identifier::new(row.get::<_, String>(0), row.get::<_, String>(1)),
        table: Identifier::new(row.get::<_, String>(2), row.get::<_, String>(3)),
    };
    Ok((name, row))
}

/// A text that a message can bear: the largest names fit.
fn no_name(text: &str) -> ChangeError {
    ChangeError::NoName {
        text: text.chars().take(2 * 63).collect(),
    }
}

/// The table of a definition.
pub(crate) async fn read<Q: Queries>(
    session: &Session<'_, Q>,
    definition: &IndexDefinition,
) -> Result<Target, ChangeError> {
    let QualifiedName { schema, table } = &definition.table;
    let keys = definition.keys.iter().filter_map(Key::as_column);
    let columns = keys.chain(&definition.include).map(Identifier::name);
    let columns: Vec<&str> = columns.collect();
    // What an expression gives is not known before it has statistics: as for a column without.
    let expressions = definition.keys.iter().filter(|it| it.as_column().is_none());
    let width = 32.0 * f64::from(u32::try_from(expressions.count()).unwrap_or(u32::MAX));
    let params: &[&(dyn ToSql + Sync)] = &[&schema.name(), &table.name(), &columns, &width];
    let rows = session
        .query("the table and its partitions", TABLES, params)
        .await?;
    let tables: Vec<Table> = rows.iter().map(Table::of).collect();
    match tables.is_empty() {
        true => Err(ChangeError::UnknownTable {
            table: definition.table.to_string(),
        }),
        false => Ok(Target { tables }),
    }
}

impl Target {
    pub(crate) fn top(&self) -> &Table {
        &self.tables[0]
    }

    /// The tables with rows of their own.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|it| it.kind == Kind::Stored)
    }

    pub(crate) fn oids(&self) -> Vec<u32> {
        self.tables.iter().map(|it| it.oid).collect()
    }

    /// What stands against an index on them.
    pub(crate) fn obstacles(&self) -> Vec<Obstacle> {
        let not_indexable = self.tables.iter().filter_map(|it| {
            let what = match it.kind {
                Kind::Foreign if it.parent.is_some() => "is a foreign table among the partitions",
                Kind::Foreign => "is a foreign table",
                Kind::Other => "is neither a table nor a materialized view",
                Kind::Stored | Kind::Partitioned => return None,
            };
            let table = it.name.to_string();
            Some(Obstacle::NotIndexable { table, what })
        });
        let not_ours = self.tables.iter().filter(|it| !it.may_index);
        let not_ours = not_ours.map(|it| Obstacle::MissingRight {
            table: it.name.to_string(),
            owner: it.owner.clone(),
        });
        not_indexable.chain(not_ours.take(1)).collect()
    }

    /// The upper estimate over all of them.
    pub(crate) fn estimated_bytes(&self) -> Option<u64> {
        self.stored().map(|it| it.estimated_bytes).sum()
    }
}

impl Table {
    fn of(row: &Row) -> Table {
        let identifier =
            |at: usize| Identifier::new(row.get::<_, String>(at), row.get::<_, String>(at + 1));
        Table {
            oid: row.get(0),
            parent: row.get(1),
            name: QualifiedName {
                schema: identifier(2),
                table: identifier(4),
            },
            kind: match row.get::<_, &str>(6) {
                "r" | "m" => Kind::Stored,
                "p" => Kind::Partitioned,
                "f" => Kind::Foreign,
                _ => Kind::Other,
            },
            owner: row.get(7),
            may_index: row.get(8),
            estimated_bytes: row.get::<_, Option<f64>>(9).map(count::of_estimate),
        }
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        self.kind == Kind::Partitioned
    }
}
