//! Which part of a table a predicate leaves, as the planner believes.

use std::collections::BTreeMap;

use ruleiq_query::Queries;

use crate::{
    Error,
    catalogue::{Oid, Table},
    whatif::Explain,
};

/// The answers so far.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<(Oid, String), f64>);

impl Shares {
    /// The part of a table's rows that an index with this predicate holds.
    pub(super) async fn of(
        &mut self,
        queries: &impl Queries,
        table: &Table,
        predicate: Option<&str>,
    ) -> Result<f64, Error> {
        let Some(predicate) = predicate else {
            return Ok(1.0);
        };
        let key = (table.oid, predicate.to_owned());
        if let Some(share) = self.0.get(&key) {
            return Ok(*share);
        }
        let share = ask(queries, table, predicate).await?;
        self.0.insert(key, share);
        Ok(share)
    }
}

async fn ask(queries: &impl Queries, table: &Table, predicate: &str) -> Result<f64, Error> {
    let sql = format!("SELECT FROM {} WHERE {predicate}", table.name);
    let explain = match Explain::ready(queries, &sql).await {
        Ok(explain) => explain,
        // A role that may not read the table is told of it when the statement is planned.
        Err(error) if error.as_db_error().is_some() => return Ok(1.0),
        Err(error) => return Err(Error::reading("what a predicate leaves")(error)),
    };
    Ok(match explain.run(queries).await? {
        Some(it) if table.rows > 0.0 => (it.rows / table.rows).min(1.0),
        _ => 1.0,
    })
}
