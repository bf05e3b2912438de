//! What the catalogue and the statistics say of the tables that statements read.

mod columns;
mod indexes;
mod tables;

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use crate::Error;

#[cfg(test)]
pub(crate) use self::indexes::ExistingKey;
pub(crate) use self::{columns::Column, indexes::ExistingIndex, tables::Table};

/// A table's own number, which no other has.
pub(crate) type Oid = u32;

/// The tables that may have indexes of ours. A partition stands for the table that it is part of.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    tables: BTreeMap<Oid, Table>,
    by_name: BTreeMap<(String, String), Oid>,
}

impl Catalogue {
    /// Reads all about these tables, each with its schema. What is no table, or PostgreSQL's own,
    /// or an extension's, is left out.
    pub(crate) async fn read(
        queries: &impl Queries,
        names: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Catalogue, Error> {
        let (schemas, names): (Vec<String>, Vec<String>) = names.into_iter().unzip();
        let mut catalogue = tables::read(queries, &schemas, &names).await?;
        let oids: Vec<Oid> = catalogue.tables.keys().copied().collect();
        columns::read(queries, &oids, &mut catalogue.tables).await?;
        indexes::read(queries, &oids, &mut catalogue.tables).await?;
        Ok(catalogue)
    }

    /// The table that a plan reads under this name.
    pub(crate) fn find(&self, schema: &str, name: &str) -> Option<&Table> {
        let oid = self.by_name.get(&(schema.to_owned(), name.to_owned()))?;
        self.tables.get(oid)
    }

    pub(crate) fn table(&self, oid: Oid) -> &Table {
        &self.tables[&oid]
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }
}

#[cfg(test)]
impl Catalogue {
    /// One table.
    pub(crate) fn of(table: Table) -> Catalogue {
        let name = (
            table.name.schema.name().to_owned(),
            table.name.table.name().to_owned(),
        );
        Catalogue {
            by_name: BTreeMap::from([(name, table.oid)]),
            tables: BTreeMap::from([(table.oid, table)]),
        }
    }
}
