//! A pool that tells what its settings should be, and tries it when it is told to.
//!
//! How it is used is kept for one window, in samples (`usage`). From that, and from what the server has
//! for all (`share`), follows what to try (`climb`) and what is told (`advice`). A step is on trial for a window:
//! if it was no better, what was there before comes back. Nothing here talks to a server or looks at a clock.

mod advice;
mod climb;
mod gradient;
mod share;

#[cfg(test)]
mod tests;

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
    /// Whether the last of the steps is on trial: when it is undone, if too little was seen.
    trial_until: Option<Instant>,
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
            trial_until: None,
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
        let until = self.trial_until?;
        let seen = self.seen();
        let (_, step) = self.steps.back_mut()?;
        let (before, after) = (step.before, of(step.to, seen));
        let is_measured = after.time >= self.window && after.checkouts >= EVIDENCE;
        // Nobody has to suffer for as long as it takes to be sure.
        let is_worse = after.time >= self.window * ALARM / SAMPLES
            && is_alarming(&before, (limit(step.to), &after));
        if !is_measured && !is_worse && now < until {
            return None;
        }
        self.trial_until = None;
        let is_kept = is_measured && !is_worse && judge(&self.climb, step, after);
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
        let is_free = self.trial_until.is_none();
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
        let is_sized = is_judged && replica_share.is_none() && !self.has_sized(now);
        let size = situation.size(&usage).filter(|_| is_sized);
        let all = [
            next.or(size).filter(|_| is_free),
            replica_share,
            situation.timeout(&usage).filter(|_| is_seen),
            situation.statement_timeout().filter(|_| is_seen),
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
        self.remembered(now).any(|step| {
            let (from, to) = (limit(step.from), limit(step.to));
            from.is_some() && from == to
        })
    }

    /// Whether the same was undone a while ago.
    fn has_failed(&self, it: &PoolRecommendation, now: Instant) -> bool {
        self.remembered(now).any(|step| {
            let is_same = (step.from, step.to) == (it.now, it.to);
            is_same && step.outcome == StepOutcome::Undone
        })
    }

    fn remembered(&self, now: Instant) -> impl Iterator<Item = &PoolStep> {
        let since = self.window * REMEMBERED;
        let steps = self.steps.iter();
        steps
            .filter(move |(began, _)| now.saturating_duration_since(*began) <= since)
            .map(|(_, step)| step)
    }

    /// Whether a step is being measured.
    pub(crate) fn is_trying(&self) -> bool {
        self.trial_until.is_some()
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
        self.trial_until = is_on_trial.then(|| now + self.window * PATIENCE);
        tracing::info!(from = ?step.from, to = ?step.to, evidence = it.evidence, "a step of the pool's was applied");
        self.settle(now);
        step
    }

    /// Somebody else has set the limits. What has become of a step that was on trial? One of theirs stays as they
    /// have set it.
    pub(crate) fn overrule(&mut self, now: Instant) -> Option<Verdict> {
        self.climb.forget();
        self.settle(now);
        self.trial_until.take()?;
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
fn judge(climb: &Climb, step: &PoolStep, after: PoolUsage) -> bool {
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
