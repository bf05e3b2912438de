//! An index that could be made, and how PostgreSQL is told to make it.

use std::fmt;

use serde::{Serialize, Serializer};

/// The name of something in the database: as the catalogue has it, and as it is written in SQL.
///
/// The server quotes names (`quote_ident`), so that its own list of keywords counts.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identifier {
    name: String,
    sql: String,
}

/// A table with its schema.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Identifier,
    /// The table in it.
    pub table: Identifier,
}

/// What an index holds: everything that `CREATE INDEX` says but the index's name.
///
/// Never unique: whether rows may repeat is for whoever models the data to say.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct IndexDefinition {
    /// The table.
    pub table: QualifiedName,
    /// The access method.
    pub method: Method,
    /// What rows are found by, in this order.
    pub keys: Vec<Key>,
    /// Columns that are only stored, so that the table need not be read.
    pub include: Vec<Identifier>,
    /// Which rows are in the index, as SQL; all of them without it.
    pub predicate: Option<String>,
}

/// An access method.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// Sorted: equality, ranges, order.
    Btree,
    /// Words, array elements, trigrams.
    Gin,
    /// Ranges, areas.
    Gist,
}

/// One key of an index.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// What is indexed.
    pub on: KeyOn,
    /// The operator class as it is written in SQL, where it is not the type's default.
    pub operator_class: Option<String>,
    /// Largest first, nulls before all else, as in `ORDER BY … DESC`.
    pub descending: bool,
    /// Whether nulls stand at the other end than the direction puts them by default.
    pub nulls_opposite: bool,
}

/// What a key indexes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyOn {
    /// A column.
    Column(Identifier),
    /// An expression as SQL, without the parentheses around it.
    Expression(String),
}

impl Identifier {
    /// A name as the catalogue has it, and as the server quotes it.
    pub(crate) fn new(name: impl Into<String>, sql: impl Into<String>) -> Identifier {
        Identifier {
            name: name.into(),
            sql: sql.into(),
        }
    }

    /// The name itself, without quotes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as it is written in SQL.
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)
    }
}

impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

impl Serialize for QualifiedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Key {
    /// A column in ascending order.
    pub fn column(name: Identifier) -> Key {
        Key::on(KeyOn::Column(name))
    }

    /// An expression in ascending order.
    pub fn expression(sql: impl Into<String>) -> Key {
        Key::on(KeyOn::Expression(sql.into()))
    }

    fn on(on: KeyOn) -> Key {
        Key {
            on,
            operator_class: None,
            descending: false,
            nulls_opposite: false,
        }
    }

    /// The column, if it is one.
    pub fn as_column(&self) -> Option<&Identifier> {
        match &self.on {
            KeyOn::Column(name) => Some(name),
            KeyOn::Expression(_) => None,
        }
    }

    /// What the key is called in an index's name.
    pub(crate) fn word(&self) -> String {
        match &self.on {
            KeyOn::Column(name) => name.name().to_owned(),
            KeyOn::Expression(sql) => {
                let words = sql.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                words
                    .filter(|it| !it.is_empty())
                    .take(2)
                    .collect::<Vec<_>>()
                    .join("_")
            }
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.on {
            KeyOn::Column(name) => write!(f, "{name}")?,
            KeyOn::Expression(sql) => write!(f, "({sql})")?,
        }
        if let Some(class) = &self.operator_class {
            write!(f, " {class}")?;
        }
        if self.descending {
            f.write_str(" DESC")?;
        }
        match (self.nulls_opposite, self.descending) {
            (false, _) => Ok(()),
            (true, false) => f.write_str(" NULLS FIRST"),
            (true, true) => f.write_str(" NULLS LAST"),
        }
    }
}

impl IndexDefinition {
    /// A btree on these keys, over all rows.
    pub fn btree(table: QualifiedName, keys: Vec<Key>) -> IndexDefinition {
        IndexDefinition {
            table,
            method: Method::Btree,
            keys,
            include: Vec::new(),
            predicate: None,
        }
    }

    /// What follows `CREATE INDEX`, its options and its name: `ON table (keys) …`.
    pub fn on_clause(&self) -> String {
        let mut sql = format!("ON {}", self.table);
        match self.method {
            Method::Btree => {}
            Method::Gin => sql.push_str(" USING gin"),
            Method::Gist => sql.push_str(" USING gist"),
        }
        let keys: Vec<String> = self.keys.iter().map(Key::to_string).collect();
        sql.push_str(&format!(" ({})", keys.join(", ")));
        if !self.include.is_empty() {
            let include: Vec<&str> = self.include.iter().map(Identifier::sql).collect();
            sql.push_str(&format!(" INCLUDE ({})", include.join(", ")));
        }
        if let Some(predicate) = &self.predicate {
            sql.push_str(&format!(" WHERE {predicate}"));
        }
        sql
    }
}
