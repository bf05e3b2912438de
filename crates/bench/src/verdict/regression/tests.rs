//! The rule on simulated machines: slices drift, come in bursts and are noisy, and blocks are cut
//! from them.

use super::*;
use crate::{ArmOf, Orders, summarise::simulated::normal};

/// A machine whose speed drifts (a first-order autoregression), with bursts in which everything
/// takes a quarter longer, and noise in each slice.
struct Machine {
    rng: fastrand::Rng,
    drift: f64,
    burst: u32,
    strength: f64,
}

impl Machine {
    fn new(seed: u64, strength: f64) -> Machine {
        Machine {
            rng: fastrand::Rng::with_seed(seed),
            drift: 0.0,
            burst: 0,
            strength,
        }
    }

    /// ln of what a slice takes that would take 1 on a quiet machine.
    fn slice(&mut self) -> f64 {
        const PHI: f64 = 0.9;
        let step = 0.08 * (1.0 - PHI * PHI).sqrt();
        self.drift = PHI * self.drift + step * normal(&mut self.rng);
        if self.burst > 0 {
            self.burst -= 1;
        } else if self.rng.f64() < 0.03 {
            self.burst = self.rng.u32(1..8);
        }
        let burst = if self.burst > 0 { 1.25_f64.ln() } else { 0.0 };
        self.strength * (self.drift + burst + 0.04 * normal(&mut self.rng))
    }

    /// Blocks of an earlier (side 1) and a later (side 0) revision, in mirrored order.
    fn blocks(&mut self, orders: &mut Orders, n: usize, effect: f64) -> Vec<f64> {
        let arms = [ArmOf::Side(0), ArmOf::Side(1), ArmOf::Again(1)];
        (0..n)
            .map(|_| {
                let mut difference = 0.0;
                for arm in orders.block(&arms) {
                    let slice = self.slice();
                    difference += match arm {
                        ArmOf::Side(0) => (slice + effect) / 2.0,
                        ArmOf::Side(_) => -slice / 2.0,
                        ArmOf::Again(_) => 0.0,
                    };
                }
                difference
            })
            .collect()
    }
}

fn two_looks(machine: &mut Machine, orders: &mut Orders, effect: f64) -> Regression {
    let rules = Rules::full();
    let first = machine.blocks(orders, rules.blocks, effect);
    let second = second_look(&first, Noise::default(), &rules)
        .map_or_else(Vec::new, |n| machine.blocks(orders, n, effect));
    compare_revisions(&first, &second, Noise::default(), Better::Lower, &rules).unwrap()
}

fn verdicts(runs: u64, strength: f64, effect: f64) -> Vec<Verdict> {
    (0..runs)
        .map(|seed| {
            let mut machine = Machine::new(seed, strength);
            two_looks(&mut machine, &mut Orders::new(seed), effect).verdict
        })
        .collect()
}

fn count(verdicts: &[Verdict], wanted: Verdict) -> usize {
    verdicts.iter().filter(|it| **it == wanted).count()
}

#[test]
fn unchanged_code_is_not_flagged_on_a_drifting_bursting_machine() {
    let said = verdicts(400, 1.0, 0.0);
    assert_eq!(count(&said, Verdict::Regressed), 0);
    assert_eq!(count(&said, Verdict::Improved), 0);
}

#[test]
fn a_noise_that_hides_ten_percent_is_never_called_the_same() {
    let said = verdicts(40, 4.0, 0.0);
    assert_eq!(count(&said, Verdict::Regressed), 0);
    assert!(count(&said, Verdict::Inconclusive) >= 36, "{said:?}");
}

#[test]
fn unchanged_code_on_a_quiet_machine_is_the_same() {
    let said = verdicts(100, 0.3, 0.0);
    assert!(count(&said, Verdict::Same) >= 97, "{said:?}");
}

/// Blocks with a spread of 3 %, one of ten four times as noisy.
fn plain_blocks(rng: &mut fastrand::Rng, n: usize, effect: f64) -> Vec<f64> {
    (0..n)
        .map(|_| {
            let factor = if rng.f64() < 0.1 { 4.0 } else { 1.0 };
            effect + 0.03 * factor * normal(rng)
        })
        .collect()
}

#[test]
fn ten_percent_more_are_flagged_nearly_always_and_ten_percent_less_as_well() {
    let rules = Rules::full();
    let mut rng = fastrand::Rng::with_seed(9);
    for (effect, expect) in [
        (1.1_f64.ln(), Verdict::Regressed),
        (-1.1_f64.ln(), Verdict::Improved),
    ] {
        let flagged = (0..50)
            .filter(|_| {
                let first = plain_blocks(&mut rng, 12, effect);
                let n = second_look(&first, Noise::default(), &rules);
                let second = plain_blocks(&mut rng, n.unwrap_or(0), effect);
                compare_revisions(&first, &second, Noise::default(), Better::Lower, &rules)
                    .is_some_and(|it| it.verdict == expect && it.stage == 2)
            })
            .count();
        assert!(flagged >= 46, "{flagged} of 50");
    }
}

