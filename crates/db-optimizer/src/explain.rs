//! Running a statement to see what it does: only when it is asked for by this name.

use std::time::Duration;

use ruleiq_query::{Error as QueryError, Queries};
use tokio_postgres::error::SqlState;

use crate::{
    Case, Finding,
    doctor::tables,
    duration,
    plan::{Plan, PlanError, PlanText},
    transaction,
};

/// How a statement is run to be explained.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExplainAnalyze {
    /// After how long it is cancelled. Default: 30 s.
    pub timeout: Duration,
    /// Whether it may write; all it writes is rolled back, but what sequences gave is not, nor are
    /// calls to other systems. Default: no.
    pub allow_writes: bool,
}

/// What a statement did, and what is wrong with that.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The plan with what happened. It may hold the statement's constants.
    pub plan: Plan,
    /// What is wrong, the most severe first.
    pub findings: Vec<Finding>,
}

/// Why a statement was not explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The connection is in a transaction, which a rollback would end.
    #[error("the connection is in a transaction; explain on one that is not")]
    InTransaction,
    /// The statement writes.
    #[error("the statement writes; allow that by `allow_writes`, it is rolled back")]
    Writes,
    /// It took too long.
    #[error("the statement was cancelled after {} ms; raise `timeout`", after.as_millis())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The server refused it, or the connection broke.
    #[error("the statement could not be explained")]
    Statement(#[source] QueryError),
    /// The answer is no plan.
    #[error("the plan could not be read")]
    Plan(#[from] PlanError),
    /// The tables of the plan could not be read.
    #[error("the tables of the plan could not be read")]
    Tables(#[source] crate::Error),
}

impl Default for ExplainAnalyze {
    fn default() -> ExplainAnalyze {
        ExplainAnalyze {
            timeout: Duration::from_secs(30),
            allow_writes: false,
        }
    }
}

/// Runs the statement in a transaction of its own, which is rolled back.
pub(crate) async fn analyze(
    queries: &impl Queries,
    sql: &str,
    options: ExplainAnalyze,
) -> Result<Diagnosis, ExplainError> {
    begin(queries, options).await?;
    let explained = explain(queries, sql).await;
    let rolled_back = queries.batch_execute("ROLLBACK").await;
    let text = explained.map_err(|error| refusal(error, options))?;
    rolled_back.map_err(ExplainError::Statement)?;
    let plan = Plan::parse(&text)?;
    let tables = tables::read(queries, &[&plan]).await;
    let tables = tables.map_err(ExplainError::Tables)?;
    let findings = Case::new(&plan).text(sql).tables(&tables).diagnose();
    Ok(Diagnosis { plan, findings })
}

async fn begin(queries: &impl Queries, options: ExplainAnalyze) -> Result<(), ExplainError> {
    let is_open = transaction::is_open(queries).await;
    if is_open.map_err(ExplainError::Statement)? {
        return Err(ExplainError::InTransaction);
    }
    let mode = match options.allow_writes {
        true => "READ WRITE",
        false => "READ ONLY",
    };
    let limit_ms = duration::limit_ms(options.timeout);
    let begin = format!("BEGIN {mode}; SET LOCAL statement_timeout = {limit_ms}");
    let begun = queries.batch_execute(&begin).await;
    begun.map_err(ExplainError::Statement)
}

/// By the extended protocol, which takes one command alone.
async fn explain(queries: &impl Queries, sql: &str) -> Result<String, QueryError> {
    let explain = format!("EXPLAIN (ANALYZE, VERBOSE, BUFFERS, SETTINGS, WAL, FORMAT JSON) {sql}");
    let row = queries.query_one(&explain, &[]).await?;
    Ok(row.get::<_, PlanText>(0).0)
}

fn refusal(error: QueryError, options: ExplainAnalyze) -> ExplainError {
    match error.sql_state() {
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => ExplainError::Writes,
        Some(&SqlState::QUERY_CANCELED) => ExplainError::TimedOut {
            after: options.timeout,
        },
        _ => ExplainError::Statement(error),
    }
}
