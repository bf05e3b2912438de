//! A pool that tells what its settings should be, and tries it when it is told to.
//!
//! How it is used is kept for one window, in samples (`usage`). From that, and from what the server has
//! for all (`share`), follows what to try (`climb`) and what is told (`advice`). A step is on trial for a window:
//! if it was no better, what was there before comes back. Nothing here talks to a server or looks at a clock.

mod advice;
mod climb;
mod gradient;
mod share;

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use self::climb::{Climb, EVIDENCE, is_worth_it};
pub use self::{
    advice::{PoolOptimization, PoolRecommendation, PoolSetting, PoolStep, StepOutcome},
    share::ConnectionShare,
};
pub(crate) use self::{
    advice::{Situation, Standbys},
    climb::waits,
    gradient::{EVERY, Gradient},
    share::{Instance, ask},
};
use super::usage::{PoolUsage, Totals};

/// Samples of a window.
const SAMPLES: u32 = 10;
/// Of a window, how long a step may take to be felt, before it is measured: connections are opened.
const SETTLING: u32 = 4;
/// Windows that a step waits for enough requests to be judged by,
const PATIENCE: u32 = 3;
/// and that what was tried is remembered for.
const REMEMBERED: u32 = 60;
/// Steps that are told of.
const TOLD: usize = 16;
const SHORTEST_WINDOW: Duration = Duration::from_millis(200);
const LONGEST_WINDOW: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(crate) struct Tuner {
    window: Duration,
    samples: VecDeque<Sample>,
    /// What is sampled before is of other settings.
    since: Option<Instant>,
    climb: Climb,
    trial: Option<Trial>,
    /// With when they began.
    steps: VecDeque<(Instant, PoolStep)>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    /// Of the connections to the primary, and of all.
    own: Totals,
    all: Totals,
}

/// What the last of the steps is tried for.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// When it is undone, if nothing was to be seen.
    until: Instant,
}

/// What has become of a step, and what is to be set back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) outcome: StepOutcome,
    pub(crate) undo: Option<PoolSetting>,
}

/// How the pool is used, of its own connections and of all.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    own: PoolUsage,
    all: PoolUsage,
}

impl Tuner {
    pub(crate) fn new(window: Duration) -> Tuner {
        let window = window.clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        Tuner {
            window,
            samples: VecDeque::new(),
            since: None,
            climb: Climb::new(window * REMEMBERED),
            trial: None,
            steps: VecDeque::new(),
        }
    }

    /// How often to call [`sample`](Tuner::sample).
    pub(crate) fn every(&self) -> Duration {
        self.window / SAMPLES
    }

