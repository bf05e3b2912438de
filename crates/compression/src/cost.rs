//! What encoding costs, from measurements.
//!
//! It begins with the CPU per byte of JSON at 10 and 100 KB; the example `compare` measures it. Other machines and other
//! content differ, which is learned: of large bodies each is measured, of small ones some are, and what was measured
//! moves what is expected, for each kind of body, coding and level.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::{Choice, Coding, body::Kind};

/// Levels of all codings: brotli's 0 to 11, zstd's -7 to 19, gzip's 1 to 9.
const LEVELS: usize = 12 + 27 + 9;
/// Smaller bodies cost what encoding any body costs, and say little of their bytes.
const LEAST_BYTES: usize = 4 * 1024;
/// How much one measurement moves what is expected.
const WEIGHT: u32 = 8;
/// How far from its beginning it may move: a measurement that was disturbed must not decide everything.
const MOST: u32 = 4;

/// What is expected, by what was measured.
#[derive(Debug)]
pub(crate) struct CostModel {
    /// Picoseconds per byte; 0 where nothing was measured.
    learned: [[AtomicU32; LEVELS]; Kind::ALL.len()],
}

impl CostModel {
    pub(crate) fn new() -> CostModel {
        CostModel {
            learned: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU32::new(0))),
        }
    }

    /// The CPU time that a body of `size_bytes` is likely to take.
    pub(crate) fn predict(&self, kind: Kind, choice: Choice, size_bytes: usize) -> Duration {
        let per_byte = match self.cell(kind, choice).load(Relaxed) {
            0 => initial_ps(choice),
            learned => learned,
        };
        Duration::from_nanos((u64::from(per_byte)).saturating_mul(size_bytes as u64) / 1_000)
    }

    /// Learns of a body that has taken so much.
    pub(crate) fn learn(&self, kind: Kind, choice: Choice, size_bytes: usize, cpu: Duration) {
        if size_bytes < LEAST_BYTES {
            return;
        }
        let measured = cpu.as_nanos() * 1_000 / size_bytes as u128;
        let initial = initial_ps(choice);
        let (least, most) = (initial / MOST, initial.saturating_mul(MOST));
        let measured = u32::try_from(measured)
            .unwrap_or(u32::MAX)
            .clamp(least, most);
        let cell = self.cell(kind, choice);
        let expected = match cell.load(Relaxed) {
            0 => initial,
            learned => learned,
        };
        // Of two at once one may be lost, which is as if it had not been measured.
        let moved =
            i64::from(expected) + (i64::from(measured) - i64::from(expected)) / i64::from(WEIGHT);
        cell.store(u32::try_from(moved).unwrap_or(expected), Relaxed);
    }

    fn cell(&self, kind: Kind, choice: Choice) -> &AtomicU32 {
        let (first, lowest, levels) = match choice.coding {
            Coding::Brotli => (0, 0, 12),
            Coding::Zstd => (12, -7, 27),
            Coding::Gzip => (39, 1, 9),
        };
        let level = usize::try_from(choice.level - lowest).unwrap_or(0);
        &self.learned[kind as usize][first + level.min(levels - 1)]
    }
}

/// Picoseconds per byte of JSON, before anything was measured.
fn initial_ps(choice: Choice) -> u32 {
    let ns = match (choice.coding, choice.level) {
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
    ns * 1_000
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
        let predict = |kind| model.predict(kind, BROTLI, 10_000);
        assert_eq!(predict(Kind::Json), Duration::from_micros(150));
        for _ in 0..100 {
            model.learn(Kind::Json, BROTLI, 100_000, Duration::from_micros(3_000));
        }
        let learned = predict(Kind::Json);
        assert!((290..=300).contains(&learned.as_micros()), "{learned:?}");
        assert_eq!(predict(Kind::Markup), Duration::from_micros(150));
        let other = Choice {
            coding: Coding::Brotli,
            level: 3,
        };
        assert_eq!(
            model.predict(Kind::Json, other, 10_000),
            Duration::from_micros(100)
        );
    }

    #[test]
    fn one_that_was_disturbed_moves_little_and_none_moves_beyond_the_bounds() {
        let model = CostModel::new();
        let predict = || model.predict(Kind::Json, BROTLI, 10_000).as_micros();
        model.learn(Kind::Json, BROTLI, 10_000, Duration::from_secs(10));
        assert!((200..=210).contains(&predict()), "{}", predict());
        for _ in 0..1_000 {
            model.learn(Kind::Json, BROTLI, 10_000, Duration::from_secs(10));
        }
        assert!((590..=600).contains(&predict()), "{}", predict());
        for _ in 0..1_000 {
            model.learn(Kind::Json, BROTLI, 10_000, Duration::ZERO);
        }
        assert!((37..=38).contains(&predict()), "{}", predict());
        let before = predict();
        model.learn(Kind::Json, BROTLI, 100, Duration::from_secs(10));
        assert_eq!(predict(), before, "of a small body nothing is learned");
    }

    #[test]
    fn each_level_has_its_own_place() {
        let model = CostModel::new();
        let levels = [
            (Coding::Brotli, 0..=11),
            (Coding::Zstd, -7..=19),
            (Coding::Gzip, 1..=9),
        ];
        let mut places = std::collections::HashSet::new();
        for kind in Kind::ALL {
            for (coding, levels) in levels.clone() {
                for level in levels {
                    let cell = model.cell(kind, Choice { coding, level });
                    assert!(places.insert(std::ptr::from_ref(cell)), "{coding} {level}");
                }
            }
        }
        assert_eq!(places.len(), LEVELS * Kind::ALL.len());
    }
}
