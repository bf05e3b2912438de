//! What a run of so many blocks at such noise can see.
//!
//! Normal theory with z for 99 % two-sided confidence and 90 % power, at a spread of 1.6 s: blocks
//! are not normal, and one of ten being four times as noisy as the others costs about that factor.
//! Simulated with such blocks, the rule of [`crate::verdict`] sees what is said here.

/// Φ⁻¹(0.995) + Φ⁻¹(0.9): so many standard errors are seen in 90 of 100 runs.
pub(crate) const Z: f64 = 2.575_829 + 1.281_552;
const HEAVY_TAILS: f64 = 1.6;

/// The smallest difference, on logs, that 90 of 100 runs of `n` blocks would see, where `s` is the
/// spread of a block by [`super::mad_s`]. Infinite without blocks.
pub fn detectable(s: f64, n: usize) -> f64 {
    if n == 0 {
        return f64::INFINITY;
    }
    Z * HEAVY_TAILS * s / (n as f64).sqrt()
}

/// How many blocks see a difference of `delta` on logs, where `s` is the spread of a block. None
/// where no affordable number does: above 1,000.
pub fn blocks_to_see(delta: f64, s: f64) -> Option<usize> {
    let n = (Z * HEAVY_TAILS * s / delta.abs()).powi(2).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 1,000"
    )]
    (n <= 1_000.0).then(|| n.max(1.0) as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_planning_figures() {
        // 14.9 (1.6 s / δ)² blocks.
        assert_eq!(blocks_to_see(1.10_f64.ln(), 0.03), Some(4));
        assert_eq!(blocks_to_see(1.10_f64.ln(), 0.05), Some(11));
        assert_eq!(blocks_to_see(0.0, 0.05), None);
        assert_eq!(blocks_to_see(0.001, 0.05), None);
        assert!(detectable(0.03, 0).is_infinite());
    }

    proptest! {
        #[test]
        fn that_many_blocks_see_it_and_one_less_does_not(
            s in 0.005..0.1_f64,
            delta in 0.03..0.3_f64,
        ) {
            if let Some(n) = blocks_to_see(delta, s) {
                prop_assert!(detectable(s, n) <= delta * (1.0 + 1e-12));
                prop_assert!(n == 1 || detectable(s, n - 1) > delta);
            }
        }
    }
}
