//! Two sets of indexes for one workload under one budget, priced by one sample of the rows.
//!
//! A sample moves every price by up to a point in a hundred. So both sides of a case are found and
//! priced together, three times over, each time by another sample; what the case reports is the time
//! with the middle ratio.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Instant,
};

use ruleiq_bench::Fault;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{
    advise::{Found, Sizes, Task, advise, advise_and_try},
    extend::extend,
    planner::Planner,
    price::{Price, price},
    queries::QuerySet,
    ruleiq,
    site::{Opened, Site},
};
use crate::Env;

/// Samples of the rows.
const ROUNDS: usize = 3;

/// Who finds a set.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Contestant {
    /// The optimizer, with what writes cost where that counts.
    Advice,
    /// The same after a trial of what it advises.
    TriedAdvice,
    /// The optimizer, to which writing costs nothing.
    AdviceForReading,
    /// The search of [`extend`](super::extend).
    Extend,
    /// Somebody who had time.
    ByHand,
}

/// What a set is searched for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Terms {
    /// For which workload.
    pub(super) site: Site,
    /// The most that all indexes may take, of the size of the tables.
    pub(super) budget_percent: f64,
    /// Whose bytes count.
    pub(super) sizes: Sizes,
    /// What an entry in an index costs a write, in the planner's units.
    pub(super) entry_cost: f64,
    /// How many times as often as written each write comes.
    pub(super) writes_times: f64,
    /// One of so many statements is there.
    pub(super) one_of: usize,
    /// A file of what Extend found by another sample, which is its set where it is the better one.
    #[serde(skip)]
    pub(super) recorded: &'static str,
}

/// A contest, which all sides of a case share while one of them lasts.
#[derive(Debug, Serialize)]
pub(super) struct Contest {
    pub(super) terms: Terms,
    pub(super) subject: Contestant,
    pub(super) control: Contestant,
    is_tiny: bool,
    #[serde(skip)]
    shared: Mutex<Weak<Outcome>>,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) opened: Opened,
    pub(super) subject: Set,
    pub(super) control: Set,
    pub(super) data_bytes: u64,
}

/// A set, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) indexes: Vec<String>,
    /// The price for the plans, which its arm asks for again.
    pub(super) price: Price,
    pub(super) counts: BTreeMap<String, f64>,
}

/// A set of one round.
struct Entry {
    found: Found,
    price: Price,
    search_us: f64,
}

struct Round {
    none: Price,
    subject: Entry,
    control: Entry,
}

impl Contest {
    pub(super) fn new(
        terms: Terms,
        subject: Contestant,
        control: Contestant,
        is_tiny: bool,
    ) -> Contest {
        Contest {
            terms,
            subject,
            control,
            is_tiny,
            shared: Mutex::default(),
        }
    }

    /// How it goes, or went for the other side.
    pub(super) async fn outcome(&self, env: &Env) -> Result<Arc<Outcome>, Fault> {
        let mut shared = self.shared.lock().await;
        if let Some(outcome) = shared.upgrade() {
            return Ok(outcome);
        }
        let outcome = Arc::new(self.play(env).await?);
        *shared = Arc::downgrade(&outcome);
        Ok(outcome)
    }

    async fn play(&self, env: &Env) -> Result<Outcome, Fault> {
        let site = self.terms.site;
        let mut opened = if self.is_tiny {
            site.open_own(env).await?
        } else {
            site.open(env).await?
        };
        if !self.is_tiny && !site.is_as_written(&opened).await? {
            let why = "the workload names rows of the demo seed, which the database has not";
            return Err(Fault::Failed(why.to_owned()));
        }
        opened.queries = opened.queries.one_of(self.terms.one_of);
        let queries = opened.queries.clone().writing(self.terms.writes_times);
        let count = if self.is_tiny { 1 } else { ROUNDS };
        let mut rounds = Vec::new();
        for _ in 0..count {
            opened.analyze().await?;
            rounds.push(self.round(&opened, &queries).await?);
        }
        let data_bytes = Planner::connect(&opened.url).await?.data_bytes().await?;
        let middle = middle(&rounds);
        let [subject, control] = [Round::subject, Round::control].map(|side| {
            let entry = side(middle);
            Set {
                indexes: entry.found.indexes.clone(),
                price: entry.price.clone(),
                counts: counts(&rounds, middle, side),
            }
        });
        Ok(Outcome {
            opened,
            subject,
            control,
            data_bytes,
        })
    }

    async fn round(&self, opened: &Opened, queries: &QuerySet) -> Result<Round, Fault> {
        let mut planner = Planner::connect(&opened.url).await?;
        Ok(Round {
            none: price(&mut planner, queries, &[], self.terms.entry_cost).await?,
            subject: self.entry(self.subject, &mut planner, queries).await?,
            control: self.entry(self.control, &mut planner, queries).await?,
        })
    }

