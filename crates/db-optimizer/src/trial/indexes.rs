//! The indexes of a trial, which are built and taken out again in its transaction.

use std::collections::BTreeSet;

use ruleiq_query::{Error as QueryError, Queries};

use super::{DiscardReason, TrialError, failed};
use crate::{Error, IndexAdvice, index_name};

/// An index that is built.
#[derive(Debug)]
pub(super) struct Built<'a> {
    pub(super) advice: &'a IndexAdvice,
    /// What plans call it, or those of the partitions.
    names: BTreeSet<String>,
    pub(super) size_bytes: u64,
}

/// What an index alone is the reason for, as the beginnings of codes: values that its expression does not
/// take, rows that are too long for it, a function that is not immutable.
const ITS_OWN: [&str; 3] = ["22", "54", "42P17"];

/// The bytes of an index, and its name with those of its partitions.
const LOOK: &str = "SELECT sum(pg_relation_size(c.oid))::bigint, array_agg(c.relname::text)
    FROM pg_class c
    WHERE c.oid = $1::text::regclass
       OR c.oid IN (SELECT relid FROM pg_partition_tree($1::text::regclass))";

impl<'a> Built<'a> {
    /// Builds an index, or says why it cannot be.
    pub(super) async fn build(
        queries: &impl Queries,
        advice: &'a IndexAdvice,
    ) -> Result<Result<Built<'a>, DiscardReason>, TrialError> {
        let name = index_name::quote(&advice.name);
        let on = advice.definition.on_clause();
        let build = format!(
            "SAVEPOINT ruleiq_build; CREATE INDEX {name} {on}; RELEASE SAVEPOINT ruleiq_build"
        );
        if let Err(error) = queries.batch_execute(&build).await {
            let state = error.sql_state().map_or("", |it| it.code()).to_owned();
            if !ITS_OWN.iter().any(|it| state.starts_with(it)) {
                let index = advice.name.clone();
                return Err(TrialError::Build {
                    index,
                    source: error,
                });
            }
            let back = queries.batch_execute("ROLLBACK TO SAVEPOINT ruleiq_build");
            back.await.map_err(failed)?;
            return Ok(Err(DiscardReason::NotBuilt { sql_state: state }));
        }
        let qualified = qualified(advice);
        let row = queries.query_one(LOOK, &[&qualified]).await;
        let row = row.map_err(failed)?;
        let names: Vec<String> = row.get(1);
        Ok(Ok(Built {
            advice,
            names: names.into_iter().collect(),
            size_bytes: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0),
        }))
    }

    /// Whether a plan with these indexes has it.
    pub(super) fn is_in(&self, names: &BTreeSet<String>) -> bool {
        !self.names.is_disjoint(names)
    }
}

/// Takes indexes out, until a rollback.
pub(super) async fn take_out(queries: &impl Queries, indexes: &[&Built<'_>]) -> Result<(), Error> {
    if indexes.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = indexes.iter().map(|it| qualified(it.advice)).collect();
    let drop = format!("DROP INDEX {}", names.join(", "));
    queries.batch_execute(&drop).await.map_err(failed)
}

/// Has new statistics of the tables with indexes: those of expressions come with them.
pub(super) async fn analyze(queries: &impl Queries, indexes: &[Built<'_>]) -> Result<(), Error> {
    let tables: BTreeSet<String> = (indexes.iter())
        .map(|it| it.advice.definition.table.to_string())
        .collect();
    for table in tables {
        let analyzed = queries.batch_execute(&format!("ANALYZE {table}")).await;
        analyzed.map_err(failed)?;
    }
    Ok(())
}

/// Goes back to before a savepoint, whatever has failed since.
pub(super) async fn undo<T>(queries: &impl Queries, done: Result<T, Error>) -> Result<T, Error> {
    let undo = "ROLLBACK TO SAVEPOINT ruleiq_trial; RELEASE SAVEPOINT ruleiq_trial";
    let undone: Result<(), QueryError> = queries.batch_execute(undo).await;
    let done = done?;
    undone.map_err(failed)?;
    Ok(done)
}

fn qualified(advice: &IndexAdvice) -> String {
    let name = index_name::quote(&advice.name);
    format!("{}.{name}", advice.definition.table.schema)
}
