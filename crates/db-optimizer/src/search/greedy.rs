//! Adds what brings most, then takes parts out and fills the room again.
//!
//! What an index saves only shrinks, as a rule, while others are added. So the list is kept by what
//! each saved when it was last asked for, and only its head is asked for again (Minoux 1978, "lazy
//! greedy"): if it stays at the head, it is the best.

use ruleiq_query::Queries;

use super::{Search, costs::Costs, index_set::IndexSet, problem::Problem};
use crate::Error;

/// By what the next index is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Score {
    /// What a byte saves: right while the budget is tight.
    PerByte,
    /// What it saves: right while there is room.
    InAll,
}

/// Indexes that are added together: one, or those that one plan uses.
#[derive(Clone, Copy, Debug)]
struct Item {
    set: IndexSet,
    /// What it saved when it was last asked for.
    saving: f64,
    /// Whether that was with the set as it is now.
    is_fresh: bool,
}

impl Score {
    fn of(self, saving: f64, bytes: f64) -> f64 {
        match self {
            Score::PerByte => saving / bytes.max(1.0),
            Score::InAll => saving,
        }
    }
}

impl<Q: Queries> Search<'_, '_, Q> {
    /// Adds to a set whatever saves most, while it fits.
    pub(super) async fn filled(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        mut set: IndexSet,
        score: Score,
        forbidden: IndexSet,
    ) -> Result<IndexSet, Error> {
        let mut items = items(problem, costs, set, forbidden);
        loop {
            let room = problem.budget() - problem.bytes(set);
            items.retain(|it| {
                let bytes = problem.bytes(it.set.minus(set));
                it.saving > 0.0 && bytes > 0.0 && bytes <= room
            });
            let score_of = |it: &Item| score.of(it.saving, problem.bytes(it.set.minus(set)));
            let best = (0..items.len())
                .max_by(|a, b| score_of(&items[*a]).total_cmp(&score_of(&items[*b])));
            let Some(best) = best else {
                return Ok(set);
            };
            let with = set.or(items[best].set);
            if items[best].is_fresh {
                set = with;
                items.swap_remove(best);
                items.iter_mut().for_each(|it| it.is_fresh = false);
                continue;
            }
            if self.is_over() {
                return Ok(set);
            }
            self.ask_touched(problem, costs, set, with).await?;
            items[best].saving = problem.saving(costs, set, with);
            items[best].is_fresh = true;
        }
    }

    /// Asks what the statements cost that differ between two sets.
    async fn ask_touched(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        from: IndexSet,
        to: IndexSet,
    ) -> Result<(), Error> {
        for statement in problem.touched(to.minus(from).or(from.minus(to))) {
            self.ask(problem, costs, statement, from).await?;
            self.ask(problem, costs, statement, to).await?;
        }
        Ok(())
    }

    /// Takes each index out in turn, fills the room with others, and keeps what is better.
    pub(super) async fn exchanged(
        &mut self,
        problem: &Problem,
        costs: &mut Costs,
        set: IndexSet,
    ) -> Result<Option<IndexSet>, Error> {
        for out in set.iter().collect::<Vec<_>>() {
            let smaller = set.without(out);
            for score in [Score::PerByte, Score::InAll] {
                let forbidden = IndexSet::of(out);
                let other = self
                    .filled(problem, costs, smaller, score, forbidden)
                    .await?;
                let other = self
                    .filled(problem, costs, other, score, IndexSet::default())
                    .await?;
                self.ask_touched(problem, costs, set, other).await?;
                // By what a set is taken, too: or the same one would be offered again and again.
                let saving = problem.at_most(costs, set) - problem.at_most(costs, other);
                if saving > problem.least_saving() {
                    return Ok(Some(other));
                }
                if self.is_over() {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }
}

/// A set by what is known already, without asking: there is an answer from then on.
pub(super) fn known(problem: &Problem, costs: &Costs) -> IndexSet {
    let mut items: Vec<IndexSet> = (0..problem.len()).map(IndexSet::of).collect();
    items.extend(costs.used_together());
    let mut set = IndexSet::default();
    loop {
        let now = problem.at_most(costs, set);
        let room = problem.budget() - problem.bytes(set);
        let mut best: Option<(f64, IndexSet)> = None;
        items.retain(|item| {
            let bytes = problem.bytes(item.minus(set));
            let saving = now - problem.at_most(costs, set.or(*item));
            let score = saving / bytes.max(1.0);
            if saving > problem.least_saving() && bytes <= room {
                if best.is_none_or(|it| score > it.0) {
                    best = Some((score, *item));
                }
                return true;
            }
            // Two that help together may help once one of them is there.
            bytes > 0.0 && bytes <= room && item.iter().nth(1).is_some()
        });
        match best {
            Some((_, item)) => set = set.or(item),
            None => return set,
        }
    }
}

/// All that may be added: single indexes, and those that one plan uses together.
fn items(problem: &Problem, costs: &mut Costs, set: IndexSet, forbidden: IndexSet) -> Vec<Item> {
    let worthwhile = problem.undominated(costs);
    let all: IndexSet = worthwhile.iter().copied().collect();
    let mut sets: Vec<IndexSet> = worthwhile.into_iter().map(IndexSet::of).collect();
    sets.extend(costs.used_together());
    sets.retain(|it| it.is_subset(&all));
    sets.retain(|it| !it.is_subset(&set) && it.and(forbidden).is_empty());
    let item = |added: IndexSet| Item {
        saving: problem.saving(costs, set, set.or(added)),
        set: added,
        is_fresh: false,
    };
    sets.into_iter().map(item).collect()
}
