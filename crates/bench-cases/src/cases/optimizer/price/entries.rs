//! The entries that writes add to indexes.
//!
//! An insert adds one to every index of its table that holds the row. An update adds as many where an
//! index names a column that it sets, and none elsewhere (the new row stays on its page, as far as
//! the planner can know). A delete adds none.

use std::collections::BTreeSet;

use ruleiq_bench::Fault;
use serde_json::Value;

use super::super::{
    planner::{Planner, nodes},
    queries::{Kind, Write},
};

/// Those of the constraints.
const KEYS: &str = "SELECT i.indrelid, array_agg(a.attname::text)
    FROM pg_index i
    JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    GROUP BY i.indexrelid, i.indrelid";

/// The indexes of a database, with those that are made up.
pub(super) struct Entries(Vec<Index>);

struct Index {
    table: u32,
    /// All names in its keys, its other columns and its condition.
    names: BTreeSet<String>,
    /// The share of the rows that it holds.
    share: f64,
}

impl Entries {
    /// The indexes that there are while these are held.
    pub(super) async fn of(planner: &mut Planner, indexes: &[String]) -> Result<Entries, Fault> {
        let rows = planner.client().query(KEYS, &[]).await;
        let key = |row: &tokio_postgres::Row| Index {
            table: row.get(0),
            names: row.get::<_, Vec<String>>(1).into_iter().collect(),
            share: 1.0,
        };
        let mut all: Vec<Index> = rows.map_err(Fault::failed)?.iter().map(key).collect();
        for index in indexes {
            let table = planner.table_of(index).await?;
            let share = share(planner, table, index).await?;
            let names = index.split_once('(').map_or("", |(_, it)| it);
            all.push(Index {
                table,
                names: words(names),
                share,
            });
        }
        Ok(Entries(all))
    }

    /// How many entries a write adds, whose plan is this.
    pub(super) async fn added(
        &self,
        planner: &Planner,
        write: &Write,
        plan: &Value,
    ) -> Result<f64, Fault> {
        let oid = "SELECT to_regclass($1)::oid";
        let row = planner.client().query_one(oid, &[&write.table]).await;
        let table: Option<u32> = row.map_err(Fault::failed)?.get(0);
        let mine = || self.0.iter().filter(|it| Some(it.table) == table);
        let is_added = match &write.kind {
            Kind::Insert => true,
            Kind::Update(columns) => mine().any(|it| !it.names.is_disjoint(columns)),
            Kind::Delete => false,
        };
        let shares: f64 = mine().map(|it| it.share).sum();
        Ok(if is_added {
            written(plan) * shares
        } else {
            0.0
        })
    }
}

/// The share of a table's rows that meet the condition of an index; all without one.
async fn share(planner: &mut Planner, table: u32, index: &str) -> Result<f64, Fault> {
    let Some(at) = index.to_lowercase().find(" where ") else {
        return Ok(1.0);
    };
    let of = "SELECT $1::oid::regclass::text, greatest(reltuples, 1)::float8
        FROM pg_class WHERE oid = $1";
    let row = planner.client().query_one(of, &[&table]).await;
    let row = row.map_err(Fault::failed)?;
    let (name, tuples): (String, f64) = (row.get(0), row.get(1));
    let rows = format!("SELECT 1 FROM {name}{}", &index[at..]);
    let plan = planner.plan(&rows).await?;
    Ok((plan_rows(&plan) / tuples).min(1.0))
}

/// How many rows a plan writes.
fn written(plan: &Value) -> f64 {
    let write = nodes(plan)
        .into_iter()
        .find(|it| it["Node Type"] == "ModifyTable");
    let sources = write.and_then(|it| it["Plans"].as_array());
    sources.map_or(1.0, |it| it.iter().map(plan_rows).sum())
}

fn plan_rows(plan: &Value) -> f64 {
    plan["Plan Rows"].as_f64().unwrap_or(1.0)
}

/// The names in a part of a statement, in small letters.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|it: char| !(it.is_alphanumeric() || it == '_'))
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .collect()
}
