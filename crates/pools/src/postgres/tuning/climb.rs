//! Which number of connections serves best: a search that tries.
//!
//! Little's law tells how many are in use, not how many there should be: where all are in use, it tells the
//! limit itself. Whether more would do more is seen by trying, twice as many at a time (four times where twice
//! were about as good), as long as each step raises what is done (the throughput gradient); whether fewer would do as much, by halves. What was tried is
//! remembered for a while, and not tried again.
//!
//! Callers that come back when they have had their answer make more requests when these are quicker: then
//! throughput and response time tell the same. Others make as many as before, and wait less. So more connections
//! are kept where both are better by a twentieth, or the response time alone by a tenth. That there is more
//! to do proves nothing; but where all connections were in use, more can have been done by the new ones alone, however long
//! the queue that they found. Fewer are kept where neither is worse by more than a twentieth.

use std::{ops::RangeInclusive, time::Duration};

use tokio::time::Instant;

use super::super::usage::PoolUsage;

/// How many times better both have to be for more connections to be kept, throughput and response time,
const BETTER: f64 = 1.05;
/// or the latter alone, where about as much is done.
const QUICKER: f64 = 1.1;
/// What part of the connections in use means all: some are always on their way.
const SATURATED: f64 = 0.9;
/// What fewer have to keep of the best that was seen.
const AS_GOOD: f64 = 0.95;
/// What no step may leave of the throughput, even for a while.
const ALARMING: f64 = 0.5;
/// What part of the checkouts may be refused more often than before.
const REFUSED: f64 = 0.05;
/// Callers wait where they wait for so great a part of the time that connections are kept.
const WAITING: u32 = 10;
/// Fewer in use are no load for a server, and nothing is won by having fewer.
const FEW: usize = 8;
/// Checkouts that tell something.
pub(super) const EVIDENCE: u64 = 100;

#[derive(Debug)]
pub(super) struct Climb {
    records: Vec<Record>,
    remembered_for: Duration,
}

/// How well a limit did.
#[derive(Clone, Copy, Debug)]
struct Record {
    limit: usize,
    /// None where too little was seen to tell.
    score: Option<Score>,
    at: Instant,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
struct Score {
    per_second: f64,
    /// Of the wait and the use, in seconds.
    response: f64,
    /// What part of the checkouts had no connection.
    refused: f64,
}

/// What to try, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Move {
    pub(super) to: usize,
    pub(super) why: Why,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// There may not be so many.
    TooMany,
    /// Callers wait.
    Waiting,
    /// Fewer may do as much.
    Fewer,
}

impl Score {
    fn of(usage: &PoolUsage) -> Score {
        #[expect(clippy::cast_precision_loss, reason = "nobody needs it to more digits")]
        let refused = usage.refused as f64 / usage.checkouts.max(1) as f64;
        Score {
            per_second: usage.throughput,
            response: (usage.wait_mean + usage.hold_mean).as_secs_f64(),
            refused,
        }
    }

    /// How many times more is done than that, and how many times quicker. Nothing where more callers are
    /// turned away.
    fn over(self, other: Score) -> (f64, f64) {
        const LEAST: f64 = 1e-9;
        if self.refused > other.refused + REFUSED {
            return (0.0, 0.0);
        }
        (
            self.per_second.max(LEAST) / other.per_second.max(LEAST),
            other.response.max(LEAST) / self.response.max(LEAST),
        )
    }

    fn is_as_good_as(self, other: Score) -> bool {
        let (more, quicker) = self.over(other);
        more >= AS_GOOD && quicker >= AS_GOOD
    }
}

impl Climb {
    pub(super) fn new(remembered_for: Duration) -> Climb {
        Climb {
            records: Vec::new(),
            remembered_for,
        }
    }

