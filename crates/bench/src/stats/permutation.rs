//! The sign-flip permutation test of paired differences.
//!
//! R. A. Fisher, "The Design of Experiments" (1935), section 21. Without an effect each difference
//! could as well have had the other sign; how many choices of signs give a sum as far from zero?

/// Up to this many values all choices of signs are gone through.
const EXACT_TO: usize = 16;
const DRAWS: u32 = 10_000;

/// The probability of a sum as far from zero as that of `differences`, without an effect: exact up
/// to 16 values, from 10,000 choices of signs drawn from `seed` beyond. 1 of nothing.
pub fn sign_flip_p(differences: &[f64], seed: u64) -> f64 {
    let sum: f64 = differences.iter().sum();
    let scale: f64 = differences.iter().map(|it| it.abs()).sum();
    // Sums that are equal on paper differ by rounding; such a tie counts as as far.
    let bar = sum.abs() - 1e-12 * scale;
    if differences.len() <= EXACT_TO {
        exact(differences, bar)
    } else {
        drawn(differences, bar, seed)
    }
}

fn exact(differences: &[f64], bar: f64) -> f64 {
    let choices = 1_u32 << differences.len();
    let as_far = (0..choices)
        .filter(|signs| flipped_sum(differences, u64::from(*signs)).abs() >= bar)
        .count();
    as_far as f64 / f64::from(choices)
}

/// The choice that was observed is counted as one of those drawn, so that p is never zero
/// (B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", 2010).
fn drawn(differences: &[f64], bar: f64, seed: u64) -> f64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let as_far = (0..DRAWS)
        .filter(|_| {
            let sum: f64 = differences
                .chunks(64)
                .map(|chunk| flipped_sum(chunk, rng.u64(..)))
                .sum();
            sum.abs() >= bar
        })
        .count();
    (1.0 + as_far as f64) / (1.0 + f64::from(DRAWS))
}

/// The sum with the sign of the i-th value turned where bit i of `signs` is set.
fn flipped_sum(differences: &[f64], signs: u64) -> f64 {
    differences
        .iter()
        .enumerate()
        .map(|(i, it)| if signs >> i & 1 == 1 { -it } else { *it })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_of_one_sign_are_two_choices_of_256() {
        let p = sign_flip_p(&[0.1, 0.2, 0.1, 0.3, 0.1, 0.2, 0.1, 0.1], 1);
        assert!((p - 2.0 / 256.0).abs() < 1e-12, "{p}");
    }

    #[test]
    fn ties_and_nothing_are_no_evidence() {
        assert!((sign_flip_p(&[], 1) - 1.0).abs() < 1e-12);
        assert!((sign_flip_p(&[0.0; 10], 1) - 1.0).abs() < 1e-12);
        // A sum of zero is reached or passed by every choice.
        assert!((sign_flip_p(&[0.1, -0.1, 0.3, -0.3], 1) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_drawn_p_is_close_to_the_exact_one() {
        let mut rng = fastrand::Rng::with_seed(3);
        for seed in 0..5 {
            let values: Vec<f64> = (0..12).map(|_| rng.f64() - 0.35).collect();
            let sum: f64 = values.iter().sum();
            let bar = sum.abs() - 1e-12;
            let (exact, drawn) = (exact(&values, bar), drawn(&values, bar, seed));
            assert!((exact - drawn).abs() < 0.02, "{exact} {drawn}");
        }
    }

    #[test]
    fn one_seed_gives_one_answer_and_never_zero() {
        let values: Vec<f64> = (1..=70).map(f64::from).collect();
        let p = sign_flip_p(&values, 5);
        assert!(p > 0.0 && p < 0.001);
        assert!((p - sign_flip_p(&values, 5)).abs() < 1e-15);
    }
}
