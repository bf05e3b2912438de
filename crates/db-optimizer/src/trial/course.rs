//! The course of a trial: without the indexes, with all of them, and with ever fewer.

mod trimming;

use std::{collections::BTreeSet, time::Duration};

use ruleiq_query::Queries;

use super::{
    DiscardReason, DiscardedIndex, NotRun, NotRunReason, Trial, TrialError, TrialOptions,
    TrialProgress, TrialStep, TriedStatement,
    indexes::{self, Build, Built},
    report,
    runs::{Clock, FIRST, Fastest, Runs},
};
use crate::{Advice, Error, IndexAdvice, Workload, WorkloadStatement, generic_plan::planned_text};

/// A difference that is no more than this is a clock's.
const LEAST: Duration = Duration::from_micros(50);

pub(super) struct Course<'a, Q, P> {
    queries: &'a Q,
    workload: &'a Workload,
    options: &'a TrialOptions,
    runs: Runs<'a, Q>,
    on_progress: P,
}

/// A statement that can be run.
#[derive(Clone, Debug)]
struct Tried<'a> {
    statement: &'a WorkloadStatement,
    /// What of it has a plan.
    sql: &'a str,
    before: Fastest,
    /// With the indexes that are left.
    after: Option<Fastest>,
    /// Whether it is slower, whatever is taken out.
    is_given_up: bool,
}

/// An index that was taken out, and why.
#[derive(Debug)]
struct Gone<'a> {
    index: &'a IndexAdvice,
    reason: DiscardReason,
}

/// What is seen so far.
#[derive(Debug, Default)]
struct Seen<'a> {
    tried: Vec<Tried<'a>>,
    not_run: Vec<NotRun>,
    built: Vec<Built<'a>>,
    gone: Vec<Gone<'a>>,
    /// The names of those that are not built, since that would be no trial.
    passed_over: Vec<String>,
    with_all: Option<Duration>,
}

