//! Steps that are applied to a pool whose use is made up, on a clock that is moved on.

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
