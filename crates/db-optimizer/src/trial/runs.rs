//! Runs of one statement.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ruleiq_query::{Queries, TokenKind, tokens};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::{NotRunReason, TrialOptions, failed};
use crate::{
    Error, duration,
    plan::{Plan, PlanText},
    read_only::ReadOnly,
    statement_text,
};

/// How often a statement is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    most: usize,
    least: usize,
    time: Duration,
}

/// At first,
pub(super) const FIRST: Effort = Effort {
    most: 5,
    least: 2,
    time: Duration::from_secs(1),
};
/// and where it seems to be slower: whatever disturbs a run makes it longer.
pub(super) const AGAIN: Effort = Effort {
    most: 20,
    least: 3,
    time: Duration::from_secs(5),
};

/// The fastest of some runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fastest {
    /// The limit, where it fails.
    pub(super) took: Duration,
    /// Why it did not come to its end, though it does without the indexes.
    pub(super) fails: Option<NotRunReason>,
    /// The plan without costs: what is done. What cannot be planned has none.
    pub(super) shape: Option<String>,
    /// The plan as it is shown.
    pub(super) outline: String,
    /// The names of the indexes in it.
    pub(super) indexes: BTreeSet<String>,
}

impl Fastest {
    /// The faster of two measures of one plan; the later one of two plans.
    pub(super) fn or(self, later: Fastest) -> Fastest {
        let is_same = self.shape == later.shape && self.fails.is_none();
        match is_same && (later.fails.is_some() || self.took < later.took) {
            true => self,
            false => later,
        }
    }
}

/// Runs statements in a transaction that is open, each in a savepoint that only reads.
#[derive(Debug)]
pub(super) struct Runs<'a, Q> {
    queries: &'a Q,
    timeout: Duration,
    settings: String,
    pub(super) clock: Clock,
}

/// When a trial ends.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    time: Duration,
    stop: Option<Arc<AtomicBool>>,
}

