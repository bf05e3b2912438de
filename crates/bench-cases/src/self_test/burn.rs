//! A busy loop that takes a known CPU time, on whatever thread runs it.

use std::hint::black_box;

use ruleiq_bench::{Fault, cpu::thread_cpu_s};

/// What calibration spins, several times over; the quickest counts, since nothing makes it too
/// quick.
const SPINS: u64 = 2_000_000;
const TIMES: usize = 7;

/// A loop of some length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burn {
    spins: u64,
}

impl Burn {
    /// A loop that takes `ns` nanoseconds, by the CPU clock of this thread: that a neighbour takes
    /// turns on the processor does not matter to it.
    pub(super) fn of_ns(ns: u64) -> Result<Burn, Fault> {
        if ns == 0 {
            return Ok(Burn { spins: 0 });
        }
        let mut quickest = f64::INFINITY;
        for _ in 0..TIMES {
            let before = thread_cpu_s().map_err(Fault::failed)?;
            spin(SPINS);
            let used = thread_cpu_s().map_err(Fault::failed)? - before;
            quickest = quickest.min(used);
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of short loops"
        )]
        let spins = (ns as f64 * SPINS as f64 / (quickest * 1e9)).round() as u64;
        Ok(Burn { spins })
    }

    /// Takes its time.
    pub(super) fn burn(self) {
        if self.spins > 0 {
            spin(self.spins);
        }
    }
}

fn spin(spins: u64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..spins {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn twice_the_time_is_twice_the_work() {
        let (one, two) = (Burn::of_ns(10_000).unwrap(), Burn::of_ns(20_000).unwrap());
        assert!(one.spins > 0 && two.spins > one.spins);
        assert_eq!(Burn::of_ns(0).unwrap().spins, 0);
    }
}
