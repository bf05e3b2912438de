//! Taking out what makes a statement slower, and what nobody needs.

use ruleiq_query::Queries;

use super::{Course, Gone, Seen, Tried};
use crate::{
    Error, TrialProgress, TrialStep,
    trial::{
        DiscardReason,
        indexes::{self, Built},
        runs::{AGAIN, FIRST, Fastest},
    },
};

/// The statements whose plans are others than before, by their places.
type Changes = Vec<(usize, Fastest)>;

impl<'a, Q: Queries, P: FnMut(TrialProgress) + Send> Course<'a, Q, P> {
    pub(super) async fn trim(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        while let Some(place) = self.slowest(seen).await? {
            let (done, of) = (seen.gone.len(), seen.gone.len() + seen.built.len());
            self.tell(TrialStep::Discarding, done, of);
            self.discard_for(place, seen).await?;
        }
        if !self.is_over() {
            self.discard_unused(seen).await?;
        }
        Ok(())
    }

    /// The statement that loses most, as often as it runs, once it has been looked at again.
    async fn slowest(&mut self, seen: &mut Seen<'a>) -> Result<Option<usize>, Error> {
        loop {
            let loss = |it: &Tried<'_>| {
                let lost = it.took().saturating_sub(it.before.took);
                it.statement.calls * lost.as_secs_f64()
            };
            let tried = &seen.tried;
            let slower = (0..tried.len())
                .filter(|at| !tried[*at].is_given_up && self.is_slower(&tried[*at]));
            let slowest = slower.max_by(|a, b| loss(&tried[*a]).total_cmp(&loss(&tried[*b])));
            let Some(place) = slowest.filter(|_| !self.is_over()) else {
                return Ok(None);
            };
            self.look_again(place, seen).await?;
            let it = &seen.tried[place];
            if !it.is_given_up && self.is_slower(it) {
                return Ok(Some(place));
            }
        }
    }

    /// Runs a statement more often, with the indexes and without.
    async fn look_again(&mut self, place: usize, seen: &mut Seen<'a>) -> Result<(), Error> {
        let sql = seen.tried[place].sql;
        let after = self.runs.again(sql, AGAIN).await?;
        indexes::save(self.queries).await?;
        let all: Vec<&Built<'_>> = seen.built.iter().collect();
        let before = match indexes::take_out(self.queries, &all).await {
            Ok(()) => self.runs.again(sql, AGAIN).await,
            Err(error) => Err(error),
        };
        let before = indexes::undo(self.queries, before).await?;
        let it = &mut seen.tried[place];
        match before.fails {
            None => it.before = it.before.clone().or(before),
            // It fails by itself, now and then.
            Some(_) => it.is_given_up = true,
        }
        it.after = Some(match it.after.take() {
            Some(earlier) => earlier.or(after),
            None => after,
        });
        Ok(())
    }

    /// Takes out the index that makes a statement slower: the one without which it is not. Of several such,
    /// and if there is none, it is the one without which all statements take least.
    async fn discard_for(&mut self, place: usize, seen: &mut Seen<'a>) -> Result<(), Error> {
        let plan = seen.tried[place].after.as_ref().map(|it| &it.indexes);
        let is_taken = |at: &usize| plan.is_some_and(|it| seen.built[*at].is_in(it));
        let mut suspects: Vec<usize> = (0..seen.built.len()).filter(is_taken).collect();
        // What has no plan at all, or one without them, may owe that to any.
        if suspects.is_empty() {
            suspects = (0..seen.built.len()).collect();
        }
        let mut best: Option<(bool, f64, usize, Changes)> = None;
        for index in suspects {
            let Some(changes) = self.without(index, seen).await? else {
                return Ok(());
            };
            let changed = with(&seen.tried, &changes);
            let is_slow = self.is_slower(&changed[place]);
            let seconds: f64 = (changed.iter())
                .map(|it| it.statement.calls * it.took().as_secs_f64())
                .sum();
            if (best.as_ref()).is_none_or(|it| (is_slow, seconds) < (it.0, it.1)) {
                best = Some((is_slow, seconds, index, changes));
            }
        }
        let Some((_, _, index, changes)) = best.filter(|it| !it.3.is_empty()) else {
            seen.tried[place].is_given_up = true;
            return Ok(());
        };
        let index = seen.built.remove(index);
        indexes::take_out(self.queries, &[&index]).await?;
        let it = &seen.tried[place];
        seen.gone.push(Gone {
            index: index.advice,
            reason: DiscardReason::Slower {
                statement: it.statement.name.clone(),
                before: it.before.took,
                after: it.took(),
                fails: it.after.as_ref().and_then(|it| it.fails.clone()),
            },
        });
        seen.tried = with(&seen.tried, &changes);
        Ok(())
    }

    /// What changes without an index; nothing where the time is over.
    async fn without(&mut self, index: usize, seen: &Seen<'a>) -> Result<Option<Changes>, Error> {
        indexes::save(self.queries).await?;
        let changes = match indexes::take_out(self.queries, &[&seen.built[index]]).await {
            Ok(()) => self.changes(&seen.tried).await,
            Err(error) => Err(error),
        };
        indexes::undo(self.queries, changes).await
    }

    /// Runs the statements whose plans are others now; nothing where the time is over.
    async fn changes(&mut self, tried: &[Tried<'a>]) -> Result<Option<Changes>, Error> {
        let mut changes = Vec::new();
        for (at, it) in tried.iter().enumerate() {
            if self.is_over() {
                return Ok(None);
            }
            let sql = it.sql;
            let shape = self.runs.shape(sql).await?;
            if it.after.as_ref().is_some_and(|after| after.shape == shape) {
                continue;
            }
            let ran = match it.before.shape == shape {
                true => it.before.clone(),
                false => self.runs.again(sql, FIRST).await?,
            };
            if it.after.as_ref().is_none_or(|it| it.shape != ran.shape) {
                changes.push((at, ran));
            }
        }
        Ok(Some(changes))
    }

    /// Takes out what no plan has and no plan misses, where all were run that it was advised for.
    async fn discard_unused(&mut self, seen: &mut Seen<'a>) -> Result<(), Error> {
        let is_used = |it: &Built<'_>| {
            let plans = seen.tried.iter().filter_map(|it| it.after.as_ref());
            plans.into_iter().any(|plan| it.is_in(&plan.indexes))
        };
        let is_tried = |name: &str| seen.tried.iter().any(|it| it.statement.name == name);
        let is_unused = |it: &Built<'_>| {
            let helps = &it.advice.helps;
            let all_tried = !helps.is_empty() && helps.iter().all(|it| is_tried(&it.name));
            all_tried && !it.is_passed_over && !is_used(it)
        };
        let mut at = 0;
        while at < seen.built.len() {
            if !is_unused(&seen.built[at]) {
                at += 1;
                continue;
            }
            match self.without(at, seen).await? {
                None => return Ok(()),
                // Its statistics serve a plan that does not take it.
                Some(changes) if !changes.is_empty() => at += 1,
                Some(_) => {
                    let index = seen.built.remove(at);
                    indexes::take_out(self.queries, &[&index]).await?;
                    seen.gone.push(Gone {
                        index: index.advice,
                        reason: DiscardReason::Unused,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The statements after some changes.
fn with<'a>(tried: &[Tried<'a>], changes: &Changes) -> Vec<Tried<'a>> {
    let mut tried = tried.to_vec();
    for (at, after) in changes {
        tried[*at].after = Some(after.clone());
    }
    tried
}