/// Without interleaving, the drift of the machine is taken for the program's.
#[test]
fn all_of_one_before_all_of_the_other_flags_unchanged_code() {
    let (mut apart, mut mirrored) = (0, 0);
    for seed in 0..200 {
        let mut machine = Machine::new(seed, 1.0);
        let slices: Vec<f64> = (0..48).map(|_| machine.slice()).collect();
        let looks_changed = |differences: &[f64]| {
            let seen = estimate(differences, 0.99).unwrap();
            !contains_zero(seen.interval.unwrap()) && seen.middle.abs() > 1.05_f64.ln()
        };
        let pairs = |it: &[f64]| -> Vec<f64> { it.chunks(2).map(|it| it[0] + it[1]).collect() };
        let (a, b) = (pairs(&slices[..24]), pairs(&slices[24..]));
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (b - a) / 2.0).collect();
        apart += usize::from(looks_changed(&differences));
        let blocks: Vec<f64> = slices
            .chunks(4)
            .map(|it| (it[1] + it[2] - it[0] - it[3]) / 2.0)
            .collect();
        mirrored += usize::from(looks_changed(&blocks));
    }
    assert!(apart >= 20, "{apart} of 200");
    assert!(mirrored <= 3, "{mirrored} of 200");
}

#[test]
fn one_look_alone_never_flags() {
    let changed = [0.5; 12];
    let said = compare_revisions(
        &changed,
        &[],
        Noise::default(),
        Better::Lower,
        &Rules::full(),
    );
    let said = said.unwrap();
    assert_eq!((said.verdict, said.stage), (Verdict::Inconclusive, 1));
    assert!(said.reason.unwrap().contains("measure it again"));
}

#[test]
fn fewer_than_eight_blocks_are_inconclusive_with_that_reason() {
    for n in 1..8 {
        let blocks = vec![0.0; n];
        let said = compare_revisions(
            &blocks,
            &[],
            Noise::default(),
            Better::Lower,
            &Rules::full(),
        );
        let said = said.unwrap();
        assert_eq!(said.verdict, Verdict::Inconclusive);
        assert!(said.reason.unwrap().contains("needs 8"));
    }
    let rules = Rules::full();
    assert_eq!(
        compare_revisions(&[], &[], Noise::default(), Better::Lower, &rules),
        None
    );
}

#[test]
fn nothing_below_the_floor_is_a_change_and_quick_runs_see_only_large_ones() {
    let second = [0.10; 20];
    let say = |floor, rules: &Rules| {
        let noise = Noise { s: None, floor };
        let said = compare_revisions(&[0.10; 12], &second, noise, Better::Lower, rules);
        said.unwrap().verdict
    };
    assert_eq!(say(None, &Rules::full()), Verdict::Regressed);
    assert_eq!(say(Some(0.12), &Rules::full()), Verdict::Inconclusive);
    assert_ne!(say(None, &Rules::quick()), Verdict::Regressed);
    let faster = [0.5; 20];
    let noise = Noise::default();
    let said = compare_revisions(&[0.5; 8], &faster, noise, Better::Higher, &Rules::quick());
    assert_eq!(said.unwrap().verdict, Verdict::Improved);
}

#[test]
fn counts_decide_without_statistics() {
    for (earlier, later, expect) in [
        (12.0, 12.0, Verdict::Same),
        (12.0, 12.05, Verdict::Same),
        (12.0, 12.07, Verdict::Regressed),
        (1_000.0, 1_001.0, Verdict::Regressed),
        (1_000.0, 1_000.9, Verdict::Same),
        (12.0, 11.0, Verdict::Improved),
        (0.0, 1.0, Verdict::Regressed),
        (0.0, 0.0, Verdict::Same),
    ] {
        let said = compare_counts(earlier, later, "count", Better::Lower);
        assert_eq!(said, expect, "{earlier} {later}");
    }
    let bytes = |later| compare_counts(1_000.0, later, "bytes", Better::Lower);
    assert_eq!(bytes(1_004.0), Verdict::Same);
    assert_eq!(bytes(1_006.0), Verdict::Regressed);
    assert_eq!(bytes(994.0), Verdict::Improved);
    let found = |later| compare_counts(3.0, later, "count", Better::Higher);
    assert_eq!(
        (found(4.0), found(2.0)),
        (Verdict::Improved, Verdict::Regressed)
    );
}
