//! What to do about foreign keys without an index.

use serde::Serialize;

use crate::{
    foreign_keys::{Column, Missing},
    index_name::{self, Taken},
};

/// An index that should be there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// The table with its schema, as it is written in SQL.
    pub table: String,
    /// The columns to index, in this order.
    pub columns: Vec<String>,
    /// The foreign keys that the index would serve; several where one's columns are among
    /// another's.
    pub foreign_keys: Vec<ForeignKey>,
    /// How many rows the table has, as the planner believes.
    pub rows_estimate: u64,
    /// How many bytes its rows take, without indexes and what is stored out of line: as of the last
    /// vacuum or analyze, where there was one.
    pub table_bytes: u64,
    /// What is wrong without the index.
    pub reason: String,
    /// The name of the index, which nothing in the schema has.
    pub index: String,
    /// The statement that makes it. It cannot run in a transaction, unless `blocks_writes`.
    pub sql: String,
    /// Whether the table cannot be written to while the statement runs: no index of a partitioned
    /// table can be built concurrently.
    pub blocks_writes: bool,
}

/// A foreign key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ForeignKey {
    /// The name of the constraint.
    pub name: String,
    /// The table that it refers to, with its schema, as it is written in SQL.
    pub references: String,
}

/// An index in the making.
struct Draft {
    first: Missing,
    columns: Vec<Column>,
    /// So many leading columns may still change places.
    free: usize,
    foreign_keys: Vec<ForeignKey>,
}

/// As few indexes as serve all of these keys by adding columns to none of them.
pub(crate) fn recommend(mut missing: Vec<Missing>, mut taken: Taken) -> Vec<Recommendation> {
    // The widest key of a table first: an index on it may serve narrower ones. The order of the
    // tables stays.
    let mut drafts: Vec<Draft> = Vec::new();
    missing.sort_by(|a, b| {
        b.table_bytes
            .cmp(&a.table_bytes)
            .then_with(|| a.quoted_table.cmp(&b.quoted_table))
            .then_with(|| b.columns.len().cmp(&a.columns.len()))
            .then_with(|| a.constraint.cmp(&b.constraint))
    });
    for key in missing {
        match drafts.iter_mut().find(|it| it.can_begin_with(&key)) {
            Some(draft) => draft.begin_with(&key),
            None => drafts.push(Draft::new(key)),
        }
    }
    let mut recommendations: Vec<_> = drafts
        .into_iter()
        .map(|draft| draft.finish(&mut taken))
        .collect();
    recommendations.sort_by(|a, b| {
        let size = b.table_bytes.cmp(&a.table_bytes);
        size.then_with(|| (&a.table, &a.columns).cmp(&(&b.table, &b.columns)))
    });
    recommendations
}

impl Draft {
    fn new(key: Missing) -> Draft {
        Draft {
            columns: key.columns.clone(),
            free: key.columns.len(),
            foreign_keys: vec![ForeignKey::of(&key)],
            first: key,
        }
    }

    /// Whether the index also serves the key once its leading columns have changed places.
    fn can_begin_with(&self, key: &Missing) -> bool {
        let free = &self.columns[..self.free];
        self.first.quoted_table == key.quoted_table
            && key.columns.iter().all(|column| free.contains(column))
    }

    /// Moves the key's columns to the front, and binds them to be there.
    fn begin_with(&mut self, key: &Missing) {
        self.columns[..self.free].sort_by_key(|column| !key.columns.contains(column));
        self.free = key.columns.len();
        self.foreign_keys.push(ForeignKey::of(key));
    }