impl<'a, Q: Queries, P: FnMut(TrialProgress) + Send> Course<'a, Q, P> {
    pub(super) fn new(
        queries: &'a Q,
        workload: &'a Workload,
        options: &'a TrialOptions,
        on_progress: P,
    ) -> Course<'a, Q, P> {
        Course {
            queries,
            workload,
            options,
            runs: Runs::new(queries, options.timeout, Clock::new(options)),
            on_progress,
        }
    }

    pub(super) async fn run(mut self, advice: &'a Advice) -> Result<Trial, TrialError> {
        let mut seen = Seen::default();
        let all: Vec<&IndexAdvice> = advice.indexes.iter().chain(&advice.untested).collect();
        self.analyze(&all).await?;
        self.run_before(&mut seen).await?;
        if seen.tried.is_empty() {
            return Err(TrialError::NothingRuns {
                not_run: seen.not_run,
            });
        }
        self.build(&all, &mut seen).await?;
        self.run_after(&mut seen).await?;
        if !self.is_over() {
            seen.with_all = Some(seen.sum());
            self.trim(&mut seen).await?;
        }
        Ok(self.told(seen))
    }

    fn is_over(&self) -> bool {
        self.runs.clock.is_over()
    }

    /// What new statistics change is not the indexes' doing.
    async fn analyze(&self, all: &[&IndexAdvice]) -> Result<(), Error> {
        let tables: BTreeSet<String> = (all.iter())
            .map(|it| it.definition.table.to_string())
            .collect();
        for table in tables {
            if !self.is_over() {
                indexes::analyze(self.queries, &table, self.limits()).await?;
            }
        }
        Ok(())
    }

    /// The limit of what takes long now, and that of statements afterwards.
    fn limits(&self) -> (Duration, Duration) {
        (self.runs.clock.left(), self.options.time)
    }

    fn tell(&mut self, step: TrialStep, done: usize, of: usize) {
        (self.on_progress)(TrialProgress { step, done, of });
    }

    async fn run_before(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        let statements = self.workload.statements();
        for (done, statement) in statements.iter().enumerate() {
            self.tell(TrialStep::Before, done, statements.len());
            match self.before(statement).await? {
                Ok(tried) => seen.tried.push(tried),
                Err(reason) => seen.not_run.push(NotRun {
                    name: statement.name.clone(),
                    reason,
                }),
            }
        }
        Ok(())
    }

    /// A statement as it runs without the indexes, or why it does not.
    async fn before(
        &self,
        statement: &'a WorkloadStatement,
    ) -> Result<Result<Tried<'a>, NotRunReason>, Error> {
        if self.is_over() {
            return Ok(Err(NotRunReason::NotTried));
        }
        let Some(sql) = planned_text(&statement.sql) else {
            return Ok(Err(NotRunReason::Command));
        };
        let ran = self.runs.fastest(sql, FIRST).await?;
        Ok(ran.map(|before| Tried {
            statement,
            sql,
            before,
            after: None,
            is_given_up: false,
        }))
    }

    async fn build(
        &mut self,
        all: &[&'a IndexAdvice],
        seen: &mut Seen<'a>,
    ) -> Result<(), TrialError> {
        for (done, index) in all.iter().copied().enumerate() {
            if self.is_over() {
                return Ok(());
            }
            self.tell(TrialStep::Building, done, all.len());
            match Built::build(self.queries, index, self.limits()).await? {
                Build::Done(built) => seen.built.push(built),
                Build::Refused(reason) => seen.gone.push(Gone { index, reason }),
                Build::PassedOver => seen.passed_over.push(index.name.clone()),
                Build::Cancelled(_) if self.is_over() => return Ok(()),
                Build::Cancelled(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs each statement whose plan is another one now.
    async fn run_after(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        let of = seen.tried.len();
        for (done, it) in seen.tried.iter_mut().enumerate() {
            if self.is_over() {
                return Ok(());
            }
            self.tell(TrialStep::After, done, of);
            let sql = it.sql;
            let is_same = self.runs.shape(sql).await? == it.before.shape;
            it.after = Some(match is_same {
                true => it.before.clone(),
                false => self.runs.again(sql, FIRST).await?,
            });
        }
        Ok(())
    }

    fn is_slower(&self, it: &Tried<'_>) -> bool {
        let Some(after) = &it.after else {
            return false;
        };
        let limit = it.before.took.as_secs_f64() * self.options.slower + LEAST.as_secs_f64();
        after.fails.is_some()
            || (it.before.shape != after.shape && after.took.as_secs_f64() > limit)
    }

    fn told(&self, seen: Seen<'a>) -> Trial {
        let passed_over = (seen.built.iter())
            .filter(|it| it.is_passed_over)
            .map(|it| it.advice.name.clone());
        let plans = || seen.tried.iter().filter_map(|it| it.after.as_ref());
        let taken = (seen.built.iter())
            .filter(|it| plans().any(|plan| it.is_in(&plan.indexes)))
            .map(|it| it.advice.name.clone());
        let discarded = seen.gone.into_iter().map(|it| DiscardedIndex {
            name: it.index.name.clone(),
            reason: it.reason,
        });
        Trial {
            statements: seen.tried.iter().map(|it| self.told_of(it)).collect(),
            not_run: seen.not_run,
            discarded: discarded.collect(),
            taken: taken.collect(),
            passed_over: passed_over.chain(seen.passed_over).collect(),
            size_bytes: seen.built.iter().map(|it| it.size_bytes).sum(),
            with_all: seen.with_all,
            is_complete: !self.is_over(),
        }
    }

    fn told_of(&self, it: &Tried<'_>) -> TriedStatement {
        let after = it.after.as_ref();
        let another = after.filter(|after| after.shape != it.before.shape);
        TriedStatement {
            name: it.statement.name.clone(),
            calls: it.statement.calls,
            before: it.before.took,
            after: after.map(|it| it.took),
            fails: after.and_then(|it| it.fails.clone()),
            is_slower: self.is_slower(it),
            plan_after: another.map(|it| it.outline.clone()),
        }
    }
}

impl Tried<'_> {
    fn took(&self) -> Duration {
        self.after.as_ref().unwrap_or(&self.before).took
    }
}

impl Seen<'_> {
    /// What all statements take with the indexes that are left.
    fn sum(&self) -> Duration {
        report::sum((self.tried.iter()).map(|it| (it.statement.calls, it.took())))
    }
}
