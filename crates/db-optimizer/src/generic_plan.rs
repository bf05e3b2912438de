//! The plan of a statement whose constants are parameters, without running it.
//!
//! `EXPLAIN` refuses `$1` up to PostgreSQL 15; a prepared statement that is planned for any value does
//! not, and that works in all versions. The text comes from whoever sent it: it is prepared by the
//! extended protocol, which takes one command alone, in a transaction that only reads and is rolled
//! back, and it is never executed.

mod repair;

use ruleiq_query::{Error as QueryError, Queries};
use serde::Serialize;
use tokio_postgres::error::SqlState;

use crate::{
    Error,
    plan::{Plan, PlanText},
    read_only::ReadOnly,
};

/// The name of the prepared statement.
const NAME: &str = "ruleiq_generic_plan";
/// How often the types of parameters may be told to the server, one more each time.
const MAX_ATTEMPTS: usize = 8;
/// So many statements may take too long to plan; then no more are tried.
const MAX_SLOW: usize = 3;

/// Why a statement has no plan.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
#[non_exhaustive]
pub enum NotPlanned {
    /// It is a command that is not planned.
    Command,
    /// Its text is lost, longer than what is read, or has a zero byte in it.
    Text,
    /// The server does not understand the text: it is cut, or made for other parameters.
    Syntax,
    /// It names what is not there, or is not found by this role's search path.
    Unknown,
    /// This role may not read what the statement reads.
    Forbidden,
    /// Others took more time in all, and only so many are planned.
    NotTried,
    /// Planning took more than a second, or so many others did that it was not tried.
    TooSlow,
    /// The server refused for another reason.
    Refused {
        /// Its code.
        sql_state: String,
    },
}

/// A transaction in which statements are planned.
pub(crate) struct Planner<'a, Q> {
    queries: &'a Q,
    reading: ReadOnly<'a, Q>,
    slow: usize,
}

/// A statement of ours has such a time, too.
const SETTINGS: &str = "SET LOCAL plan_cache_mode = force_generic_plan;
    SET LOCAL statement_timeout = '1s'; SET LOCAL lock_timeout = '200ms'";

impl<'a, Q: Queries> Planner<'a, Q> {
    /// Begins. It must be [ended](Planner::end) whatever happens.
    pub(crate) async fn begin(queries: &'a Q) -> Result<Planner<'a, Q>, Error> {
        let reading = ReadOnly::begin(queries, SETTINGS).await;
        Ok(Planner {
            queries,
            reading: reading.map_err(Error::reading("the plans of statements"))?,
            slow: 0,
        })
    }

    /// Ends the transaction, or gives the caller's back as it was.
    pub(crate) async fn end(self) -> Result<(), Error> {
        let ended = self.reading.end().await;
        ended.map_err(Error::reading("the plans of statements"))
    }

    /// The plan of a statement, or why there is none.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub(crate) async fn plan(&mut self, text: &str) -> Result<Result<Plan, NotPlanned>, Error> {
        // The protocol ends a text there.
        if text.contains('\0') {
            return Ok(Err(NotPlanned::Text));
        }
        if !is_planned(text) {
            return Ok(Err(NotPlanned::Command));
        }
        if self.slow >= MAX_SLOW {
            return Ok(Err(NotPlanned::TooSlow));
        }
        let mut outcome = self.attempt(text).await;
        let is_misread = |error: &QueryError| error.sql_state() == Some(&SqlState::SYNTAX_ERROR);
        if let Some(repaired) = repair::repaired(text)
            && outcome.as_ref().is_err_and(is_misread)
        {
            outcome = self.attempt(&repaired).await;
        }
        match outcome {
            Ok(text) => Ok(Plan::parse(&text).map_err(|_| NotPlanned::Command)),
            Err(error) => match error.sql_state() {
                Some(state) if !error.is_connection_lost() => {
                    let why = NotPlanned::of(state);
                    self.slow += usize::from(why == NotPlanned::TooSlow);
                    Ok(Err(why))
                }
                _ => Err(Error::reading("the plan of a statement")(error)),
            },
        }
    }

    /// Plans the text, and tells the server that a parameter is a text where it cannot tell itself.
    async fn attempt(&self, text: &str) -> Result<String, QueryError> {
        let mut types: Vec<&str> = Vec::new();
        loop {
            let outcome = self.once(text, &types).await;
            let error = match outcome {
                Ok(plan) => return Ok(plan),
                Err(error) => error,
            };
            let is_untyped = error.sql_state() == Some(&SqlState::INDETERMINATE_DATATYPE);
            match untyped_parameter(&error) {
                Some(number) if is_untyped && types.len() < MAX_ATTEMPTS => {
                    types.resize(types.len().max(number), "unknown");
                    if types[number - 1] == "text" {
                        return Err(error);
                    }
                    types[number - 1] = "text";
                }
                _ => return Err(error),
            }
        }
    }