impl Clock {
    pub(super) fn new(options: &TrialOptions) -> Clock {
        Clock {
            started: Instant::now(),
            time: options.time,
            stop: options.stop.clone(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let is_stopped = self.stop.as_ref().is_some_and(|it| it.load(Relaxed));
        is_stopped || self.left().is_zero()
    }

    pub(super) fn left(&self) -> Duration {
        self.time.saturating_sub(self.started.elapsed())
    }
}

impl<'a, Q: Queries> Runs<'a, Q> {
    pub(super) fn new(queries: &'a Q, timeout: Duration, clock: Clock) -> Runs<'a, Q> {
        let limit_ms = duration::limit_ms(timeout);
        Runs {
            queries,
            timeout,
            clock,
            settings: format!(
                "SET LOCAL transaction_read_only = on; SET LOCAL statement_timeout = {limit_ms}"
            ),
        }
    }

    /// The plan of a statement, without running it.
    pub(super) async fn shape(&self, sql: &str) -> Result<Option<String>, Error> {
        let plan = self.explain("EXPLAIN (FORMAT JSON)", sql).await?;
        Ok(plan.ok().map(|it| shape(&it)))
    }

    /// The fastest of as many runs as the effort allows, or why there is none.
    pub(super) async fn fastest(
        &self,
        sql: &str,
        effort: Effort,
    ) -> Result<Result<Fastest, NotRunReason>, Error> {
        // The protocol does not carry it.
        if sql.contains('\0') {
            return Ok(Err(NotRunReason::Command));
        }
        if tokens(sql).any(|it| it.kind == TokenKind::Parameter) {
            return Ok(Err(NotRunReason::Parameters));
        }
        let began = Instant::now();
        let mut fastest: Option<Fastest> = None;
        for run in 0..effort.most {
            let is_enough = run >= effort.least && began.elapsed() > effort.time;
            if is_enough || (run > 0 && self.clock.is_over()) {
                break;
            }
            match self.once(sql).await? {
                Ok(ran) => {
                    fastest = Some(match fastest {
                        Some(before) => before.or(ran),
                        None => ran,
                    });
                }
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(fastest.ok_or(NotRunReason::NotTried))
    }

    /// The fastest run of a statement that has run without the indexes; failing is the slowest.
    pub(super) async fn again(&self, sql: &str, effort: Effort) -> Result<Fastest, Error> {
        let reason = match self.fastest(sql, effort).await? {
            Ok(fastest) => return Ok(fastest),
            Err(reason) => reason,
        };
        let plan = self.explain("EXPLAIN (FORMAT JSON)", sql).await?;
        let mut failing = match plan {
            Ok(plan) => of_plan(&plan, self.timeout),
            Err(_) => Fastest {
                took: self.timeout,
                ..Fastest::default()
            },
        };
        failing.fails = Some(reason);
        Ok(failing)
    }

    async fn once(&self, sql: &str) -> Result<Result<Fastest, NotRunReason>, Error> {
        let plan = self.explain("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)", sql);
        Ok(plan.await?.map(|plan| {
            let spent = [plan.planning_ms, plan.execution_ms];
            let took = spent.into_iter().flatten().sum();
            of_plan(&plan, duration::from_milliseconds(took))
        }))
    }

    /// By the extended protocol, which takes one command alone.
    async fn explain(&self, how: &str, sql: &str) -> Result<Result<Plan, NotRunReason>, Error> {
        let reading = ReadOnly::begin(self.queries, &self.settings).await;
        let reading = reading.map_err(failed)?;
        let answer = self.queries.query_one(&format!("{how} {sql}"), &[]).await;
        let ended = reading.end().await;
        let answer = match answer {
            Ok(row) => Ok(row.get::<_, PlanText>(0).0),
            Err(error) => match error.sql_state() {
                Some(&SqlState::QUERY_CANCELED) => Err(NotRunReason::TooSlow),
                Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Err(NotRunReason::Writes),
                Some(other) => Err(NotRunReason::Refused {
                    sql_state: other.code().to_owned(),
                }),
                None => return Err(failed(error)),
            },
        };
        ended.map_err(failed)?;
        Ok(answer.and_then(|text| Plan::parse(&text).map_err(|_| NotRunReason::Command)))
    }
}

fn of_plan(plan: &Plan, took: Duration) -> Fastest {
    Fastest {
        took,
        shape: Some(shape(plan)),
        outline: plan.outline(),
        fails: None,
        indexes: plan.index_names().collect(),
    }
}

/// What a plan does, whatever it costs: conditions without their constants.
fn shape(plan: &Plan) -> String {
    let mut shape = String::new();
    for node in plan.nodes() {
        shape.push_str(&node.title());
        for condition in node.conditions() {
            shape.push_str(&format!(" [{}]", statement_text::shown(condition)));
        }
        shape.push_str(&format!(" {}\n", node.children.len()));
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(node: &str) -> Plan {
        Plan::parse(&format!(r#"[{{"Plan": {node}}}]"#)).unwrap()
    }

    #[test]
    fn costs_are_no_part_of_what_a_plan_does_and_indexes_are() {
        let one = plan(r#"{"Node Type": "Index Scan", "Index Name": "a", "Total Cost": 1}"#);
        let dearer = plan(r#"{"Node Type": "Index Scan", "Index Name": "a", "Total Cost": 2}"#);
        let other = plan(r#"{"Node Type": "Index Scan", "Index Name": "b", "Total Cost": 1}"#);
        assert_eq!(shape(&one), shape(&dearer));
        assert_ne!(shape(&one), shape(&other));
        // A parent and its child are not two children.
        let nested = plan(
            r#"{"Node Type": "Append", "Plans": [{"Node Type": "Append", "Plans": [
                {"Node Type": "Result"}, {"Node Type": "Result"}]}]}"#,
        );
        let flat = plan(
            r#"{"Node Type": "Append", "Plans": [{"Node Type": "Append", "Plans": [
                {"Node Type": "Result"}]}, {"Node Type": "Result"}]}"#,
        );
        assert_ne!(shape(&nested), shape(&flat));
    }

    #[test]
    fn the_faster_run_of_one_plan_counts_and_the_later_one_of_two_plans() {
        let ran = |shape: &str, ms| Fastest {
            took: Duration::from_millis(ms),
            shape: Some(shape.to_owned()),
            ..Fastest::default()
        };
        assert_eq!(ran("a", 5).or(ran("a", 7)), ran("a", 5));
        assert_eq!(ran("a", 7).or(ran("a", 5)), ran("a", 5));
        assert_eq!(ran("a", 5).or(ran("b", 7)), ran("b", 7));
        let failing = |shape: &str| Fastest {
            fails: Some(NotRunReason::TooSlow),
            ..ran(shape, 1)
        };
        assert_eq!(ran("a", 5).or(failing("a")), ran("a", 5));
        assert_eq!(ran("a", 5).or(failing("b")), failing("b"));
        assert_eq!(failing("a").or(ran("a", 5)), ran("a", 5));
    }
}
