//! What is searched for, in the numbers of the search.

use super::{
    Found, HEIGHT, LEAST_GAIN, LEAST_GAIN_OF_BASE, LEAST_GAIN_OF_ONE, LEAST_UNITS, Task,
    costs::Costs,
    index_set::{self, IndexSet},
    layers::LayerAnswer,
};

/// A saving that is smaller by this part counts as the same.
const SLACK: f64 = 0.001;

/// The candidates that are searched among, under numbers of their own.
#[derive(Debug)]
pub(super) struct Problem {
    numbers: Vec<usize>,
    bytes: Vec<f64>,
    upkeep: Vec<f64>,
    weights: Vec<f64>,
    /// What the workload costs as things are.
    base: f64,
    budget: f64,
    /// The statements that each candidate may change.
    touched: Vec<Vec<usize>>,
}

impl Problem {
    /// Keeps the candidates that a plan has used and that fit the budget.
    pub(super) fn new(task: &Task, answers: &[LayerAnswer]) -> Problem {
        let mut numbers: Vec<usize> = Vec::new();
        for number in answers.iter().flat_map(|it| &it.used) {
            let fits = task.candidates[*number].bytes <= task.budget_bytes * task.spent_share;
            if fits && !numbers.contains(number) && numbers.len() < index_set::MAX {
                numbers.push(*number);
            }
        }
        numbers.sort_unstable();
        let of = |it: &usize| &task.candidates[*it];
        let touched = numbers.iter().map(|number| {
            let statements = task.statements.iter().enumerate();
            let touched = statements.filter(|it| it.1.relevant.binary_search(number).is_ok());
            touched.map(|it| it.0).collect()
        });
        Problem {
            bytes: numbers.iter().map(|it| of(it).bytes).collect(),
            upkeep: numbers.iter().map(|it| of(it).upkeep).collect(),
            weights: task.statements.iter().map(|it| it.weight).collect(),
            base: task.statements.iter().map(|it| it.weight * it.cost).sum(),
            budget: task.budget_bytes * task.spent_share,
            touched: touched.collect(),
            numbers,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of a candidate in the task.
    pub(super) fn number(&self, index: usize) -> usize {
        self.numbers[index]
    }

    /// Numbers of the task as those here; others are left out.
    pub(super) fn compact(&self, numbers: &[usize]) -> IndexSet {
        let found = numbers
            .iter()
            .filter_map(|it| self.numbers.binary_search(it).ok());
        found.collect()
    }

    /// The table of each candidate, as a number.
    pub(super) fn tables(&self, task: &Task) -> Vec<usize> {
        let mut names = Vec::new();
        let numbers = self.numbers.iter().map(|number| {
            let table = &task.candidates[*number].candidate.definition.table;
            names.iter().position(|it| *it == table).unwrap_or_else(|| {
                names.push(table);
                names.len() - 1
            })
        });
        numbers.collect()
    }

    fn upkeep(&self, set: IndexSet) -> f64 {
        set.iter().map(|it| self.upkeep[it]).sum()
    }

    pub(super) fn budget(&self) -> f64 {
        self.budget
    }

    pub(super) fn bytes(&self, set: IndexSet) -> f64 {
        set.iter().map(|it| self.bytes[it]).sum()
    }

    /// What the workload costs with a set, if it is known of every statement.
    pub(super) fn exact(&self, costs: &Costs, set: IndexSet) -> Option<f64> {
        let mut value = self.upkeep(set);
        for (statement, weight) in self.weights.iter().enumerate() {
            value += weight * costs.known(statement, set)?;
        }
        Some(value)
    }

    /// What the workload costs with a set at most, by what is known.
    pub(super) fn at_most(&self, costs: &Costs, set: IndexSet) -> f64 {
        let statements = self.weights.iter().enumerate();
        let sum: f64 = statements
            .map(|(at, weight)| weight * costs.at_most(at, set))
            .sum();
        sum + self.upkeep(set)
    }

    fn estimate(&self, costs: &mut Costs, set: IndexSet) -> f64 {
        let statements = self.weights.iter().enumerate();
        let sum: f64 = statements
            .map(|(at, weight)| weight * costs.estimate(at, set))
            .sum();
        sum + self.upkeep(set)
    }

    /// The candidates that no other one of the same table outdoes: one that takes no more room, and
    /// saves as much or more of every statement.
    pub(super) fn undominated(&self, costs: &Costs) -> Vec<usize> {
        let gain = |index: usize, statement: usize| costs.gain(statement, index).unwrap_or(0.0);
        let outdoes = |one: usize, other: usize| {
            let is_alike = costs.table(one) == costs.table(other);
            let takes_no_more = self.bytes[one] + 1.0 < self.bytes[other]
                || (self.bytes[one] <= self.bytes[other] + 1.0 && one < other);
            is_alike
                && takes_no_more
                && self.upkeep[one] <= self.upkeep[other]
                && self.touched[other].iter().all(|statement| {
                    gain(one, *statement) >= gain(other, *statement) * (1.0 - SLACK)
                })
        };
        let all = 0..self.len();
        // What helps only with another one looks useless alone.
        let together = costs.used_together().into_iter();
        let together = together.fold(IndexSet::default(), IndexSet::or);
        let survives = |it: &usize| {
            let helps_alone = self.touched[*it].iter().any(|at| gain(*it, *at) > 0.0);
            (!helps_alone && IndexSet::of(*it).is_subset(&together))
                || all.clone().all(|one| one == *it || !outdoes(one, *it))
        };
        all.clone().filter(survives).collect()
    }

    /// The statements that any of these may change.
    pub(super) fn touched(&self, set: IndexSet) -> Vec<usize> {
        let mut touched: Vec<usize> = set.iter().flat_map(|it| self.touched[it].clone()).collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// What adding and taking away these saves, as estimated.
    pub(super) fn saving(&self, costs: &mut Costs, from: IndexSet, to: IndexSet) -> f64 {
        let mut saving = self.upkeep(from) - self.upkeep(to);
        let changed = from.minus(to).or(to.minus(from));
        for statement in self.touched(changed) {
            let before = costs.estimate(statement, from);
            saving += self.weights[statement] * (before - costs.estimate(statement, to));
        }
        saving
    }

    /// A smaller saving is none.
    pub(super) fn least_saving(&self) -> f64 {
        self.base * 1e-6
    }

    pub(super) fn found(&self, costs: &Costs, set: IndexSet) -> Found {
        let costs_of = |set: IndexSet| {
            let statements = 0..self.weights.len();
            statements.map(|it| costs.at_most(it, set)).collect()
        };
        Found {
            chosen: set.iter().map(|it| self.number(it)).collect(),
            costs: costs_of(set),
            costs_without: set.iter().map(|it| costs_of(set.without(it))).collect(),
            is_complete: false,
        }
    }

    /// Whether an index of a set betters neither the whole nor one statement.
    pub(super) fn is_useless(&self, costs: &mut Costs, set: IndexSet, index: usize) -> bool {
        let smaller = set.without(index);
        let whole = self.estimate(costs, smaller);
        let mut saving = self.upkeep(smaller) - self.upkeep(set);
        let mut betters_one = false;
        for &statement in &self.touched[index] {
            let without = costs.estimate(statement, smaller);
            let gain = without - costs.estimate(statement, set);
            if gain.abs() > HEIGHT {
                saving += self.weights[statement] * gain;
                let of_base = LEAST_GAIN_OF_BASE * costs.base(statement);
                let of_one = of_base.max(LEAST_GAIN_OF_ONE * without).max(LEAST_UNITS);
                betters_one |= gain > of_one;
            }
        }
        saving <= 0.0 || (saving < whole * LEAST_GAIN && !betters_one)
    }
}
