//! What a diagnosis is made from.

use crate::plan::{Node, Plan};

/// A statement's plan, and what else is known of the statement.
///
/// What is not known makes rules silent that need it.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub(super) plan: &'a Plan,
    pub(super) text: Option<String>,
    pub(super) runs: Option<Runs>,
    pub(super) tables: &'a [Table],
}

/// How a statement's runs went, over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Runs {
    /// How many there were.
    pub calls: u64,
    /// The rows that they returned or changed, together.
    pub rows: u64,
}

/// What the catalogue and the statistics say of a table in the plan.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Table {
    /// Its schema, without quotes.
    pub schema: String,
    /// Its name, without quotes.
    pub name: String,
    /// Its size in 8 KiB pages.
    pub pages: u64,
    /// Its rows.
    pub rows: u64,
    /// Rows that have changed since it was analyzed.
    pub changed_rows: u64,
    /// Whether it was ever analyzed.
    pub is_analyzed: bool,
    /// If it is a partition: the columns that its parent is divided by.
    pub partition_key: Vec<String>,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Column {
    /// Its name, without quotes.
    pub name: String,
    /// Its type, as `format_type` writes it without a length.
    pub type_name: String,
    /// Whether an index begins with it.
    pub leads_index: bool,
}

impl<'a> Case<'a> {
    /// A case of which the plan alone is known.
    pub fn new(plan: &'a Plan) -> Case<'a> {
        Case {
            plan,
            text: None,
            runs: None,
            tables: &[],
        }
    }

    /// With the statement's text. Its constants are dropped.
    #[must_use]
    pub fn text(mut self, text: &str) -> Case<'a> {
        self.text = Some(ruleiq_query::Fingerprint::normalized(text));
        self
    }

    /// With how its runs went.
    #[must_use]
    pub fn runs(mut self, runs: Runs) -> Case<'a> {
        self.runs = Some(runs);
        self
    }

    /// With what is known of the tables.
    #[must_use]
    pub fn tables(mut self, tables: &'a [Table]) -> Case<'a> {
        self.tables = tables;
        self
    }

    /// The table that a node reads. Without `VERBOSE` a plan names no schema; then the name must be
    /// that of one table alone.
    pub(super) fn table(&self, node: &Node) -> Option<&'a Table> {
        let name = node.relation.as_deref()?;
        let mut found = self.tables.iter().filter(|it| {
            it.name == name
                && node
                    .schema
                    .as_ref()
                    .is_none_or(|schema| *schema == it.schema)
        });
        let table = found.next()?;
        found.next().is_none().then_some(table)
    }

    /// Whether the text has this word or words, as they are normalized.
    pub(super) fn says(&self, words: &str) -> bool {
        let text = self.text.as_deref().map(|it| format!(" {it} "));
        text.is_some_and(|text| text.contains(&format!(" {words} ")))
    }
}

impl Table {
    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|it| it.name == name)
    }
}

#[expect(clippy::cast_precision_loss, reason = "no rule needs 53 bits")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
