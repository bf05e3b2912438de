//! The plan of a statement whose constants are parameters, without running it.
//!
//! `EXPLAIN` refuses `$1` up to PostgreSQL 15; a prepared statement that is planned for any value does
//! not, and that works in all versions. The text comes from whoever sent it: it is prepared by the
//! extended protocol, which takes one command alone, in a transaction that only reads and is rolled
//! back, and it is never executed.

mod inner;
#[cfg(feature = "pg_query")]
mod parsed;
mod repair;

use ruleiq_query::{Error as QueryError, Queries};
use serde::Serialize;
use tokio_postgres::error::SqlState;

use crate::{
    Error,
    plan::{Plan, PlanText},
    read_only::ReadOnly,
};

pub(crate) use self::inner::planned_text;

/// What is tried, one after the other, with a text that the server does not understand.
const REPAIRS: &[fn(&str) -> Option<String>] = &[
    repair::repaired,
    #[cfg(feature = "pg_query")]
    |text| {
        let written = parsed::rewritten(text)?;
        repair::repaired(&written).or(Some(written))
    },
];

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

/// A value for each parameter of a statement, as SQL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw(pub(crate) Vec<String>);

/// The plans of one statement.
#[derive(Debug)]
pub(crate) struct Plans {
    /// For any constants.
    pub(crate) generic: Plan,
    /// For each draw of them.
    pub(crate) custom: Vec<Plan>,
}

impl Plans {
    /// The plan of a statement without parameters.
    pub(crate) fn only(plan: Plan) -> Plans {
        Plans {
            generic: plan,
            custom: Vec::new(),
        }
    }

    fn parse(texts: &[String]) -> Option<Plans> {
        let mut plans = texts.iter().map(|it| Plan::parse(it).ok());
        Some(Plans {
            generic: plans.next()??,
            custom: plans.collect::<Option<_>>()?,
        })
    }

    /// What the server would take, as `choose_custom_plan` does (`plancache.c`): the plan for any
    /// constants, unless those for each are cheaper on the whole. Their mean cost.
    pub(crate) fn cost(&self) -> f64 {
        self.generic
            .total_cost()
            .min(self.custom_cost().unwrap_or(f64::INFINITY))
    }

    /// The mean cost of the plans for each draw.
    pub(crate) fn custom_cost(&self) -> Option<f64> {
        let sum: f64 = self.custom.iter().map(Plan::total_cost).sum();
        #[expect(clippy::cast_precision_loss, reason = "there are few draws")]
        (!self.custom.is_empty()).then(|| sum / self.custom.len() as f64)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Plan> {
        self.custom.iter().chain([&self.generic])
    }

    /// The plans that the server would take.
    pub(crate) fn taken(&self) -> &[Plan] {
        match self.custom_cost() {
            Some(it) if it < self.generic.total_cost() => &self.custom,
            _ => std::slice::from_ref(&self.generic),
        }
    }
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
        let plans = self.plans(text, &[]).await?;
        Ok(plans.map(|it| it.generic))
    }

    /// The plan of a statement for any constants, and one for each draw of them.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub(crate) async fn plans(
        &mut self,
        text: &str,
        draws: &[Draw],
    ) -> Result<Result<Plans, NotPlanned>, Error> {
        // The protocol ends a text there.
        if text.contains('\0') {
            return Ok(Err(NotPlanned::Text));
        }
        let Some(text) = planned_text(text) else {
            return Ok(Err(NotPlanned::Command));
        };
        if self.slow >= MAX_SLOW {
            return Ok(Err(NotPlanned::TooSlow));
        }
        let mut outcome = self.attempt(text, draws).await;
        let is_misread = |error: &QueryError| error.sql_state() == Some(&SqlState::SYNTAX_ERROR);
        for repair in REPAIRS {
            if outcome.as_ref().is_err_and(is_misread)
                && let Some(repaired) = repair(text)
            {
                outcome = self.attempt(&repaired, draws).await;
            }
        }
        match outcome {
            Ok(texts) => Ok(Plans::parse(&texts).ok_or(NotPlanned::Command)),
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
    async fn attempt(&self, text: &str, draws: &[Draw]) -> Result<Vec<String>, QueryError> {
        let mut types: Vec<&str> = Vec::new();
        loop {
            let outcome = self.once(text, &types, draws).await;
            let error = match outcome {
                Ok(plans) => return Ok(plans),
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

    async fn once(
        &self,
        text: &str,
        types: &[&str],
        draws: &[Draw],
    ) -> Result<Vec<String>, QueryError> {
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
                let explained = self.explain_all(draws).await;
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

    async fn explain_all(&self, draws: &[Draw]) -> Result<Vec<String>, QueryError> {
        let count =
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1";
        let row = self.queries.query_one(count, &[&NAME]).await?;
        let count = usize::try_from(row.get::<_, i32>(0)).unwrap_or(0);
        let null = |_| "NULL".to_owned();
        let mut plans = vec![self.explain(&Draw((0..count).map(null).collect())).await?];
        if !draws.is_empty() {
            let custom = "SET LOCAL plan_cache_mode = force_custom_plan";
            self.queries.batch_execute(custom).await?;
        }
        for draw in draws {
            plans.push(self.explain(draw).await?);
        }
        Ok(plans)
    }

    async fn explain(&self, Draw(values): &Draw) -> Result<String, QueryError> {
        let values = match values.is_empty() {
            true => String::new(),
            false => format!("({})", values.join(", ")),
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