    /// What to try next, of 1 to `most` connections. None where nothing is likely to be better, or
    /// there is too little to tell by.
    pub(super) fn next(
        &self,
        limit: usize,
        most: usize,
        usage: &PoolUsage,
        now: Instant,
    ) -> Option<Move> {
        let most = most.max(1);
        if limit > most {
            let why = Why::TooMany;
            return Some(Move { to: most, why });
        }
        if usage.checkouts < EVIDENCE {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "there are no more in use than there may be"
        )]
        let in_use = usage.in_use as usize;
        let waits = waits(usage);
        let is_loaded = waits || in_use >= FEW;
        let double = limit.saturating_mul(2);
        let more = |to: usize, untried: RangeInclusive<usize>| {
            let (to, why) = (to.min(most), Why::Waiting);
            (waits && to > limit && !self.is_known(to, untried, now)).then_some(Move { to, why })
        };
        let fewer = |to: usize, untried: RangeInclusive<usize>| {
            let (to, why) = (to.max(1), Why::Fewer);
            (is_loaded && to < limit && !self.is_known(to, untried, now))
                .then_some(Move { to, why })
        };
        // Twice as many, or half, where none of those between was tried; what is best may lie between. Where twice
        // as many were about as good, more of them may still be better by more than chance.
        let is_level = self.did_as_well(limit + 1..=double, usage, now);
        let quadruple = double.saturating_mul(2);
        more(double, limit + 1..=double)
            .or_else(|| more(quadruple, double + 1..=quadruple).filter(|_| is_level))
            .or_else(|| fewer(limit / 2, limit / 2..=limit - 1))
            .or_else(|| more(limit.saturating_mul(7) / 5, limit + 1..=double - 1))
            .or_else(|| fewer(limit * 5 / 7, limit / 2 + 1..=limit - 1))
    }

    /// Remembers that a limit was tried, and how well it did.
    pub(super) fn note(&mut self, limit: usize, usage: Option<&PoolUsage>, now: Instant) {
        let remembered_for = self.remembered_for;
        let is_old = |it: &Record| now.saturating_duration_since(it.at) > remembered_for;
        self.records.retain(|it| it.limit != limit && !is_old(it));
        self.records.push(Record {
            limit,
            score: usage.map(Score::of),
            at: now,
        });
    }

    /// Whether another number of connections, used so, is to be kept.
    pub(super) fn is_better(&self, from: (usize, &PoolUsage), to: (usize, &PoolUsage)) -> bool {
        if to.0 > from.0 {
            let (limit_before, limit_after) = (Some(from.0), Some(to.0));
            return is_worth_it((limit_before, from.1), (limit_after, to.1));
        }
        let (before, after) = (Score::of(from.1), Score::of(to.1));
        // Many small losses are a great one.
        let seen = self
            .records
            .iter()
            .filter_map(|it| it.score)
            .chain([before]);
        seen.into_iter().all(|it| after.is_as_good_as(it))
    }

    pub(super) fn forget(&mut self) {
        self.records.clear();
    }

    /// Whether one of these was tried and did as well as this.
    fn did_as_well(&self, limits: RangeInclusive<usize>, usage: &PoolUsage, now: Instant) -> bool {
        let mut tried = self.fresh(now).filter(|it| limits.contains(&it.limit));
        tried.any(|it| {
            it.score
                .is_some_and(|score| score.is_as_good_as(Score::of(usage)))
        })
    }

    fn fresh(&self, now: Instant) -> impl Iterator<Item = &Record> {
        let is_fresh =
            move |it: &&Record| now.saturating_duration_since(it.at) <= self.remembered_for;
        self.records.iter().filter(is_fresh)
    }

    /// Whether that was tried, or one of these.
    fn is_known(&self, limit: usize, limits: RangeInclusive<usize>, now: Instant) -> bool {
        let mut records = self.fresh(now);
        records.any(|it| it.limit == limit || limits.contains(&it.limit))
    }
}

/// Whether a pool does better than before, with so many connections, where these are what has changed.
pub(super) fn is_worth_it(
    before: (Option<usize>, &PoolUsage),
    after: (Option<usize>, &PoolUsage),
) -> bool {
    let (more, quicker) = Score::of(after.1).over(Score::of(before.1));
    let was_bound = before.0.is_some() && is_saturated(before);
    let does_more = more >= BETTER && (was_bound || quicker >= BETTER);
    // Where connections are left, nothing but the callers makes it less.
    let is_quicker = quicker >= QUICKER && (more >= AS_GOOD || !is_saturated(after));
    does_more || is_quicker
}

/// Whether it does so badly that nobody should wait for more of it.
pub(super) fn is_alarming(before: &PoolUsage, after: (Option<usize>, &PoolUsage)) -> bool {
    after.1.throughput < ALARMING * before.throughput && is_saturated(after)
}

/// Whether all connections are in use.
fn is_saturated((limit, usage): (Option<usize>, &PoolUsage)) -> bool {
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^52 connections"
    )]
    let all = |limit: usize| usage.in_use >= SATURATED * limit as f64;
    limit.map_or_else(|| waits(usage), all)
}

/// Whether callers wait for so long that it is worth a try to do something.
pub(crate) fn waits(usage: &PoolUsage) -> bool {
    let is_late = !usage.wait_mean.is_zero() && usage.wait_mean * WAITING >= usage.hold_mean;
    is_late || Score::of(usage).refused > REFUSED
}

