//! Which indexes to have, within a budget of bytes.
//!
//! The planner is asked what a statement would cost with some of the candidates, and every answer
//! is kept: it says which indexes the plan uses, so it holds for every set between those and all
//! that were there. Between the answers, costs are estimated from both sides (a set costs at most
//! what a part of it does, and at least what all of it with more does). The search takes the set
//! that the estimates like best, asks what it costs in truth, and goes on until the estimates have
//! nothing better to offer. The best set that was asked for is always at hand.

mod costs;
mod greedy;
mod index_set;
mod layers;
mod problem;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ruleiq_query::Queries;
use tokio::time::Instant;

use crate::{
    Error, IndexDefinition,
    candidates::Candidate,
    whatif::{Explain, WhatIf},
};

use self::{costs::Costs, greedy::Score, index_set::IndexSet, problem::Problem};

/// What is searched for.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) statements: Vec<Statement>,
    pub(crate) candidates: Vec<Proposed>,
    /// The bytes that all indexes together may take.
    pub(crate) budget_bytes: f64,
    /// The part of them that is spent.
    pub(crate) spent_share: f64,
}

/// A statement of the workload.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) explain: Explain,
    pub(crate) weight: f64,
    /// What it costs as things are.
    pub(crate) cost: f64,
    /// The candidates that may change its plan.
    pub(crate) relevant: Vec<usize>,
    /// Those among them that were proposed for it.
    pub(crate) own: BTreeSet<usize>,
}

/// A candidate with what it takes.
#[derive(Debug)]
pub(crate) struct Proposed {
    pub(crate) candidate: Candidate,
    pub(crate) bytes: f64,
    /// The part of the table's rows that it holds.
    pub(crate) share: f64,
    /// What keeping it costs while the workload runs once, in the planner's units.
    pub(crate) upkeep: f64,
    /// Whether the planner can be asked about it. The search is among these.
    pub(crate) is_tested: bool,
}

/// How long to search.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) explains: u64,
    /// Ends the search when it becomes true.
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

impl Task {
    pub(crate) fn definition(&self, number: usize) -> &IndexDefinition {
        &self.candidates[number].candidate.definition
    }
}

/// The best set found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Numbers of candidates.
    pub(crate) chosen: Vec<usize>,
    /// What each statement costs with it, once.
    pub(crate) costs: Vec<f64>,
    /// What each statement costs with all of it but one, for each that is chosen.
    pub(crate) costs_without: Vec<Vec<f64>>,
    /// Whether nothing better was in sight when the search ended.
    pub(crate) is_complete: bool,
}

impl Found {
    /// Things as they are.
    pub(crate) fn nothing(task: &Task) -> Found {
        Found {
            costs: task.statements.iter().map(|it| it.cost).collect(),
            is_complete: true,
            ..Found::default()
        }
    }
}

/// An index must better the whole, with its upkeep, by this part, or one statement by the next.
const LEAST_GAIN: f64 = 0.0005;
const LEAST_GAIN_OF_ONE: f64 = 0.05;
/// The same, of what the statement costs as things are: of little left, nothing matters.
const LEAST_GAIN_OF_BASE: f64 = 0.01;
/// The same, in the planner's units: less than a page that is read at random is nothing.
const LEAST_UNITS: f64 = 4.0;
/// HypoPG's indexes have no height, and the planner takes an eighth for each page on the way down
/// (`selfuncs.c`, `btcostestimate`): a real one that serves a statement as well seems this much dearer.
const HEIGHT: f64 = 0.5;

/// What the search is at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Finding out what plans take.
    Layers,
    /// Asking what each candidate saves alone.
    Singles,
    /// Putting sets together.
    Sets,
    /// Taking out what is useless.
    Pruning,
}

impl Phase {
    /// The part of the limits that is used up at its end at the latest.
    fn part(self) -> f64 {
        match self {
            Phase::Layers => 0.45,
            Phase::Singles => 0.65,
            Phase::Sets => 0.9,
            Phase::Pruning => 1.0,
        }
    }
}

/// A search under way.
pub(crate) struct Search<'a, 'b, Q> {
    pub(crate) whatif: &'b mut WhatIf<'a, Q>,
    pub(crate) task: &'b Task,
    pub(crate) limits: &'b Limits,
    pub(crate) started: Instant,
    /// What it is at.
    pub(crate) phase: Phase,
    /// After how many questions the next statement has its turn.
    pub(crate) layers_until: u64,
    /// Told each better set.
    pub(crate) on_better: &'b mut (dyn FnMut(&Found) + Send),
}

