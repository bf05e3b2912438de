//! The indexes of a trial, which are built and taken out again in its transaction.

use std::{collections::BTreeSet, time::Duration};

use ruleiq_query::Queries;
use tokio_postgres::error::SqlState;

use super::{DiscardReason, TrialError, failed};
use crate::{Error, IndexAdvice, duration, index_name};

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
    /// It has taken indexes of partitions for its own that were there, and would take them with it.
    PassedOver,
    /// The time is over, or somebody has cancelled it.
    Cancelled(TrialError),
}

/// What no index could be built for, as the beginnings of codes: rights, room, locks, a transaction that only reads,
/// a connection that goes, a broken disk.
const NOT_ITS_OWN: [&str; 8] = ["42501", "53", "55P03", "25", "57", "58", "08", "XX"];
/// It took too long.
const CANCELLED: &str = "57014";

const KEEP_BUILD: &str = "RELEASE SAVEPOINT ruleiq_build";
const UNDO_BUILD: &str = "ROLLBACK TO SAVEPOINT ruleiq_build; RELEASE SAVEPOINT ruleiq_build";

/// The bytes of an index, its name with those of its partitions, whether this transaction may not use it, and
/// whether one of these is older than the transaction.
const LOOK: &str = "SELECT sum(pg_relation_size(c.oid))::bigint, array_agg(c.relname::text),
                           bool_or(i.indcheckxmin),
                           bool_or(age(i.xmin) > age(pg_current_xact_id()::xid))
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.oid = $1::text::regclass
       OR c.oid IN (SELECT relid FROM pg_partition_tree($1::text::regclass))";

impl<'a> Built<'a> {
    /// Builds an index within the first limit; statements have the second one afterwards.
    pub(super) async fn build(
        queries: &impl Queries,
        advice: &'a IndexAdvice,
        limits: (Duration, Duration),
    ) -> Result<Build<'a>, TrialError> {
        let name = index_name::quote(&advice.name);
        let definition = &advice.definition;
        let mut build = format!("CREATE INDEX {name} {}", definition.on_clause());
        // An expression has no statistics before.
        if definition.keys.iter().any(|it| it.as_column().is_none()) {
            build.push_str(&format!("; ANALYZE {}", definition.table));
        }
        if let Err(source) = queries.batch_execute(&long(&build, limits)).await {
            let state = source.sql_state().map_or("", |it| it.code()).to_owned();
            let index = advice.name.clone();
            let error = TrialError::Build { index, source };
            let is_its_own = !NOT_ITS_OWN.iter().any(|it| state.starts_with(it));
            if state != CANCELLED && (state.is_empty() || !is_its_own) {
                return Err(error);
            }
            queries.batch_execute(UNDO_BUILD).await.map_err(failed)?;
            return Ok(match state == CANCELLED {
                true => Build::Cancelled(error),
                false => Build::Refused(DiscardReason::NotBuilt { sql_state: state }),
            });
        }
        let row = queries.query_one(LOOK, &[&qualified(advice)]).await;
        let row = row.map_err(failed)?;
        if row.get(3) {
            queries.batch_execute(UNDO_BUILD).await.map_err(failed)?;
            return Ok(Build::PassedOver);
        }
        queries.batch_execute(KEEP_BUILD).await.map_err(failed)?;
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

/// Has new statistics of a table, if the time suffices.
pub(super) async fn analyze(
    queries: &impl Queries,
    table: &str,
    limits: (Duration, Duration),
) -> Result<(), Error> {
    let analyze = long(&format!("ANALYZE {table}"), limits);
    let after = match queries.batch_execute(&analyze).await {
        Ok(()) => KEEP_BUILD,
        Err(error) if error.sql_state() == Some(&SqlState::QUERY_CANCELED) => UNDO_BUILD,
        Err(error) => return Err(failed(error)),
    };
    queries.batch_execute(after).await.map_err(failed)
}

/// Statements that may take long, in a savepoint; those after it have the second limit.
fn long(sql: &str, (limit, afterwards): (Duration, Duration)) -> String {
    let [limit_ms, afterwards_ms] = [limit, afterwards].map(duration::limit_ms);
    format!(
        "SAVEPOINT ruleiq_build; SET LOCAL statement_timeout = {limit_ms}; {sql};
         SET LOCAL statement_timeout = {afterwards_ms}"
    )
}

pub(super) async fn save(queries: &impl Queries) -> Result<(), Error> {
    let saved = queries.batch_execute("SAVEPOINT ruleiq_trial").await;
    saved.map_err(failed)
}

/// Goes back to before the savepoint, whatever has failed since.
pub(super) async fn undo<T>(queries: &impl Queries, done: Result<T, Error>) -> Result<T, Error> {
    let undo = "ROLLBACK TO SAVEPOINT ruleiq_trial; RELEASE SAVEPOINT ruleiq_trial";
    let undone = queries.batch_execute(undo).await;
    let done = done?;
    undone.map_err(failed)?;
    Ok(done)
}

fn qualified(advice: &IndexAdvice) -> String {
    let name = index_name::quote(&advice.name);
    format!("{}.{name}", advice.definition.table.schema)
}
