//! The course of a trial: without the indexes, with all of them, and with ever fewer.

use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed, time::Duration};

use ruleiq_query::Queries;
use tokio::time::Instant;

use super::{
    DiscardReason, DiscardedIndex, NotRun, NotRunReason, Trial, TrialError, TrialOptions,
    TrialProgress, TrialStep, TriedStatement, failed,
    indexes::{self, Built},
    runs::{AGAIN, FIRST, Fastest, Runs},
};
use crate::{Advice, Error, Workload, WorkloadStatement};

/// A difference that is no more than this is a clock's.
const LEAST: Duration = Duration::from_micros(100);

pub(super) struct Course<'a, Q, P> {
    queries: &'a Q,
    workload: &'a Workload,
    options: &'a TrialOptions,
    runs: Runs<'a, Q>,
    started: Instant,
    on_progress: P,
}

/// A statement that can be run.
#[derive(Debug)]
struct Tried<'a> {
    statement: &'a WorkloadStatement,
    before: Fastest,
    after: Fastest,
    /// Whether it is slower, whatever is taken out.
    is_given_up: bool,
}

/// What is seen so far.
#[derive(Debug, Default)]
struct Seen<'a> {
    tried: Vec<Tried<'a>>,
    not_run: Vec<NotRun>,
    built: Vec<Built<'a>>,
    discarded: Vec<DiscardedIndex>,
}