impl<'b, Q: Queries> Search<'_, 'b, Q> {
    /// Whether the phase has used up its part of a limit.
    fn is_over(&self) -> bool {
        let part = self.phase.part();
        let stop = self.limits.stop.as_ref();
        #[expect(clippy::cast_precision_loss, reason = "nobody asks so often")]
        let (explains, limit) = (self.whatif.explains as f64, self.limits.explains as f64);
        stop.is_some_and(|it| it.load(Relaxed))
            || self.started.elapsed() >= self.limits.time.mul_f64(part)
            || explains >= limit * part
    }

    fn definition(&self, number: usize) -> &'b IndexDefinition {
        self.task.definition(number)
    }

    /// Searches until nothing better is in sight or a limit is reached.
    ///
    /// # Errors
    ///
    /// When a statement fails: what was found until then has been told.
    pub(crate) async fn run(mut self) -> Result<Found, Error> {
        let answers = self.layers().await?;
        let problem = Problem::new(self.task, &answers);
        let mut costs = Costs::new(self.task, &problem, answers);
        let none = IndexSet::default();
        let mut best_set = none;
        let known = greedy::known(&problem, &costs);
        self.take_if_better(&problem, &mut costs, &mut best_set, known)
            .await?;
        self.phase = Phase::Singles;
        self.singles(&problem, &mut costs).await?;
        self.phase = Phase::Sets;
        for score in [Score::PerByte, Score::InAll] {
            let set = self.filled(&problem, &mut costs, none, score, none).await?;
            self.take_if_better(&problem, &mut costs, &mut best_set, set)
                .await?;
        }
        let mut is_complete = false;
        while !self.is_over() {
            let Some(better) = self.exchanged(&problem, &mut costs, best_set).await? else {
                is_complete = !self.is_over();
                break;
            };
            self.take_if_better(&problem, &mut costs, &mut best_set, better)
                .await?;
        }
        self.phase = Phase::Pruning;
        best_set = self.without_useless(&problem, &mut costs, best_set).await?;
        let mut found = problem.found(&costs, best_set);
        found.is_complete = is_complete;
        Ok(found)
    }

    /// Takes a set if it costs less, and tells it. What is not known of it is taken for what its best
    /// known part costs, which is never too little.
    async fn take_if_better(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        best: &mut IndexSet,
        set: IndexSet,
    ) -> Result<(), Error> {
        self.verify(problem, costs, set).await?;
        if problem.at_most(costs, set) < problem.at_most(costs, *best) {
            *best = set;
            (self.on_better)(&problem.found(costs, set));
        }
        Ok(())
    }

    /// What each statement costs with each candidate alone.
    async fn singles(&mut self, problem: &Problem, costs: &mut Costs) -> Result<(), Error> {
        for index in 0..problem.len() {
            for statement in 0..self.task.statements.len() {
                if self.is_over() {
                    return Ok(());
                }
                self.ask(problem, costs, statement, IndexSet::of(index))
                    .await?;
            }
        }
        Ok(())
    }

    /// Asks what every statement costs with a set.
    async fn verify(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        set: IndexSet,
    ) -> Result<(), Error> {
        for statement in 0..self.task.statements.len() {
            if self.is_over() {
                return Ok(());
            }
            self.ask(problem, costs, statement, set).await?;
        }
        Ok(())
    }

    /// Asks the planner, unless the answer follows from others.
    async fn ask(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        statement: usize,
        set: IndexSet,
    ) -> Result<(), Error> {
        let set = set.and(costs.relevant(statement));
        if costs.known(statement, set).is_some() {
            return Ok(());
        }
        let indexes: Vec<(usize, &'b IndexDefinition)> = (set.iter())
            .map(|it| (problem.number(it), self.definition(problem.number(it))))
            .collect();
        let relevant = &self.task.statements[statement].relevant;
        let is_relevant = |it: usize| relevant.binary_search(&it).is_ok();
        let explain = &self.task.statements[statement].explain;
        match self.whatif.ask(explain, &indexes, is_relevant).await? {
            Some(answer) => {
                costs.learn(statement, set, problem.compact(&answer.used), answer.cost);
            }
            // At most what the best part of it costs.
            None => costs.give_up(statement, set),
        }
        Ok(())
    }

    /// Takes out what betters neither the whole nor any statement.
    async fn without_useless(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        mut set: IndexSet,
    ) -> Result<IndexSet, Error> {
        for index in set.iter().collect::<Vec<_>>() {
            let smaller = set.without(index);
            self.verify(problem, costs, smaller).await?;
            if problem.exact(costs, smaller).is_none() {
                break;
            }
            if problem.is_useless(costs, set, index) {
                set = smaller;
            }
        }
        Ok(set)
    }
}
