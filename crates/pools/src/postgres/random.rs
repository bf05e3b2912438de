//! Numbers that spread what would otherwise happen at once. Nothing secret depends on them.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

#[derive(Debug)]
pub(crate) struct Random {
    state: RandomState,
    drawn: AtomicU64,
}

impl Random {
    pub(crate) fn new() -> Random {
        Random {
            state: RandomState::new(),
            drawn: AtomicU64::new(0),
        }
    }

    /// At least 0 and below 1.
    pub(crate) fn fraction(&self) -> f64 {
        const STEPS: u32 = 1 << 20;
        let step = self.draw() % u64::from(STEPS);
        f64::from(u32::try_from(step).expect("it is less than 2^20")) / f64::from(STEPS)
    }

    pub(crate) fn shuffle<T>(&self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let below = u64::try_from(last + 1).expect("a list's length fits");
            let at = usize::try_from(self.draw() % below).expect("it is less than the length");
            list.swap(last, at);
        }
    }

    fn draw(&self) -> u64 {
        self.state.hash_one(self.drawn.fetch_add(1, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_spread_and_below_one() {
        let random = Random::new();
        let drawn: Vec<f64> = (0..1000).map(|_| random.fraction()).collect();
        assert!(drawn.iter().all(|it| (0.0..1.0).contains(it)));
        let low = drawn.iter().filter(|it| **it < 0.5).count();
        assert!((350..650).contains(&low), "{low}");
    }

    #[test]
    fn shuffling_keeps_everything_and_changes_the_order() {
        let random = Random::new();
        let list: Vec<u32> = (0..100).collect();
        let mut shuffled = list.clone();
        random.shuffle(&mut shuffled);
        assert_ne!(shuffled, list);
        shuffled.sort_unstable();
        assert_eq!(shuffled, list);
    }
}