    /// Whether it is time for the next sample.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let last = self.samples.back().map(|it| it.at + self.every());
        last.max(self.since).is_none_or(|due| now >= due)
    }

    /// Takes what has happened up to now, here and on all servers. Answers what has become of a step that was on
    /// trial for long enough.
    pub(crate) fn sample(&mut self, now: Instant, own: Totals, all: Totals) -> Option<Verdict> {
        self.samples.push_back(Sample { at: now, own, all });
        // The oldest one is the last that is a window old.
        while self
            .samples
            .get(1)
            .is_some_and(|it| it.at + self.window <= now)
        {
            self.samples.pop_front();
        }
        let trial = self.trial?;
        let seen = self.seen();
        let is_measured = seen.own.time >= self.window && seen.all.checkouts >= EVIDENCE;
        if !is_measured && now < trial.until {
            return None;
        }
        self.trial = None;
        let (_, step) = self.steps.back_mut()?;
        let is_kept = is_measured && judge(&mut self.climb, step, seen, now);
        if is_measured {
            step.after = Some(of(step.to, seen));
        }
        step.outcome = match is_kept {
            true => StepOutcome::Kept,
            false => StepOutcome::Undone,
        };
        tracing::info!(from = ?step.from, to = ?step.to, outcome = ?step.outcome, "a step of the pool's was judged");
        let verdict = Verdict {
            outcome: step.outcome,
            undo: (!is_kept).then_some(step.from),
        };
        if verdict.undo.is_some() {
            self.settle(now);
        }
        Some(verdict)
    }

    /// What should be another, with no more than `most` connections.
    pub(crate) fn advise(
        &self,
        now: Instant,
        situation: &Situation,
        most: usize,
        share: Option<ConnectionShare>,
    ) -> PoolOptimization {
        let usage = self.seen().own;
        let next = self.climb.next(situation.limit(), most, &usage, now);
        let replica_share = situation.replica_share(&usage);
        let replica_share = replica_share.filter(|it| !self.has_failed(it, now));
        let connections = next
            // What others can do needs no more connections.
            .filter(|it| replica_share.is_none() || it.to < situation.limit())
            .map(|it| situation.of_move(it, most, share, &usage))
            .or_else(|| situation.size(&usage).filter(|_| replica_share.is_none()));
        // What is on trial is not told twice.
        let is_free = self.trial.is_none();
        let all = [
            connections.filter(|_| is_free),
            replica_share.filter(|_| is_free),
            situation.timeout(&usage),
            situation.statement_timeout(&usage),
        ];
        PoolOptimization {
            usage,
            share,
            recommendations: all.into_iter().flatten().collect(),
            steps: self.steps.iter().map(|(_, step)| step.clone()).collect(),
        }
    }

    /// Whether the same was undone a while ago.
    fn has_failed(&self, it: &PoolRecommendation, now: Instant) -> bool {
        let remembered_for = self.window * REMEMBERED;
        self.steps.iter().any(|(began, step)| {
            let is_fresh = now.saturating_duration_since(*began) <= remembered_for;
            let is_same = (step.from, step.to) == (it.now, it.to);
            is_fresh && is_same && step.outcome == StepOutcome::Undone
        })
    }

    /// Whether a step is being measured.
    pub(crate) fn is_trying(&self) -> bool {
        self.trial.is_some()
    }

    /// A recommendation is applied now. One that has to be, or that costs nothing, is not on trial.
    pub(crate) fn begin(&mut self, now: Instant, it: &PoolRecommendation, most: usize) -> PoolStep {
        let seen = self.seen();
        let is_on_trial = match (limit(it.now), limit(it.to)) {
            (Some(from), Some(to)) => from != to && from <= most,
            _ => true,
        };
        if is_on_trial && let Some(limit) = limit(it.now) {
            self.climb.note(limit, &seen.own, now);
        }
        let step = PoolStep {
            from: it.now,
            to: it.to,
            outcome: match is_on_trial {
                true => StepOutcome::OnTrial,
                false => StepOutcome::Kept,
            },
            before: of(it.to, seen),
            after: None,
        };
        if self.steps.len() == TOLD {
            self.steps.pop_front();
        }
        self.steps.push_back((now, step.clone()));
        self.trial = is_on_trial.then(|| Trial {
            until: now + self.window * PATIENCE,
        });
        tracing::info!(from = ?step.from, to = ?step.to, evidence = it.evidence, "a step of the pool's was applied");
        self.settle(now);
        step
    }

    /// Somebody else has set the limits.
    pub(crate) fn overrule(&mut self, now: Instant) {
        if self.trial.take().is_some()
            && let Some((_, step)) = self.steps.back_mut()
        {
            step.outcome = StepOutcome::Overruled;
        }
        self.climb.forget();
        self.settle(now);
    }

    pub(crate) fn usage(&self) -> PoolUsage {
        self.seen().own
    }

    /// What was measured is of other settings than those from now on.
    fn settle(&mut self, now: Instant) {
        self.samples.clear();
        self.since = Some(now + self.window / SETTLING);
    }

    fn seen(&self) -> Seen {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Seen::default();
        };
        let time = last.at - first.at;
        Seen {
            own: last.own.since(&first.own, time),
            all: last.all.since(&first.all, time),
        }
    }
}

/// Whether what a step has set is to be kept.
fn judge(climb: &mut Climb, step: &PoolStep, seen: Seen, now: Instant) -> bool {
    let usage = of(step.to, seen);
    let (Some(from), Some(to)) = (limit(step.from), limit(step.to)) else {
        return is_worth_it(&step.before, &usage);
    };
    let is_better = climb.is_better((from, &step.before), (to, &usage));
    climb.note(to, &usage, now);
    is_better
}

/// How many connections there may be, where that is what is set.
fn limit(setting: PoolSetting) -> Option<usize> {
    match setting {
        PoolSetting::Connections { size, max_overflow } => Some(size + max_overflow),
        _ => None,
    }
}

