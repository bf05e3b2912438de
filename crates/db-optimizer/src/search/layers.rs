//! The first look: which candidates the planner would ever take.
//!
//! A statement is planned with all of its candidates at once, then without those that the plan
//! used, and so on until nothing is left that helps. What never shows is left out of the search.

use ruleiq_query::Queries;

use super::Search;
use crate::{Error, IndexDefinition};

/// The most layers of one statement.
const MAX_LAYERS: usize = 10;
/// A layer that betters a statement by less than this is the last.
const LEAST_GAIN: f64 = 0.005;

/// With so few statements, each is also planned with what was proposed for others: one index may
/// serve several, though it is no one's best.
const FEW: usize = 40;
/// However many statements there are, each has so many questions.
const LEAST_LAYERS: u64 = 4;
/// So many candidates are tried at once: with more, planning a join takes ever longer.
const PART: usize = 24;

/// Deals candidates out, so that each part has some of each kind.
fn parts(candidates: &[usize]) -> Vec<Vec<usize>> {
    let count = candidates.len().div_ceil(PART).max(1);
    let part = |first: usize| {
        candidates
            .iter()
            .copied()
            .skip(first)
            .step_by(count)
            .collect()
    };
    (0..count).map(part).collect()
}

/// What a statement costs with these candidates, of which it uses those.
#[derive(Clone, Debug)]
pub(super) struct LayerAnswer {
    pub(super) statement: usize,
    pub(super) asked: Vec<usize>,
    pub(super) used: Vec<usize>,
    pub(super) cost: f64,
}

impl<'b, Q: Queries> Search<'_, 'b, Q> {
    pub(super) async fn layers(&mut self) -> Result<Vec<LayerAnswer>, Error> {
        let mut answers = Vec::new();
        let count = self.task.statements.len();
        let share = self.limits.explains.saturating_mul(9) / 20 / count.max(1) as u64;
        for statement in self.dearest_first() {
            // Each has its share, and what those before it have left.
            self.layers_until = self.whatif.explains + share.max(LEAST_LAYERS);
            let of_statement = &self.task.statements[statement];
            let all: Vec<usize> = match count <= FEW {
                true => of_statement.relevant.clone(),
                false => of_statement.own.iter().copied().collect(),
            };
            let mut winners: Vec<usize> = Vec::new();
            for part in parts(&all) {
                let from = answers.len();
                self.peel(statement, part, &mut answers).await?;
                winners.extend(
                    answers[from..]
                        .iter()
                        .flat_map(|it| it.used.iter().copied()),
                );
            }
            winners.truncate(2 * PART);
            self.peel(statement, winners, &mut answers).await?;
        }
        Ok(answers)
    }

    /// The statements, those with the most cost in all first.
    fn dearest_first(&self) -> Vec<usize> {
        let statements = &self.task.statements;
        let cost = |it: usize| statements[it].weight * statements[it].cost;
        let mut order: Vec<usize> = (0..statements.len()).collect();
        order.sort_by(|a, b| cost(*b).total_cmp(&cost(*a)).then(a.cmp(b)));
        order
    }

    /// Plans a statement with candidates until those that are left do not help. What cannot be
    /// planned in time is tried in halves.
    async fn peel(
        &mut self,
        statement: usize,
        candidates: Vec<usize>,
        answers: &mut Vec<LayerAnswer>,
    ) -> Result<(), Error> {
        let mut parts = vec![candidates];
        while let Some(mut part) = parts.pop() {
            if !self.peel_part(statement, part.clone(), answers).await? && part.len() > 1 {
                let half = part.split_off(part.len() / 2);
                parts.extend([part, half]);
            }
        }
        Ok(())
    }

    /// Answers whether it could be planned in time.
    async fn peel_part(
        &mut self,
        statement: usize,
        mut left: Vec<usize>,
        answers: &mut Vec<LayerAnswer>,
    ) -> Result<bool, Error> {
        let base = self.task.statements[statement].cost;
        for _ in 0..MAX_LAYERS {
            let has_had_its_share = self.whatif.explains >= self.layers_until;
            if left.is_empty() || has_had_its_share || self.is_over() {
                return Ok(true);
            }
            let indexes: Vec<(usize, &'b IndexDefinition)> =
                left.iter().map(|it| (*it, self.definition(*it))).collect();
            let explain = &self.task.statements[statement].explain;
            let Some(answer) = self.whatif.ask(explain, &indexes, |_| true).await? else {
                return Ok(false);
            };
            let helps = answer.cost < base * (1.0 - LEAST_GAIN);
            answers.push(LayerAnswer {
                statement,
                asked: left.clone(),
                used: answer.used.clone(),
                cost: answer.cost,
            });
            if answer.used.is_empty() || !helps {
                return Ok(true);
            }
            left.retain(|it| !answer.used.iter().any(|used| self.is_alike(*it, *used)));
        }
        Ok(true)
    }

    /// Whether two indexes hold the same columns and rows and begin with the same one, so that one
    /// layer is enough for both.
    fn is_alike(&self, one: usize, two: usize) -> bool {
        let (one, two) = (self.definition(one), self.definition(two));
        let names = |it: &IndexDefinition| {
            let keys = it.keys.iter().map(|it| it.on.clone());
            let stored = it.include.iter().cloned().map(crate::KeyOn::Column);
            let mut names: Vec<_> = keys.chain(stored).collect();
            names.sort();
            names
        };
        one == two
            || (one.table == two.table
                && one.predicate == two.predicate
                && one.keys.first() == two.keys.first()
                && names(one) == names(two))
    }
}