/// What it is like without one more index: the statements that took it, by their places.
struct Without {
    index: usize,
    after: Vec<(usize, Fastest)>,
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
            runs: Runs::new(queries, options.timeout),
            started: Instant::now(),
            on_progress,
        }
    }

    pub(super) async fn run(mut self, advice: &'a Advice) -> Result<Trial, TrialError> {
        let mut seen = Seen::default();
        self.run_before(&mut seen).await?;
        if seen.tried.is_empty() {
            return Err(TrialError::NothingRuns {
                not_run: seen.not_run,
            });
        }
        self.build(advice, &mut seen).await?;
        self.run_after(&mut seen).await?;
        while let Some(place) = self.slowest(&mut seen).await? {
            self.discard_for(place, &mut seen).await?;
            let (done, of) = (
                seen.discarded.len(),
                seen.discarded.len() + seen.built.len(),
            );
            self.tell(TrialStep::Discarding, done, of);
        }
        let is_complete = !self.is_over();
        if is_complete {
            self.discard_unused(&mut seen).await?;
        }
        Ok(Trial {
            statements: seen.tried.iter().map(|it| self.told(it)).collect(),
            not_run: seen.not_run,
            size_bytes: seen.built.iter().map(|it| it.size_bytes).sum(),
            discarded: seen.discarded,
            is_complete,
        })
    }

    fn is_over(&self) -> bool {
        let stop = self.options.stop.as_ref();
        stop.is_some_and(|it| it.load(Relaxed)) || self.started.elapsed() >= self.options.time
    }

    fn tell(&mut self, step: TrialStep, done: usize, of: usize) {
        (self.on_progress)(TrialProgress { step, done, of });
    }

    async fn run_before(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        let statements = self.workload.statements();
        for (done, statement) in statements.iter().enumerate() {
            self.tell(TrialStep::Before, done, statements.len());
            let ran = match self.is_over() {
                true => Err(NotRunReason::NotTried),
                false => self.runs.fastest(&statement.sql, FIRST).await?,
            };
            match ran {
                Ok(before) => seen.tried.push(Tried {
                    statement,
                    after: before.clone(),
                    before,
                    is_given_up: false,
                }),
                Err(reason) => seen.not_run.push(NotRun {
                    name: statement.name.clone(),
                    reason,
                }),
            }
        }
        Ok(())
    }

    async fn build(&mut self, advice: &'a Advice, seen: &mut Seen<'a>) -> Result<(), TrialError> {
        let all: Vec<_> = advice.indexes.iter().chain(&advice.untested).collect();
        for (done, index) in all.iter().enumerate() {
            if self.is_over() {
                return Ok(());
            }
            self.tell(TrialStep::Building, done, all.len());
            match Built::build(self.queries, index).await? {
                Ok(built) => seen.built.push(built),
                Err(reason) => seen.discarded.push(DiscardedIndex {
                    name: index.name.clone(),
                    reason,
                }),
            }
        }
        indexes::analyze(self.queries, &seen.built).await?;
        Ok(())
    }

    /// Runs each statement whose plan is another one now.
    async fn run_after(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        let of = seen.tried.len();
        for (done, it) in seen.tried.iter_mut().enumerate() {
            self.tell(TrialStep::After, done, of);
            if self.is_over() {
                return Ok(());
            }
            let sql = &it.statement.sql;
            if self.runs.shape(sql).await?.as_ref() == Some(&it.before.shape) {
                continue;
            }
            if let Some(after) = self.runs.fastest_or_limit(sql, FIRST).await? {
                it.after = after;
            }
        }
        Ok(())
    }

    fn is_slower(&self, it: &Tried<'_>) -> bool {
        let limit = it.before.took.mul_f64(self.options.slower) + LEAST;
        it.before.shape != it.after.shape && it.after.took > limit
    }

    /// The statement that loses most, as often as it runs, once it has been looked at again.
    async fn slowest(&mut self, seen: &mut Seen<'a>) -> Result<Option<usize>, Error> {
        loop {
            let loss = |it: &Tried<'_>| {
                let lost = it.after.took.saturating_sub(it.before.took);
                it.statement.calls * lost.as_secs_f64()
            };
            let slower = (0..seen.tried.len())
                .filter(|at| !seen.tried[*at].is_given_up && self.is_slower(&seen.tried[*at]));
            let slowest =
                slower.max_by(|a, b| loss(&seen.tried[*a]).total_cmp(&loss(&seen.tried[*b])));
            let Some(place) = slowest.filter(|_| !self.is_over()) else {
                return Ok(None);
            };
            self.look_again(place, seen).await?;
            if self.is_slower(&seen.tried[place]) {
                return Ok(Some(place));
            }
        }
    }

    /// Runs a statement more often, with the indexes and without.
    async fn look_again(&mut self, place: usize, seen: &mut Seen<'a>) -> Result<(), Error> {
        let sql = &seen.tried[place].statement.sql;
        let after = self.runs.fastest_or_limit(sql, AGAIN).await?;
        self.save().await?;
        let all: Vec<&Built<'_>> = seen.built.iter().collect();
        let taken_out = indexes::take_out(self.queries, &all).await;
        let before = match taken_out {
            Ok(()) => self.runs.fastest_or_limit(sql, AGAIN).await,
            Err(error) => Err(error),
        };
        let before = indexes::undo(self.queries, before).await?;
        let it = &mut seen.tried[place];
        if let (Some(before), Some(after)) = (before, after) {
            it.before = it.before.clone().or(before);
            it.after = it.after.clone().or(after);
        }
        Ok(())
    }

    /// Takes out the index that makes a statement slower: the one without which it is not, and
    /// without which all takes least. If no single one does, the one without which it takes least.
    async fn discard_for(&mut self, place: usize, seen: &mut Seen<'a>) -> Result<(), Error> {
        let taken = &seen.tried[place].after.indexes;
        let suspects: Vec<usize> = (0..seen.built.len())
            .filter(|at| seen.built[*at].is_in(taken))
            .collect();
        let mut best: Option<(bool, f64, Without)> = None;
        for index in suspects {
            let without = self.without(index, place, seen).await?;
            let (is_cured, seconds) = self.judged(&without, place, seen);
            let is_better = best
                .as_ref()
                .is_none_or(|(cured, least, _)| (is_cured, -seconds) > (*cured, -least));
            if is_better {
                best = Some((is_cured, seconds, without));
            }
        }
        let Some((_, _, without)) = best else {
            seen.tried[place].is_given_up = true;
            return Ok(());
        };
        let index = seen.built.remove(without.index);
        indexes::take_out(self.queries, &[&index]).await?;
        let it = &seen.tried[place];
        seen.discarded.push(DiscardedIndex {
            name: index.advice.name.clone(),
            reason: DiscardReason::Slower {
                statement: it.statement.name.clone(),
                before: it.before.took,
                after: it.after.took,
            },
        });
        for (at, after) in without.after {
            seen.tried[at].after = after;
        }
        Ok(())
    }

    /// What the statements take that an index is used for, without it.
    async fn without(
        &mut self,
        index: usize,
        place: usize,
        seen: &Seen<'a>,
    ) -> Result<Without, Error> {
        let built = &seen.built[index];
        self.save().await?;
        let mut after = Vec::new();
        let mut done = indexes::take_out(self.queries, &[built]).await;
        for (at, it) in seen.tried.iter().enumerate() {
            if done.is_err() || !(at == place || built.is_in(&it.after.indexes)) {
                continue;
            }
            match self.runs.fastest_or_limit(&it.statement.sql, FIRST).await {
                Ok(ran) => after.extend(ran.map(|it| (at, it))),
                Err(error) => done = Err(error),
            }
        }
        indexes::undo(self.queries, done).await?;
        Ok(Without { index, after })
    }

    /// Whether a statement is not slower any more, and what matters then: what all others take that change, or
    /// else that statement alone.
    fn judged(&self, without: &Without, place: usize, seen: &Seen<'a>) -> (bool, f64) {
        let taken = |at: usize| {
            let found = without.after.iter().find(|it| it.0 == at);
            found.map_or(&seen.tried[at].after, |it| &it.1)
        };
        let it = &seen.tried[place];
        let alone = Tried {
            statement: it.statement,
            before: it.before.clone(),
            after: taken(place).clone(),
            is_given_up: false,
        };
        if self.is_slower(&alone) {
            return (false, alone.after.took.as_secs_f64());
        }
        let seconds = (seen.tried.iter().enumerate())
            .map(|(at, it)| it.statement.calls * taken(at).took.as_secs_f64());
        (true, seconds.sum())
    }

    /// Takes out what no plan has, where all were run that it was advised for.
    async fn discard_unused(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        let used: BTreeSet<String> = (seen.tried.iter())
            .flat_map(|it| it.after.indexes.iter().cloned())
            .collect();
        let is_tried = |name: &str| seen.tried.iter().any(|it| it.statement.name == name);
        let is_unused = |it: &Built<'_>| {
            let helps = &it.advice.helps;
            !it.is_in(&used) && !helps.is_empty() && helps.iter().all(|it| is_tried(&it.name))
        };
        let (unused, kept) = std::mem::take(&mut seen.built)
            .into_iter()
            .partition(is_unused);
        seen.built = kept;
        let unused: Vec<Built<'_>> = unused;
        indexes::take_out(self.queries, &unused.iter().collect::<Vec<_>>()).await?;
        let discarded = unused.iter().map(|it| DiscardedIndex {
            name: it.advice.name.clone(),
            reason: DiscardReason::Unused,
        });
        seen.discarded.extend(discarded);
        Ok(())
    }

    async fn save(&self) -> Result<(), Error> {
        let saved = self.queries.batch_execute("SAVEPOINT ruleiq_trial").await;
        saved.map_err(failed)
    }

    fn told(&self, it: &Tried<'_>) -> TriedStatement {
        let is_another = it.before.shape != it.after.shape;
        TriedStatement {
            name: it.statement.name.clone(),
            calls: it.statement.calls,
            before: it.before.took,
            after: it.after.took,
            is_slower: self.is_slower(it),
            cost_after: it.after.cost,
            plan_after: is_another.then(|| it.after.outline.clone()),
        }
    }
}
