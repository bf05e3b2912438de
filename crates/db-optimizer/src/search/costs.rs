//! What is known of costs, and what follows from it.

use std::collections::HashMap;

use super::{Task, index_set::IndexSet, layers::LayerAnswer, problem::Problem};

/// One answer of the planner: with any set between `used` and `asked`, the statement costs this.
#[derive(Clone, Copy, Debug)]
struct Answer {
    asked: IndexSet,
    used: IndexSet,
    cost: f64,
}

/// What is known of one statement.
#[derive(Debug)]
struct Known {
    relevant: IndexSet,
    base: f64,
    answers: Vec<Answer>,
    /// What each candidate saves alone, where that is known.
    gains: HashMap<usize, f64>,
    estimates: HashMap<IndexSet, f64>,
}

#[derive(Debug)]
pub(super) struct Costs {
    statements: Vec<Known>,
    /// The table of each candidate, as a number.
    tables: Vec<usize>,
}

impl Costs {
    pub(super) fn new(task: &Task, problem: &Problem, answers: Vec<LayerAnswer>) -> Costs {
        let statements = task.statements.iter().map(|it| {
            let none = IndexSet::default();
            Known {
                relevant: problem.compact(&it.relevant),
                base: it.cost,
                answers: vec![Answer {
                    asked: none,
                    used: none,
                    cost: it.cost,
                }],
                gains: HashMap::new(),
                estimates: HashMap::new(),
            }
        });
        let mut costs = Costs {
            statements: statements.collect(),
            tables: problem.tables(task),
        };
        for it in answers {
            let (asked, used) = (problem.compact(&it.asked), problem.compact(&it.used));
            // A plan that uses what is not searched among says nothing of the others.
            if used.iter().count() == it.used.len() {
                costs.learn(it.statement, asked, used, it.cost);
            }
        }
        costs
    }

    pub(super) fn relevant(&self, statement: usize) -> IndexSet {
        self.statements[statement].relevant
    }

    /// What a statement costs as things are.
    pub(super) fn base(&self, statement: usize) -> f64 {
        self.statements[statement].base
    }

    /// What a candidate saves of a statement alone.
    pub(super) fn gain(&self, statement: usize, index: usize) -> Option<f64> {
        let alone = IndexSet::of(index);
        let known = &self.statements[statement];
        let cost = self.known(statement, alone);
        cost.map(|it| known.base - it)
            .or(known.gains.get(&index).copied())
    }

    /// The table of a candidate, as a number.
    pub(super) fn table(&self, index: usize) -> usize {
        self.tables[index]
    }

    /// The sets of two and three indexes that a plan uses.
    pub(super) fn used_together(&self) -> Vec<IndexSet> {
        let answers = self.statements.iter().flat_map(|it| &it.answers);
        let mut found: Vec<IndexSet> = Vec::new();
        for answer in answers {
            let is_few = (2..=3).contains(&answer.used.iter().count());
            if is_few && !found.contains(&answer.used) {
                found.push(answer.used);
            }
        }
        found
    }

    pub(super) fn learn(&mut self, statement: usize, asked: IndexSet, used: IndexSet, cost: f64) {
        if !cost.is_finite() {
            return;
        }
        let known = &mut self.statements[statement];
        let mut of_used = used.iter();
        if let (Some(only), None) = (of_used.next(), of_used.next()) {
            known.gains.insert(only, (known.base - cost).max(0.0));
        }
        let mut of_asked = asked.iter();
        if let (Some(only), None) = (of_asked.next(), of_asked.next()) {
            known.gains.insert(only, (known.base - cost).max(0.0));
        }
        known.answers.push(Answer { asked, used, cost });
        known.estimates.clear();
    }

    /// Takes the cost of the best known part for that of a set that cannot be planned in time.
    pub(super) fn give_up(&mut self, statement: usize, set: IndexSet) {
        let known = &mut self.statements[statement];
        let parts = known.answers.iter().filter(|it| it.used.is_subset(&set));
        let best = parts.min_by(|one, two| one.cost.total_cmp(&two.cost));
        if let Some(&Answer { cost, .. }) = best {
            known.answers.push(Answer {
                asked: set,
                used: set,
                cost,
            });
            known.estimates.clear();
        }
    }

    /// What a statement costs with a set, if an answer says so.
    pub(super) fn known(&self, statement: usize, set: IndexSet) -> Option<f64> {
        let known = &self.statements[statement];
        let set = set.and(known.relevant);
        let says = |it: &&Answer| it.used.is_subset(&set) && set.is_subset(&it.asked);
        known.answers.iter().find(says).map(|it| it.cost)
    }

    /// What a statement costs with a set at most: what it costs with the best part that is known.
    pub(super) fn at_most(&self, statement: usize, set: IndexSet) -> f64 {
        let known = &self.statements[statement];
        let set = set.and(known.relevant);
        let parts = known.answers.iter().filter(|it| it.used.is_subset(&set));
        parts.map(|it| it.cost).fold(known.base, f64::min)
    }

    /// What a statement costs with a set as far as one can tell, rather too little than too much.
    pub(super) fn estimate(&mut self, statement: usize, set: IndexSet) -> f64 {
        let known = &mut self.statements[statement];
        let set = set.and(known.relevant);
        if let Some(estimate) = known.estimates.get(&set) {
            return *estimate;
        }
        let estimate = known.work_out(set, &self.tables);
        known.estimates.insert(set, estimate);
        estimate
    }
}

impl Known {
    fn work_out(&self, set: IndexSet, tables: &[usize]) -> f64 {
        let (mut upper, mut lower) = (self.base, 0.0_f64);
        let mut used = IndexSet::default();
        for answer in &self.answers {
            let holds_used = answer.used.is_subset(&set);
            let is_held = set.is_subset(&answer.asked);
            if holds_used && is_held {
                return answer.cost;
            }
            if holds_used && answer.cost < upper {
                (upper, used) = (answer.cost, answer.used);
            }
            if is_held {
                lower = lower.max(answer.cost);
            }
        }
        // Each further table may save what its best index saves alone.
        let served: Vec<usize> = used.iter().map(|it| tables[it]).collect();
        let mut savings: Vec<(usize, f64)> = Vec::new();
        for index in set.minus(used).iter() {
            let (table, gain) = (tables[index], self.gains.get(&index).copied());
            let gain = gain.unwrap_or(self.base - lower);
            if served.contains(&table) {
                continue;
            }
            match savings.iter_mut().find(|it| it.0 == table) {
                Some(saving) => saving.1 = saving.1.max(gain),
                None => savings.push((table, gain)),
            }
        }
        let saved: f64 = savings.iter().map(|it| it.1).sum();
        (upper - saved).max(lower).min(upper)
    }
}
