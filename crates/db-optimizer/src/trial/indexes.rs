//! The indexes of a trial, which are built and taken out again in its transaction.

use std::{collections::BTreeSet, time::Duration};

use ruleiq_query::Queries;

use super::{DiscardReason, TrialError, failed};
use crate::{Error, IndexAdvice, Key, index_name};

/// An index that is built.
#[derive(Debug)]
pub(super) struct Built<'a> {
    pub(super) advice: &'a IndexAdvice,
    /// What plans call it, or those of the partitions.
    names: BTreeSet<String>,
    pub(super) size_bytes: u64,
    /// Whether the planner passes it over until the transaction has ended: some rows were changed in place
    /// and are still seen by somebody.
    pub(super) is_passed_over: bool,
}

/// What came of building one.
pub(super) enum Build<'a> {
    Done(Built<'a>),
    /// For a reason of its own.
    Refused(DiscardReason),
    /// The time is over.
    Cancelled,
}

/// What no index could be built for, as the beginnings of codes: rights, room, locks, a transaction that only reads,
/// a connection that goes.
const NOT_ITS_OWN: [&str; 6] = ["42501", "53", "55P03", "25", "57", "08"];
/// It took too long.
const CANCELLED: &str = "57014";

/// The bytes of an index, its name with those of its partitions, and whether this transaction may not use it.
const LOOK: &str = "SELECT sum(pg_relation_size(c.oid))::bigint, array_agg(c.relname::text),
                           bool_or(i.indcheckxmin)
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.oid = $1::text::regclass
       OR c.oid IN (SELECT relid FROM pg_partition_tree($1::text::regclass))";

impl<'a> Built<'a> {
    /// Builds an index.
    pub(super) async fn build(
        queries: &impl Queries,
        advice: &'a IndexAdvice,
        limit: Duration,
    ) -> Result<Build<'a>, TrialError> {
        let name = index_name::quote(&advice.name);
        let on = advice.definition.on_clause();
        let limit_ms = milliseconds(limit);
        // An expression has no statistics before.
        let is_expression = |it: &Key| it.as_column().is_none();
        let analyze = match advice.definition.keys.iter().any(is_expression) {
            true => format!("ANALYZE {};", advice.definition.table),
            false => String::new(),
        };
        let build = format!(
            "SAVEPOINT ruleiq_build; SET LOCAL statement_timeout = {limit_ms};
             CREATE INDEX {name} {on}; {analyze} RELEASE SAVEPOINT ruleiq_build"
        );
        if let Err(error) = queries.batch_execute(&build).await {
            let state = error.sql_state().map_or("", |it| it.code()).to_owned();
            let is_its_own = !NOT_ITS_OWN.iter().any(|it| state.starts_with(it));
            if state != CANCELLED && (state.is_empty() || !is_its_own) {
                let index = advice.name.clone();
                return Err(TrialError::Build {
                    index,
                    source: error,
                });
            }
            let back = queries.batch_execute("ROLLBACK TO SAVEPOINT ruleiq_build");
            back.await.map_err(failed)?;
            return Ok(match state == CANCELLED {
                true => Build::Cancelled,
                false => Build::Refused(DiscardReason::NotBuilt { sql_state: state }),
            });
        }
        let qualified = qualified(advice);
        let row = queries.query_one(LOOK, &[&qualified]).await;
        let row = row.map_err(failed)?;
        let names: Vec<String> = row.get(1);
        Ok(Build::Done(Built {
            advice,
            names: names.into_iter().collect(),
            size_bytes: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0),
            is_passed_over: row.get(2),
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

/// Has new statistics of the tables of these indexes.
pub(super) async fn analyze<'a>(
    queries: &impl Queries,
    indexes: impl Iterator<Item = &'a IndexAdvice>,
) -> Result<(), Error> {
    let tables: BTreeSet<String> = indexes.map(|it| it.definition.table.to_string()).collect();
    for table in tables {
        let analyzed = queries.batch_execute(&format!("ANALYZE {table}")).await;
        analyzed.map_err(failed)?;
    }
    Ok(())
}

pub(super) async fn save(queries: &impl Queries) -> Result<(), Error> {
    let saved = queries.batch_execute("SAVEPOINT ruleiq_trial").await;
    saved.map_err(failed)
}

/// Keeps what was done since the savepoint.
pub(super) async fn keep(queries: &impl Queries) -> Result<(), Error> {
    let kept = queries
        .batch_execute("RELEASE SAVEPOINT ruleiq_trial")
        .await;
    kept.map_err(failed)
}

/// Goes back to before the savepoint, whatever has failed since.
pub(super) async fn undo<T, E: From<Error>>(
    queries: &impl Queries,
    done: Result<T, E>,
) -> Result<T, E> {
    let undo = "ROLLBACK TO SAVEPOINT ruleiq_trial; RELEASE SAVEPOINT ruleiq_trial";
    let undone = queries.batch_execute(undo).await;
    let done = done?;
    undone.map_err(failed)?;
    Ok(done)
}

/// As a setting of the server. 0 would mean no limit at all.
pub(super) fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().clamp(1, 86_400_000)
}

fn qualified(advice: &IndexAdvice) -> String {
    let name = index_name::quote(&advice.name);
    format!("{}.{name}", advice.definition.table.schema)
}