/// What a setting is judged by: where reads go, by all servers.
fn of(setting: PoolSetting, seen: Seen) -> PoolUsage {
    match setting {
        PoolSetting::ReplicaShare { .. } => seen.all,
        _ => seen.own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::usage::Usage;

    const WINDOW: Duration = Duration::from_secs(10);
    const MS: Duration = Duration::from_millis(1);

    /// A pool that is used as the tests want it.
    struct Pool {
        tuner: Tuner,
        situation: Situation,
        most: usize,
        usage: Usage,
        now: Instant,
    }

    impl Pool {
        fn new(size: usize, max_overflow: usize) -> Pool {
            Pool {
                tuner: Tuner::new(WINDOW),
                situation: Situation {
                    size,
                    max_overflow,
                    timeout: Duration::from_secs(6),
                    statement_timeout: Some(Duration::from_secs(5)),
                    standbys: None,
                    longest_hold: Duration::from_millis(10),
                },
                most: 90,
                usage: Usage::default(),
                now: Instant::now(),
            }
        }

        /// Is used so for some windows, so many times in each.
        fn used(
            &mut self,
            windows: u32,
            times: u32,
            wait: Duration,
            hold: Duration,
        ) -> Option<Verdict> {
            let mut verdict = None;
            let every = self.tuner.every();
            for _ in 0..windows * SAMPLES {
                for _ in 0..times / SAMPLES {
                    self.usage.waited(wait);
                    self.usage.held(hold);
                }
                self.now += every;
                if self.tuner.is_due(self.now) {
                    let totals = self.usage.totals();
                    let said = self.tuner.sample(self.now, totals.clone(), totals);
                    verdict = verdict.or(said);
                }
            }
            verdict
        }

        fn advice(&self) -> PoolOptimization {
            self.tuner
                .advise(self.now, &self.situation, self.most, None)
        }

        fn apply(&mut self) -> PoolStep {
            let first = self.advice().recommendations.remove(0);
            let step = self.tuner.begin(self.now, &first, self.most);
            self.set(step.to);
            step
        }

        fn set(&mut self, setting: PoolSetting) {
            match setting {
                PoolSetting::Connections { size, max_overflow } => {
                    (self.situation.size, self.situation.max_overflow) = (size, max_overflow);
                }
                PoolSetting::ReplicaShare { share } => {
                    self.situation.standbys.as_mut().unwrap().share = share;
                }
                other => panic!("{other:?} is not to be set"),
            }
        }

        fn last(&self) -> PoolStep {
            self.advice().steps.pop().unwrap()
        }
    }

    #[test]
    fn a_step_that_helps_is_kept() {
        let mut pool = Pool::new(2, 0);
        assert_eq!(pool.advice().recommendations, []);
        assert_eq!(pool.used(2, 2_000, 9 * MS, 10 * MS), None);
        let step = pool.apply();
        assert_eq!(pool.situation.limit(), 4);
        assert_eq!(step.outcome, StepOutcome::OnTrial);
        assert!(pool.tuner.is_trying());
        // It is told as a step, and no other one is advised meanwhile.
        assert_eq!(pool.advice().recommendations, []);

        let verdict = pool.used(2, 3_800, 4 * MS, 10 * MS).unwrap();
        assert_eq!((verdict.outcome, verdict.undo), (StepOutcome::Kept, None));
        assert!(!pool.tuner.is_trying());
        let last = pool.last();
        assert_eq!(last.outcome, StepOutcome::Kept);
        assert!((last.before.throughput - 200.0).abs() < 1.0, "{last:?}");
        let after = last.after.unwrap();
        assert!((after.throughput - 380.0).abs() < 1.0, "{after:?}");
    }

    #[test]
    fn a_step_that_does_not_help_is_undone_and_not_tried_again() {
        let mut pool = Pool::new(3, 1);
        pool.used(2, 4_000, 90 * MS, 10 * MS);
        let step = pool.apply();
        assert_eq!(pool.situation.limit(), 8);
        let verdict = pool.used(2, 4_000, 80 * MS, 20 * MS).unwrap();
        assert_eq!(verdict.outcome, StepOutcome::Undone);
        assert_eq!(verdict.undo, Some(step.from));
        pool.set(step.from);
        // Then whether fewer do as well.
        pool.used(2, 4_000, 90 * MS, 10 * MS);
        pool.apply();
        assert_eq!(pool.situation.limit(), 2);
        let verdict = pool.used(2, 2_000, 190 * MS, 10 * MS).unwrap();
        pool.set(verdict.undo.unwrap());
        // And a few more.
        pool.used(2, 4_000, 90 * MS, 10 * MS);
        pool.apply();
        assert_eq!(pool.situation.limit(), 5);
        let verdict = pool.used(2, 4_000, 90 * MS, 12 * MS).unwrap();
        pool.set(verdict.undo.unwrap());
        pool.used(2, 4_000, 90 * MS, 10 * MS);
        assert_eq!(pool.advice().recommendations, []);
    }

    #[test]
    fn a_step_that_nothing_is_seen_of_is_undone() {
        let mut pool = Pool::new(2, 0);
        pool.used(2, 2_000, 9 * MS, 10 * MS);
        let step = pool.apply();
        assert_eq!(pool.used(2, 0, MS, MS), None);
        let verdict = pool.used(2, 0, MS, MS).unwrap();
        assert_eq!(verdict.undo, Some(step.from));
        assert_eq!(pool.last().after, None);
    }

    #[test]
    fn whoever_sets_the_limits_by_hand_overrules() {
        let mut pool = Pool::new(2, 0);
        pool.used(2, 2_000, 9 * MS, 10 * MS);
        pool.apply();
        pool.tuner.overrule(pool.now);
        assert_eq!(pool.last().outcome, StepOutcome::Overruled);
        assert_eq!(pool.used(4, 2_000, 9 * MS, 10 * MS), None);
    }

    #[test]
    fn more_than_a_fair_share_is_given_up_at_once() {
        let mut pool = Pool::new(20, 20);
        pool.most = 12;
        let share = ConnectionShare::new(97, 25, 6, 0);
        let advice = pool
            .tuner
            .advise(pool.now, &pool.situation, 12, Some(share));
        let evidence = &advice.recommendations[0].evidence;
        assert!(
            evidence.contains("the server allows 97, others use 25, 6 instances"),
            "{evidence}"
        );
        let step = pool.apply();
        assert_eq!(
            (pool.situation.limit(), step.outcome),
            (12, StepOutcome::Kept)
        );
        assert!(!pool.tuner.is_trying());

        let none = ConnectionShare::new(5, 0, 6, 0);
        let advice = pool.tuner.advise(pool.now, &pool.situation, 1, Some(none));
        let evidence = &advice.recommendations[0].evidence;
        assert!(
            evidence.contains("too small for all instances"),
            "{evidence}"
        );
    }

    #[test]
    fn the_size_follows_what_is_in_use_on_average() {
        let mut pool = Pool::new(30, 0);
        // Two in use.
        pool.used(2, 2_000, Duration::ZERO, 10 * MS);
        let step = pool.apply();
        let to = PoolSetting::Connections {
            size: 5,
            max_overflow: 25,
        };
        assert_eq!((step.to, step.outcome), (to, StepOutcome::Kept));
        pool.used(2, 2_000, Duration::ZERO, 10 * MS);
        assert_eq!(pool.advice().recommendations, []);
    }

    #[test]
    fn time_outs_are_advised_and_not_set() {
        let mut pool = Pool::new(2, 0);
        pool.situation.timeout = Duration::from_secs(30);
        pool.situation.statement_timeout = None;
        pool.used(2, 2_000, 9 * MS, 10 * MS);
        let advice = pool.advice();
        let time_outs: Vec<_> = advice.recommendations[1..].iter().collect();
        let limits = time_outs.iter().map(|it| (it.to, it.is_applicable));
        let seconds = Duration::from_secs;
        assert_eq!(
            limits.collect::<Vec<_>>(),
            [
                (PoolSetting::Timeout { limit: seconds(6) }, false),
                (
                    PoolSetting::StatementTimeout {
                        limit: Some(seconds(5))
                    },
                    false
                ),
            ]
        );
    }

    #[test]
    fn reads_go_where_connections_are_free_unless_that_was_no_better() {
        let mut pool = Pool::new(2, 0);
        pool.situation.standbys = Some(Standbys {
            share: 0.5,
            utilization: 0.1,
            waits: false,
        });
        pool.used(2, 2_000, 9 * MS, 10 * MS);
        let step = pool.apply();
        assert_eq!(step.to, PoolSetting::ReplicaShare { share: 0.75 });
        let verdict = pool.used(2, 2_000, 9 * MS, 10 * MS).unwrap();
        assert_eq!(verdict.undo, Some(step.from));
        pool.set(step.from);
        pool.used(2, 2_000, 9 * MS, 10 * MS);
        let next = pool.advice().recommendations.remove(0);
        assert!(
            matches!(next.to, PoolSetting::Connections { .. }),
            "{next:?}"
        );
    }
}
