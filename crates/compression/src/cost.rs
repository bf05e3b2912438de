//! What encoding costs, from measurements.
//!
//! It begins with the CPU per byte of JSON at 10 and 100 KB; the example `compare` measures it. Other machines and other
//! content differ, which is learned as a factor for each kind of body and each coding, over all its levels: that they
//! keep their order, and that one which is not chosen any more is known as well as the one that is in its place.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::{Choice, Coding, body::Kind};

/// Smaller bodies cost what encoding any body costs, and say little of their bytes.
const LEAST_BYTES: usize = 16 * 1024;
/// A factor of 1.
const ONE: u32 = 1_000;
/// How much one measurement moves a factor: one in so many.
const WEIGHT: i64 = 16;
/// How far what is learned must be from what is expected before that follows, as a ratio: a body's level, and so its
/// entity tag, should not change with each measurement.
const APART: (u32, u32) = (5, 4);
/// How far a factor goes from 1, in either direction.
const MOST: u32 = 4;

/// What is expected, by what was measured.
#[derive(Debug)]
pub(crate) struct CostModel {
    factors: [[Factor; Coding::ALL.len()]; Kind::ALL.len()],
}

/// In thousandths.
#[derive(Debug)]
struct Factor {
    learned: AtomicU32,
    expected: AtomicU32,
}

impl CostModel {
    pub(crate) fn new() -> CostModel {
        CostModel {
            factors: std::array::from_fn(|_| std::array::from_fn(|_| Factor::one())),
        }
    }

    /// The CPU time that a body of `size_bytes` is likely to take.
    pub(crate) fn predict(&self, kind: Kind, choice: Choice, size_bytes: usize) -> Duration {
        let factor = self.factor(kind, choice).expected.load(Relaxed);
        initial(choice, size_bytes) * factor / ONE
    }

    /// Learns of a body that has taken so much.
    pub(crate) fn learn(&self, kind: Kind, choice: Choice, size_bytes: usize, cpu: Duration) {
        if size_bytes < LEAST_BYTES {
            return;
        }
        let measured = cpu.as_nanos() * u128::from(ONE) / initial(choice, size_bytes).as_nanos();
        let measured = i64::try_from(measured).unwrap_or(i64::MAX);
        let measured = measured.clamp(i64::from(ONE / MOST), i64::from(ONE * MOST));
        let factor = self.factor(kind, choice);
        // Of two at once one may be lost, which is as if it had not been measured.
        let known = i64::from(factor.learned.load(Relaxed));
        let moved = known + (measured - known) / WEIGHT;
        factor.learn(u32::try_from(moved).unwrap_or(ONE));
    }

    fn factor(&self, kind: Kind, choice: Choice) -> &Factor {
        &self.factors[kind as usize][choice.coding as usize]
    }
}

impl Factor {
    fn one() -> Factor {
        Factor {
            learned: AtomicU32::new(ONE),
            expected: AtomicU32::new(ONE),
        }
    }

    fn learn(&self, learned: u32) {
        self.learned.store(learned, Relaxed);
        let expected = self.expected.load(Relaxed);
        let (more, less) = APART;
        if learned * less > expected * more || learned * more < expected * less {
            self.expected.store(learned, Relaxed);
        }
    }
}

/// That of JSON, before anything was measured.
fn initial(choice: Choice, size_bytes: usize) -> Duration {
    let ns_per_byte = match (choice.coding, choice.level) {
        (Coding::Brotli, ..=1) => 5,
        (Coding::Brotli, 2) => 8,
        (Coding::Brotli, 3) => 10,
        (Coding::Brotli, 4) => 15,
        (Coding::Brotli, 5) => 26,
        (Coding::Brotli, 6..=9) => 60,
        (Coding::Brotli, _) => 1000,
        (Coding::Zstd, ..=1) => 2,
        (Coding::Zstd, 2..=3) => 3,
        (Coding::Zstd, 4..=6) => 11,
        (Coding::Zstd, 7..=12) => 40,
        (Coding::Zstd, _) => 300,
        (Coding::Gzip, ..=1) => 4,
        (Coding::Gzip, 2..=4) => 9,
        (Coding::Gzip, 5..=6) => 12,
        (Coding::Gzip, _) => 40,
    };
    Duration::from_nanos(u64::saturating_mul(ns_per_byte, size_bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROTLI: Choice = Choice {
        coding: Coding::Brotli,
        level: 4,
    };

    #[test]
    fn what_was_measured_moves_what_is_expected_of_its_like() {
        let model = CostModel::new();
        let predict = |kind, level| {
            let choice = Choice { level, ..BROTLI };
            model.predict(kind, choice, 10_000).as_micros()
        };
        assert_eq!(predict(Kind::Json, 4), 150);
        for _ in 0..200 {
            model.learn(Kind::Json, BROTLI, 100_000, Duration::from_millis(3));
        }
        assert!((240..=300).contains(&predict(Kind::Json, 4)));
        // Levels that were not measured go with it, and keep their order.
        assert!((160..=200).contains(&predict(Kind::Json, 3)));
        assert_eq!(predict(Kind::Markup, 4), 150);
        let zstd = Choice {
            coding: Coding::Zstd,
            level: 3,
        };
        let predicted = model.predict(Kind::Json, zstd, 10_000);
        assert_eq!(predicted, Duration::from_micros(30));
    }

    #[test]
    fn what_is_expected_stays_while_measurements_are_about_what_it_is() {
        let model = CostModel::new();
        let predict = || model.predict(Kind::Json, BROTLI, 100_000);
        let before = predict();
        for n in 0..1_000 {
            // A fifth more and a fifth less.
            let millis = if n % 100 < 50 { 1_200 } else { 1_800 };
            model.learn(Kind::Json, BROTLI, 100_000, Duration::from_micros(millis));
            assert_eq!(predict(), before, "{n}");
        }
    }

    #[test]
    fn one_that_was_disturbed_moves_little_and_none_moves_beyond_the_bounds() {
        let model = CostModel::new();
        let predict = || model.predict(Kind::Json, BROTLI, 10_000).as_micros();
        let learn = |size, cpu| model.learn(Kind::Json, BROTLI, size, cpu);
        learn(20_000, Duration::from_secs(10));
        assert_eq!(predict(), 150, "one alone changes nothing");
        for _ in 0..1_000 {
            learn(20_000, Duration::from_secs(10));
        }
        assert!((470..=600).contains(&predict()), "{}", predict());
        for _ in 0..1_000 {
            learn(20_000, Duration::ZERO);
        }
        assert!((37..=50).contains(&predict()), "{}", predict());
        let before = predict();
        learn(LEAST_BYTES - 1, Duration::from_secs(10));
        assert_eq!(predict(), before, "of a small body nothing is learned");
        model.predict(Kind::Json, BROTLI, usize::MAX);
    }
}