/// Connections that serve so many in use on average without much waiting: by the rule of square-root
/// staffing, L + 2√L (Halfin and Whitt, "Heavy-Traffic Limits for Queues with Many Exponential Servers",
/// Operations Research 29, 1981).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are fewer than 2^52 connections"
)]
pub(super) fn staffing(in_use: f64) -> usize {
    ((in_use + 2.0 * in_use.sqrt()).ceil() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server and its callers, as queueing theory has them.
    #[derive(Clone, Copy, Debug)]
    struct Model {
        /// Callers that ask again as soon as they have their answer.
        callers: f64,
        /// Of a statement, on a server that does nothing else: at work, and waiting for something else.
        work_ms: f64,
        idle_ms: f64,
        /// Statements that the server works on at a time.
        processors: f64,
        /// What each further connection costs all.
        crowd: f64,
    }

    /// How sharp the bend is between the bounds.
    const KNEE: i32 = 4;

    impl Model {
        /// Per second, by so many connections.
        fn throughput(&self, limit: usize) -> f64 {
            let busy = self.callers.min(limit as f64);
            let work = self.work_ms * (1.0 + self.crowd * (busy - self.processors).max(0.0));
            let bound_by_work = self.processors / work;
            let bound_by_connections = busy / (work + self.idle_ms);
            // Neither bound is reached where they meet.
            let knee = bound_by_work.powi(-KNEE) + bound_by_connections.powi(-KNEE);
            1_000.0 * knee.powf(-1.0 / f64::from(KNEE))
        }

        /// As it is measured, with noise in each measure.
        fn usage(&self, limit: usize, mut noise: impl FnMut() -> f64) -> PoolUsage {
            let exact = self.throughput(limit);
            let throughput = exact * noise();
            let busy = self.callers.min(limit as f64);
            let seconds = Duration::from_secs_f64;
            let wait = seconds((self.callers - busy).max(0.0) / exact * noise());
            PoolUsage {
                time: Duration::from_secs(10),
                checkouts: 10_000,
                throughput,
                wait_mean: wait,
                wait_p95: wait,
                wait_p99: wait,
                hold_mean: seconds(busy / exact * noise()),
                in_use: busy,
                ..PoolUsage::default()
            }
        }
    }

    /// Where the search ends, and after how many steps.
    fn search(
        model: &Model,
        mut limit: usize,
        most: usize,
        mut noise: impl FnMut() -> f64,
    ) -> (usize, usize) {
        let now = Instant::now();
        let mut climb = Climb::new(Duration::from_secs(60));
        for steps in 0..100 {
            let before = model.usage(limit, &mut noise);
            let Some(next) = climb.next(limit, most, &before, now) else {
                return (limit, steps);
            };
            assert!(next.to <= most && next.to >= 1 && next.to != limit);
            if next.why == Why::TooMany {
                limit = next.to;
                continue;
            }
            climb.note(limit, Some(&before), now);
            let after = model.usage(next.to, &mut noise);
            if climb.is_better((limit, &before), (next.to, &after)) {
                limit = next.to;
            }
            climb.note(next.to, Some(&after), now);
        }
        panic!("{model:?} from {limit}: it does not end");
    }

    fn best(model: &Model, most: usize) -> f64 {
        let all = (1..=most).map(|limit| model.throughput(limit));
        all.fold(0.0, f64::max)
    }

    fn models() -> impl Strategy<Value = Model> {
        (1.0..200.0, 0.05..20.0, 0.0..200.0, 1.0..16.0, 0.0..0.01).prop_map(
            |(callers, work_ms, idle_ms, processors, crowd): (f64, f64, f64, f64, f64)| Model {
                callers: callers.floor(),
                work_ms,
                idle_ms,
                processors: processors.floor(),
                crowd,
            },
        )
    }

    proptest! {
        #[test]
        fn it_ends_near_the_best_in_ten_steps(model in models(), limit in 1_usize..90, most in 1_usize..90) {
            let (found, steps) = search(&model, limit, most, || 1.0);
            let share = model.throughput(found) / best(&model, most);
            prop_assert!(found <= most);
            // Hardly ever eleven, and one to the fair share.
            prop_assert!(steps <= 11 + usize::from(limit > most), "{steps} steps");
            prop_assert!(share >= 0.9, "{share} by {found}");
        }

        #[test]
        fn noise_does_not_mislead_it_much(model in models(), limit in 1_usize..90, seed in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(seed);
            let (found, steps) = search(&model, limit, 90, || 0.97 + 0.06 * random.f64());
            let share = model.throughput(found) / best(&model, 90);
            prop_assert!(steps <= 12, "{steps} steps");
            prop_assert!(share >= 0.75, "{share} by {found}");
        }
    }

    #[test]
    fn what_was_tried_is_not_tried_again_for_a_while() {
        let now = Instant::now();
        let model = Model {
            callers: 50.0,
            work_ms: 1.0,
            idle_ms: 0.0,
            processors: 2.0,
            crowd: 0.0,
        };
        let mut climb = Climb::new(Duration::from_secs(60));
        let usage = model.usage(4, || 1.0);
        let more = Move {
            to: 8,
            why: Why::Waiting,
        };
        assert_eq!(climb.next(4, 90, &usage, now), Some(more));
        climb.note(8, Some(&model.usage(8, || 1.0)), now);
        // They were as good: there may be something behind them.
        assert_eq!(climb.next(4, 90, &usage, now).map(|it| it.to), Some(16));
        climb.note(16, Some(&model.usage(16, || 1.0)), now);
        let fewer = Move {
            to: 2,
            why: Why::Fewer,
        };
        assert_eq!(climb.next(4, 90, &usage, now), Some(fewer));
        climb.note(2, Some(&usage), now);
        // What is best may lie between.
        assert_eq!(climb.next(4, 90, &usage, now).map(|it| it.to), Some(5));
        climb.note(5, Some(&usage), now);
        assert_eq!(climb.next(4, 90, &usage, now), None);
        let later = now + Duration::from_secs(61);
        assert_eq!(climb.next(4, 90, &usage, later), Some(more));
        climb.forget();
        assert_eq!(climb.next(4, 90, &usage, now), Some(more));
    }

    #[test]
    fn a_few_requests_tell_nothing_and_a_bound_holds_all_the_same() {
        let now = Instant::now();
        let climb = Climb::new(Duration::from_secs(60));
        let nothing = PoolUsage::default();
        assert_eq!(climb.next(10, 10, &nothing, now), None);
        let fewer = Move {
            to: 4,
            why: Why::TooMany,
        };
        assert_eq!(climb.next(10, 4, &nothing, now), Some(fewer));
        assert_eq!(climb.next(10, 0, &nothing, now).map(|it| it.to), Some(1));
        // Whoever needs few is left alone.
        let idle = PoolUsage {
            checkouts: 1_000,
            throughput: 100.0,
            hold_mean: Duration::from_millis(20),
            in_use: 2.0,
            ..nothing
        };
        assert_eq!(climb.next(30, 90, &idle, now), None);
    }

    #[test]
    fn open_load_is_judged_by_its_response_time() {
        let usage = |wait_ms, hold_ms| PoolUsage {
            throughput: 100.0,
            wait_mean: Duration::from_millis(wait_ms),
            hold_mean: Duration::from_millis(hold_ms),
            ..PoolUsage::default()
        };
        let climb = Climb::new(Duration::from_secs(60));
        let more = |before, after| climb.is_better((4, &before), (8, &after));
        let fewer = |before, after| climb.is_better((8, &before), (4, &after));
        assert!(more(usage(100, 10), usage(50, 10)));
        assert!(!more(usage(1, 100), usage(0, 100)));
        assert!(
            !more(usage(50, 10), usage(0, 60)),
            "it only waits elsewhere"
        );
        assert!(fewer(usage(50, 10), usage(51, 10)));
        assert!(!fewer(usage(50, 10), usage(60, 10)));
        // That there is more to do, or less, is nobody's merit.
        let times = |times: f64, usage: PoolUsage| PoolUsage {
            throughput: times * usage.throughput,
            ..usage
        };
        assert!(!more(usage(50, 10), times(1.5, usage(50, 10))));
        let all_in_use = PoolUsage {
            in_use: 7.9,
            ..usage(20, 10)
        };
        assert!(!more(usage(50, 10), times(0.7, all_in_use)));
        // Those who had queued up before are gone.
        assert!(more(usage(50, 10), times(0.7, usage(20, 10))));
        assert!(!fewer(usage(50, 10), times(0.7, usage(20, 10))));
        assert!(!fewer(usage(50, 10), times(1.5, usage(70, 10))));
        // Unless all were in use: then it is the merit of those that came.
        let saturated = PoolUsage {
            in_use: 3.9,
            ..usage(50, 10)
        };
        assert!(more(saturated, times(1.5, usage(60, 10))));
        assert!(!more(saturated, usage(60, 10)));
        // Nor is it to turn callers away.
        let refusing = PoolUsage {
            checkouts: 1_000,
            refused: 100,
            ..usage(10, 10)
        };
        assert!(
            waits(&refusing) && !more(usage(50, 10), refusing) && !fewer(usage(50, 10), refusing)
        );
        let is_alarming = |after| is_alarming(&usage(50, 10), (Some(8), &after));
        assert!(is_alarming(times(0.4, all_in_use)));
        assert!(!is_alarming(times(0.6, all_in_use)));
        assert!(
            !is_alarming(times(0.4, usage(0, 10))),
            "there is less to do"
        );
    }

    #[test]
    fn staffing_leaves_room() {
        assert_eq!([0.0, 0.2, 1.0, 4.0, 100.0].map(staffing), [1, 2, 3, 8, 120]);
    }
}