    async fn entry(
        &self,
        contestant: Contestant,
        planner: &mut Planner,
        queries: &QuerySet,
    ) -> Result<Entry, Fault> {
        let task = self.terms.task(planner).await?;
        let began = Instant::now();
        let found = contestant.find(planner, queries, task).await?;
        let search_us = began.elapsed().as_secs_f64() * 1e6;
        let (found, price) = self.better(contestant, planner, queries, found).await?;
        if self.terms.sizes == Sizes::Hypopg && price.index_bytes > task.budget_bytes {
            return Err(Fault::Wrong(format!(
                "{contestant:?} takes {} bytes of {}",
                price.index_bytes, task.budget_bytes
            )));
        }
        Ok(Entry {
            found,
            price,
            search_us,
        })
    }

    /// A set and its price; those of the recorded set where Extend found that better one before.
    async fn better(
        &self,
        contestant: Contestant,
        planner: &mut Planner,
        queries: &QuerySet,
        found: Found,
    ) -> Result<(Found, Price), Fault> {
        let Terms {
            recorded,
            entry_cost,
            ..
        } = self.terms;
        let its = price(planner, queries, &found.indexes, entry_cost).await?;
        let before = Found::recorded(recorded);
        if contestant != Contestant::Extend || before.indexes.is_empty() {
            return Ok((found, its));
        }
        let budget_bytes = self.terms.task(planner).await?.budget_bytes;
        let price = price(planner, queries, &before.indexes, entry_cost).await?;
        if price.index_bytes > budget_bytes || price.total() >= its.total() {
            return Ok((found, its));
        }
        let explains = found.explains;
        Ok((Found { explains, ..before }, price))
    }
}

impl Terms {
    /// The same with the bytes that there are.
    pub(super) async fn task(&self, planner: &Planner) -> Result<Task, Fault> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let budget = planner.data_bytes().await? as f64 * self.budget_percent / 100.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a size"
        )]
        let budget_bytes = budget as u64;
        Ok(Task {
            budget_bytes,
            sizes: self.sizes,
            entry_cost: self.entry_cost,
        })
    }
}

impl Contestant {
    /// The set that it finds.
    pub(super) async fn find(
        self,
        planner: &mut Planner,
        queries: &QuerySet,
        task: Task,
    ) -> Result<Found, Fault> {
        let for_reading = Task {
            entry_cost: 0.0,
            ..task
        };
        match self {
            Contestant::Advice => advise(planner, queries, &task).await,
            Contestant::TriedAdvice => advise_and_try(planner, queries, &task).await,
            Contestant::AdviceForReading => advise(planner, queries, &for_reading).await,
            Contestant::Extend => extend(planner, queries, &task).await,
            Contestant::ByHand => Ok(ruleiq::by_hand()),
        }
    }
}

impl Round {
    fn subject(&self) -> &Entry {
        &self.subject
    }

    fn control(&self) -> &Entry {
        &self.control
    }

    fn ratio(&self) -> f64 {
        self.subject.price.total() / self.control.price.total()
    }
}

/// The round with the middle ratio.
fn middle(rounds: &[Round]) -> &Round {
    let mut sorted: Vec<&Round> = rounds.iter().collect();
    sorted.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    sorted[sorted.len() / 2]
}

/// What a side shows: prices of the round in the middle, and the dearest of all searches.
fn counts(rounds: &[Round], middle: &Round, side: fn(&Round) -> &Entry) -> BTreeMap<String, f64> {
    let entry = side(middle);
    let most = |of: fn(&Entry) -> f64| rounds.iter().map(|it| of(side(it))).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let counts = [
        ("sampled_cost", entry.price.total()),
        (
            "sampled_cost_percent_of_none",
            100.0 * entry.price.total() / middle.none.total(),
        ),
        ("sampled_indexes", entry.found.indexes.len() as f64),
        ("sampled_index_bytes", entry.price.index_bytes as f64),
        ("sampled_explains", most(|it| it.found.explains as f64)),
        ("sampled_search_us", most(|it| it.search_us)),
    ];
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(subject: f64, control: f64) -> Round {
        let price = |plans| Price {
            plans,
            entries: 0.0,
            index_bytes: 7,
        };
        let entry = |plans| Entry {
            found: Found {
                indexes: vec!["one".to_owned()],
                explains: 5,
            },
            price: price(plans),
            search_us: plans,
        };
        Round {
            none: price(200.0),
            subject: entry(subject),
            control: entry(control),
        }
    }

    #[test]
    fn what_counts_is_the_middle_ratio_and_the_longest_search() {
        let rounds = [round(90.0, 100.0), round(50.0, 100.0), round(70.0, 70.0)];
        let middle = middle(&rounds);
        let ours = counts(&rounds, middle, Round::subject);
        assert!((ours["sampled_cost"] - 90.0).abs() < 1e-9, "{ours:?}");
        assert!((ours["sampled_cost_percent_of_none"] - 45.0).abs() < 1e-9);
        let theirs = counts(&rounds, middle, Round::control);
        assert!(
            (theirs["sampled_search_us"] - 100.0).abs() < 1e-9,
            "{theirs:?}"
        );
    }
}
