//! The columns that an index may be made of: those of the tables that a statement reads whose names
//! are among its words.

use std::collections::BTreeSet;

use ruleiq_bench::Fault;
use serde_json::Value;

use super::super::{
    planner::{Planner, nodes},
    queries::QuerySet,
};

const COLUMNS: &str = "SELECT c.oid::regclass::text, quote_ident(a.attname), a.attname::text
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// A column, quoted where it needs it, as its table is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Column {
    pub(super) table: String,
    pub(super) name: String,
}

/// For each statement, the columns in it.
pub(super) async fn columns(
    planner: &mut Planner,
    queries: &QuerySet,
) -> Result<Vec<BTreeSet<Column>>, Fault> {
    let mut all = Vec::new();
    for query in queries.iter() {
        let plan = planner.plan(&query.text).await?;
        let words = words(&query.text);
        let mut columns = BTreeSet::new();
        for (schema, table) in tables(&plan) {
            let rows = planner.client().query(COLUMNS, &[&schema, &table]).await;
            let rows = rows.map_err(Fault::failed)?;
            let named = rows
                .iter()
                .filter(|row| words.contains(&row.get::<_, String>(2).to_lowercase()));
            columns.extend(named.map(|row| Column {
                table: row.get(0),
                name: row.get(1),
            }));
        }
        all.push(columns);
    }
    Ok(all)
}

/// All of them, each once.
pub(super) fn all(of_queries: &[BTreeSet<Column>]) -> Vec<Column> {
    let all: BTreeSet<&Column> = of_queries.iter().flatten().collect();
    all.into_iter().cloned().collect()
}

/// Schema and name of the tables that a plan reads.
fn tables(plan: &Value) -> BTreeSet<(String, String)> {
    let table = |node: &Value| {
        let text = |key: &str| node[key].as_str().map(str::to_owned);
        text("Schema").zip(text("Relation Name"))
    };
    nodes(plan).into_iter().filter_map(table).collect()
}

/// The words of a statement outside its literals, in small letters.
fn words(text: &str) -> BTreeSet<String> {
    let outside = text.split('\'').step_by(2);
    outside
        .flat_map(|it| it.split(|it: char| !(it.is_alphanumeric() || it == '_')))
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .collect()
}