    fn finish(self, taken: &mut Taken) -> Recommendation {
        let (key, names): (Missing, Vec<String>) = (
            self.first,
            self.columns.iter().map(|it| it.name.clone()).collect(),
        );
        let index = index_name::choose(taken, &key.schema, &key.table, &names);
        let quoted: Vec<&str> = self.columns.iter().map(|it| it.quoted.as_str()).collect();
        let sql = format!(
            "CREATE INDEX {}IF NOT EXISTS {} ON {} ({})",
            if key.is_partitioned {
                ""
            } else {
                "CONCURRENTLY "
            },
            index_name::quote(&index),
            key.quoted_table,
            quoted.join(", "),
        );
        Recommendation {
            reason: reason(&key, &self.foreign_keys),
            table: key.quoted_table,
            columns: names,
            foreign_keys: self.foreign_keys,
            rows_estimate: key.rows_estimate,
            table_bytes: key.table_bytes,
            index,
            sql,
            blocks_writes: key.is_partitioned,
        }
    }
}

impl ForeignKey {
    fn of(key: &Missing) -> ForeignKey {
        ForeignKey {
            name: key.constraint.clone(),
            references: key.references.clone(),
        }
    }
}

fn reason(key: &Missing, foreign_keys: &[ForeignKey]) -> String {
    let mut referenced: Vec<&str> = Vec::new();
    for foreign_key in foreign_keys {
        let table = foreign_key.references.as_str();
        if !referenced.contains(&table) {
            referenced.push(table);
        }
    }
    let mut reason = format!(
        "no index serves this foreign key: each row deleted from {}, or given another key there, \
         makes PostgreSQL read all of {}",
        referenced.join(" or "),
        key.quoted_table,
    );
    if !key.invalid_indexes.is_empty() {
        reason.push_str(&format!(
            "; {} has these columns and is not valid: unless it is being built now, drop it",
            key.invalid_indexes.join(", "),
        ));
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(table: &str, constraint: &str, columns: &[&str]) -> Missing {
        Missing {
            schema: "public".into(),
            table: table.into(),
            quoted_table: format!("public.{table}"),
            constraint: constraint.into(),
            references: "public.parent".into(),
            columns: columns
                .iter()
                .map(|&it| Column {
                    name: it.into(),
                    quoted: it.into(),
                })
                .collect(),
            is_partitioned: false,
            rows_estimate: 10,
            table_bytes: 100,
            invalid_indexes: Vec::new(),
        }
    }

    /// The columns of each index, and how many keys it serves.
    fn check(keys: &[(&str, &[&str])], expected: &[(&str, usize)]) {
        let keys = keys.iter().enumerate();
        let keys = keys.map(|(at, (table, columns))| missing(table, &format!("k{at}"), columns));
        let found: Vec<_> = recommend(keys.collect(), Taken::default())
            .iter()
            .map(|it| (it.columns.join(" "), it.foreign_keys.len()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(it, n)| ((*it).to_owned(), *n))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn one_index_serves_keys_whose_columns_are_among_anothers() {
        check(&[("t", &["a"]), ("t", &["b"])], &[("a", 1), ("b", 1)]);
        check(&[("t", &["a"]), ("t", &["a"])], &[("a", 2)]);
        check(&[("t", &["a", "b"]), ("t", &["b", "a"])], &[("a b", 2)]);
        check(&[("t", &["b"]), ("t", &["a", "b"])], &[("b a", 2)]);
        check(
            &[("t", &["c"]), ("t", &["a", "b", "c"]), ("t", &["c", "b"])],
            &[("c b a", 3)],
        );
        check(
            &[("t", &["a"]), ("t", &["b"]), ("t", &["a", "b"])],
            &[("a b", 2), ("b", 1)],
        );
        check(&[("t", &["a"]), ("u", &["a"])], &[("a", 1), ("a", 1)]);
    }

    #[test]
    fn an_index_that_failed_to_build_is_named() {
        let mut key = missing("t", "k", &["a"]);
        key.invalid_indexes = vec!["t_a".into()];
        let found = recommend(vec![key], Taken::default());
        assert!(
            found[0]
                .reason
                .contains("; t_a has these columns and is not valid")
        );
    }
}
