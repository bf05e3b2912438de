//! In which order things run: drawn from a seed, and mirrored.
//!
//! Whatever rises or falls evenly through a block (heat, a cache that fills, a neighbour that
//! wakes up) meets every arm equally when the second half of the block is the first one backwards.
//! Running all of A before all of B flags one of five unchanged programs; see the tests.

use crate::ArmOf;

/// Draws the orders of a run. One seed gives one sequence.
#[derive(Clone, Debug)]
pub struct Orders {
    rng: fastrand::Rng,
}

impl Orders {
    /// The orders that `seed` gives.
    pub fn new(seed: u64) -> Orders {
        Orders {
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The slices of a block: a permutation of `arms`, then the same backwards. Each arm comes
    /// twice, and all have the same mean place.
    pub fn block(&mut self, arms: &[ArmOf]) -> Vec<ArmOf> {
        let mut order = arms.to_vec();
        self.rng.shuffle(&mut order);
        let mirrored: Vec<ArmOf> = order.iter().rev().copied().collect();
        order.extend(mirrored);
        order
    }

    /// Shuffles what is to be run, so that one bad minute is spread over many cases.
    pub fn shuffle<T>(&mut self, cases: &mut [T]) {
        self.rng.shuffle(cases);
    }

    /// A further number, for what else a run draws: how far a worker's stack is moved, schedules of
    /// arrivals. Inputs of cases are drawn by the worker, from the run's seed itself: all arms of a
    /// case have the same, in all blocks.
    pub fn seed(&mut self) -> u64 {
        self.rng.u64(..)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_arm_comes_twice_around_the_same_middle(seed: u64, sides in 1..7_usize) {
            let mut arms: Vec<ArmOf> = (0..sides).map(ArmOf::Side).collect();
            arms.push(ArmOf::Again(sides - 1));
            let order = Orders::new(seed).block(&arms);
            let mut places: BTreeMap<ArmOf, Vec<usize>> = BTreeMap::new();
            for (place, arm) in order.iter().enumerate() {
                places.entry(*arm).or_default().push(place);
            }
            prop_assert_eq!(places.len(), arms.len());
            for places in places.values() {
                prop_assert_eq!(places.len(), 2);
                prop_assert_eq!(places[0] + places[1], order.len() - 1);
            }
        }
    }

    #[test]
    fn one_seed_gives_one_sequence_in_which_all_orders_come() {
        let arms = [ArmOf::Side(0), ArmOf::Side(1), ArmOf::Again(1)];
        let (mut one, mut other) = (Orders::new(42), Orders::new(42));
        let mut seen = BTreeMap::new();
        for _ in 0..100 {
            let order = one.block(&arms);
            assert_eq!(order, other.block(&arms));
            *seen.entry(order).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
        assert!(seen.values().all(|it| *it >= 5), "{seen:?}");
        assert_eq!(one.seed(), other.seed());
    }

    #[test]
    fn shuffling_keeps_what_is_there() {
        let mut cases: Vec<u32> = (0..20).collect();
        Orders::new(1).shuffle(&mut cases);
        assert_ne!(cases, (0..20).collect::<Vec<u32>>());
        cases.sort_unstable();
        assert_eq!(cases, (0..20).collect::<Vec<u32>>());
    }
}
