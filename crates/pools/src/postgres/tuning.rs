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

use self::climb::{Climb, EVIDENCE, Move, Why, is_alarming, is_worth_it};
pub use self::{
    advice::{PoolOptimization, PoolRecommendation, PoolSetting, PoolStep, StepOutcome},
    share::ConnectionShare,
};
pub(crate) use self::{
    advice::{Situation, Standbys},
    climb::waits,
    gradient::{EVERY, Gradient, LOOK},
    share::{Instance, ask},
};
use super::usage::{PoolUsage, Totals};

/// Samples of a window.
const SAMPLES: u32 = 10;
/// Of a window, how long a step may take to be felt, before it is measured: connections are opened.
const SETTLING: u32 = 4;
/// Samples after which one that does much harm is undone.
const ALARM: u32 = 3;
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
    /// What the server said last.
    pub(crate) last_share: Option<ConnectionShare>,
}

/// What of the server's connections is fair, and the most that may be advised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) share: Option<ConnectionShare>,
    pub(crate) most: usize,
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
            last_share: None,
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
        let (_, step) = self.steps.back_mut()?;
        let (before, after) = (step.before, of(step.to, seen));
        let is_measured = after.time >= self.window && after.checkouts >= EVIDENCE;
        // Nobody has to suffer for as long as it takes to be sure.
        let is_worse = after.time >= self.window * ALARM / SAMPLES
            && is_alarming(&before, (limit(step.to), &after));
        if !is_measured && !is_worse && now < trial.until {
            return None;
        }
        self.trial = None;
        let is_kept = is_measured && !is_worse && judge(&mut self.climb, step, after);
        if let Some(limit) = limit(step.to) {
            let usage = Some(&after).filter(|_| is_measured);
            self.climb.note(limit, usage, now);
        }
        step.after = (is_measured || is_worse).then_some(after);
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

    /// What should be another.
    pub(crate) fn advise(
        &self,
        now: Instant,
        situation: &Situation,
        bounds: Bounds,
    ) -> PoolOptimization {
        let usage = self.usage(situation.limit());
        // What is on trial is not told twice, and what was not seen for a window, or often, tells nothing.
        let is_seen = usage.time >= self.window && usage.checkouts >= EVIDENCE;
        let is_free = self.trial.is_none();
        // While fewer are permitted than there may be, more of these would change nothing.
        let is_judged = is_seen && situation.permitted.is_none();
        let replica_share = situation.replica_share(&usage);
        let replica_share =
            replica_share.filter(|it| is_free && is_seen && !self.has_failed(it, now));
        let next = self.climb.next(situation.limit(), bounds.most, &usage, now);
        // What others can do needs no more connections.
        let is_needed = |it: &Move| replica_share.is_none() || it.to < situation.limit();
        let next = next.filter(|it| it.why == Why::TooMany || is_judged && is_needed(it));
        let next = next.map(|it| situation.of_move(it, bounds, &usage));
        let size = situation.size(&usage).filter(|_| is_judged);
        let size = size.filter(|_| replica_share.is_none() && !self.has_sized(now));
        let all = [
            next.or(size).filter(|_| is_free),
            replica_share,
            situation.timeout(&usage).filter(|_| is_seen),
            situation.statement_timeout(&usage).filter(|_| is_seen),
        ];
        PoolOptimization {
            usage,
            is_measured: is_seen,
            share: bounds.share,
            recommendations: all.into_iter().flatten().collect(),
            steps: self.steps.iter().map(|(_, step)| step.clone()).collect(),
        }
    }

    /// Whether the number of those that stay open was set a while ago: it is not on trial.
    fn has_sized(&self, now: Instant) -> bool {
        let is_fresh =
            |began: Instant| now.saturating_duration_since(began) <= self.window * REMEMBERED;
        self.steps.iter().any(|(began, step)| {
            let is_size = limit(step.from).is_some() && limit(step.from) == limit(step.to);
            is_size && is_fresh(*began)
        })
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
    pub(crate) fn begin(&mut self, now: Instant, it: &PoolRecommendation) -> PoolStep {
        let seen = self.seen();
        let is_on_trial = it.is_on_trial;
        if is_on_trial && let Some(limit) = limit(it.now) {
            self.climb.note(limit, Some(&seen.own), now);
        }
        let step = PoolStep {
            from: it.now,
            to: it.to,
            evidence: it.evidence.clone(),
            expected: it.expected.clone(),
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

    /// Somebody else has set the limits. What has become of a step that was on trial? One of theirs stays as they
    /// have set it.
    pub(crate) fn overrule(&mut self, now: Instant) -> Option<Verdict> {
        self.climb.forget();
        self.settle(now);
        self.trial.take()?;
        let (_, step) = self.steps.back_mut()?;
        step.outcome = StepOutcome::Overruled;
        Some(Verdict {
            outcome: step.outcome,
            undo: limit(step.to).is_none().then_some(step.from),
        })
    }

    /// How the pool is used, which may have so many connections.
    pub(crate) fn usage(&self, limit: usize) -> PoolUsage {
        let mut usage = self.seen().own;
        // One that came back while it was counted was counted twice.
        #[expect(
            clippy::cast_precision_loss,
            reason = "there are fewer than 2^52 connections"
        )]
        let most = limit as f64;
        usage.in_use = usage.in_use.min(most);
        usage
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

/// Whether what a step has set is to be kept, used so.
fn judge(climb: &mut Climb, step: &PoolStep, after: PoolUsage) -> bool {
    match (limit(step.from), limit(step.to)) {
        (Some(from), Some(to)) => climb.is_better((from, &step.before), (to, &after)),
        (from, to) => is_worth_it((from, &step.before), (to, &after)),
    }
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
                    permitted: None,
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
                    let totals = self.usage.totals(Duration::ZERO);
                    let said = self.tuner.sample(self.now, totals.clone(), totals);
                    verdict = verdict.or(said);
                }
            }
            verdict
        }

        fn advice(&self) -> PoolOptimization {
            self.advice_with(None)
        }

        fn advice_with(&self, share: Option<ConnectionShare>) -> PoolOptimization {
            let most = self.most;
            self.tuner
                .advise(self.now, &self.situation, Bounds { share, most })
        }

        fn apply(&mut self) -> PoolStep {
            let first = self.advice().recommendations.remove(0);
            let step = self.tuner.begin(self.now, &first);
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
        // They were as good: then whether more of them are better,
        pool.used(2, 4_000, 90 * MS, 10 * MS);
        pool.apply();
        assert_eq!(pool.situation.limit(), 16);
        let verdict = pool.used(2, 4_000, 60 * MS, 40 * MS).unwrap();
        pool.set(verdict.undo.unwrap());
        // and whether fewer do as well.
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
    fn a_step_that_little_is_seen_of_is_undone() {
        let mut pool = Pool::new(2, 0);
        pool.used(2, 150, 9 * MS, 10 * MS);
        let step = pool.apply();
        assert_eq!(pool.used(2, 80, 9 * MS, 10 * MS), None);
        let verdict = pool.used(2, 80, 9 * MS, 10 * MS).unwrap();
        assert_eq!(verdict.undo, Some(step.from));
        assert_eq!(pool.last().after, None);
    }

    #[test]
    fn a_step_that_does_harm_is_undone_before_its_time() {
        let mut pool = Pool::new(8, 0);
        pool.most = 8;
        pool.used(2, 4_000, 9 * MS, 10 * MS);
        let step = pool.apply();
        assert_eq!(pool.situation.limit(), 4);
        let began = pool.now;
        let every = pool.tuner.every();
        let verdict = loop {
            pool.now += every;
            if pool.tuner.is_due(pool.now) {
                // All are out, and none comes back.
                let totals = pool.usage.totals(4 * (pool.now - began));
                if let Some(verdict) = pool.tuner.sample(pool.now, totals.clone(), totals) {
                    break verdict;
                }
            }
        };
        assert_eq!(verdict.undo, Some(step.from));
        assert!(pool.now - began < WINDOW, "{:?}", pool.now - began);
    }

    #[test]
    fn nothing_is_advised_before_a_window_was_seen_nor_while_fewer_are_permitted() {
        let mut pool = Pool::new(2, 2);
        for _ in 0..5_000 {
            pool.usage.waited(9 * MS);
            pool.usage.held(10 * MS);
        }
        pool.used(1, 0, MS, MS);
        assert_eq!(
            (pool.advice().is_measured, pool.advice().recommendations),
            (false, vec![])
        );
        pool.used(1, 2_000, 9 * MS, 10 * MS);
        assert!(pool.advice().is_measured);
        assert_eq!(pool.advice().recommendations.len(), 1);
        pool.situation.permitted = Some(3);
        assert_eq!(pool.advice().recommendations, []);
    }

    #[test]
    fn whoever_sets_the_limits_by_hand_overrules() {
        let mut pool = Pool::new(2, 0);
        pool.used(2, 2_000, 9 * MS, 10 * MS);
        pool.apply();
        let overruled = Verdict {
            outcome: StepOutcome::Overruled,
            undo: None,
        };
        assert_eq!(pool.tuner.overrule(pool.now), Some(overruled));
        assert_eq!(pool.tuner.overrule(pool.now), None);
        assert_eq!(pool.last().outcome, StepOutcome::Overruled);
        assert_eq!(pool.used(4, 2_000, 9 * MS, 10 * MS), None);
    }

    #[test]
    fn more_than_a_fair_share_is_given_up_at_once() {
        let mut pool = Pool::new(20, 20);
        pool.most = 12;
        let share = ConnectionShare::new(97, 25, 6, 0);
        let advice = pool.advice_with(Some(share));
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
        pool.most = 1;
        let advice = pool.advice_with(Some(none));
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