    async fn once(&self, text: &str, types: &[&str]) -> Result<String, QueryError> {
        let queries = self.queries;
        queries.batch_execute("SAVEPOINT ruleiq_plan").await?;
        let types = match types.is_empty() {
            true => String::new(),
            false => format!(" ({})", types.join(", ")),
        };
        let prepare = format!("PREPARE {NAME}{types} AS {text}");
        let mut prepared = queries.execute(&prepare, &[]).await;
        if prepared.as_ref().is_err_and(is_taken) {
            // A call that was dropped has left it, and it outlives what is rolled back.
            let forget = format!("ROLLBACK TO SAVEPOINT ruleiq_plan; DEALLOCATE {NAME}");
            queries.batch_execute(&forget).await?;
            prepared = queries.execute(&prepare, &[]).await;
        }
        let outcome = match prepared {
            Ok(_) => {
                let explained = self.explain().await;
                // A prepared statement outlives what is rolled back.
                let undo = "ROLLBACK TO SAVEPOINT ruleiq_plan";
                queries.batch_execute(undo).await?;
                queries.batch_execute(&format!("DEALLOCATE {NAME}")).await?;
                explained
            }
            Err(error) => Err(error),
        };
        let undo = "ROLLBACK TO SAVEPOINT ruleiq_plan; RELEASE SAVEPOINT ruleiq_plan";
        queries.batch_execute(undo).await?;
        outcome
    }

    async fn explain(&self) -> Result<String, QueryError> {
        let count =
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1";
        let row = self.queries.query_one(count, &[&NAME]).await?;
        let count = usize::try_from(row.get::<_, i32>(0)).unwrap_or(0);
        let values = match count {
            0 => String::new(),
            _ => format!("({})", vec!["NULL"; count].join(", ")),
        };
        let explain = format!("EXPLAIN (VERBOSE, SETTINGS, FORMAT JSON) EXECUTE {NAME}{values}");
        let row = self.queries.query_one(&explain, &[]).await?;
        Ok(row.get::<_, PlanText>(0).0)
    }
}

/// Whether there is a prepared statement of this name already.
fn is_taken(error: &QueryError) -> bool {
    error.sql_state() == Some(&SqlState::DUPLICATE_PSTATEMENT)
}

/// The number of the parameter whose type the server asks for: it names it as `$2` in every language.
fn untyped_parameter(error: &QueryError) -> Option<usize> {
    let message = error.as_db_error()?.message();
    let digits = message.split_once('$')?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let number: usize = digits[..end.unwrap_or(digits.len())].parse().ok()?;
    (1..=100).contains(&number).then_some(number)
}

/// Whether a statement is planned at all, by its first word.
pub(crate) fn is_planned(text: &str) -> bool {
    let normalized = ruleiq_query::Fingerprint::normalized(text);
    let mut words = normalized.split(' ').skip_while(|it| *it == "(");
    matches!(
        words.next(),
        Some("select" | "insert" | "update" | "delete" | "merge" | "with" | "values" | "table")
    )
}

impl NotPlanned {
    fn of(state: &SqlState) -> NotPlanned {
        match *state {
            SqlState::SYNTAX_ERROR
            | SqlState::INDETERMINATE_DATATYPE
            | SqlState::AMBIGUOUS_FUNCTION
            | SqlState::DATATYPE_MISMATCH => NotPlanned::Syntax,
            SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::UNDEFINED_OBJECT
            | SqlState::INVALID_SCHEMA_NAME => NotPlanned::Unknown,
            SqlState::INSUFFICIENT_PRIVILEGE => NotPlanned::Forbidden,
            SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => NotPlanned::TooSlow,
            _ => NotPlanned::Refused {
                sql_state: state.code().to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_is_told_by_its_first_word() {
        for text in [
            "SELECT 1",
            "/* x */ (select $1)",
            "With x AS (SELECT 1) TABLE x",
            "merge into t",
        ] {
            assert!(is_planned(text), "{text}");
        }
        for text in [
            "",
            "CREATE TABLE select (x int)",
            "BEGIN",
            "EXPLAIN SELECT 1",
            "selects",
        ] {
            assert!(!is_planned(text), "{text}");
        }
    }
}
