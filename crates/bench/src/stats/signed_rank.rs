//! One sample: the Hodges–Lehmann estimate and its exact interval.
//!
//! J. L. Hodges and E. L. Lehmann, "Estimates of location based on rank tests", Annals of
//! Mathematical Statistics 34 (1963); the interval is that of M. Hollander and D. A. Wolfe,
//! "Nonparametric Statistical Methods", section 3.3, which inverts Wilcoxon's signed-rank test.

use super::{location::median_of_sorted, normal_cdf, normal_quantile};

/// Beyond this many values the normal approximation of the null distribution is closer to it than
/// any use of the interval needs.
const EXACT_TO: usize = 100;

/// A lower and an upper end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Where the values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median of all Walsh averages.
    pub middle: f64,
    /// Their order statistics that enclose the truth with the confidence asked for. Absent where
    /// so few values cannot reach that confidence.
    pub interval: Option<Interval>,
    /// The widest interval that these values can give: from the least to the greatest.
    pub widest: Interval,
}

/// Where `values` lie, with an interval of at least `confidence`; none of nothing.
///
/// Assumes that the values are independent and their distribution symmetric, and no more than
/// that: its shape and its spread may be any, and may differ from value to value.
pub fn estimate(values: &[f64], confidence: f64) -> Option<Estimate> {
    let walsh = walsh_averages(values);
    let widest = Interval {
        low: *walsh.first()?,
        high: *walsh.last()?,
    };
    let interval = walsh_rank(values.len(), confidence).map(|k| Interval {
        low: walsh[k - 1],
        high: walsh[walsh.len() - k],
    });
    Some(Estimate {
        middle: median_of_sorted(&walsh)?,
        interval,
        widest,
    })
}

/// The averages of all pairs, each value with itself included, ascending.
fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let mut averages: Vec<f64> = values
        .iter()
        .enumerate()
        .flat_map(|(i, x)| values[i..].iter().map(move |y| f64::midpoint(*x, *y)))
        .collect();
    averages.sort_by(f64::total_cmp);
    averages
}

/// The k for which the k-th least and the k-th greatest Walsh average of `n` values enclose the
/// truth with at least `confidence`. None where not even the least and the greatest do: at 99 %,
/// below 8 values.
pub fn walsh_rank(n: usize, confidence: f64) -> Option<usize> {
    let tail = (1.0 - confidence) / 2.0;
    if n == 0 {
        return None;
    }
    if n > EXACT_TO {
        return approximate_rank(n, tail);
    }
    let mut below = 0.0;
    let mut k = 0;
    for share in signed_rank_null(n) {
        below += share;
        // Rounding must not cost a rank where the tail is met exactly.
        if below > tail + 1e-12 {
            break;
        }
        k += 1;
    }
    (k > 0).then_some(k)
}

/// The distribution of Wilcoxon's signed-rank statistic without an effect: the share of the 2ⁿ
/// choices of signs whose positive ranks add up to 0, 1, 2, …
///
/// Rank by rank: each is in the sum in half of the cases.
fn signed_rank_null(n: usize) -> Vec<f64> {
    let mut shares = vec![0.0; n * (n + 1) / 2 + 1];
    shares[0] = 1.0;
    let mut greatest = 0;
    for rank in 1..=n {
        greatest += rank;
        for sum in (0..=greatest).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = f64::midpoint(shares[sum], with);
        }
    }
    shares
}

/// The two-sided p of Wilcoxon's signed-rank test that `values` lie around zero: exact up to 100
/// values, so that it is fine enough to be held against many others. 1 of nothing.
///
/// The interval of [`estimate`] excludes zero at a confidence where p is at most the rest to 1.
/// Averages that are zero count as evidence against a difference.
pub fn signed_rank_p(values: &[f64]) -> f64 {
    let walsh = walsh_averages(values);
    let at_most = walsh.iter().filter(|it| **it <= 0.0).count();
    let at_least = walsh.iter().filter(|it| **it >= 0.0).count();
    let fewer = at_most.min(at_least);
    let tail = if values.len() > EXACT_TO {
        let (mean, sd) = null_moments(values.len());
        normal_cdf((fewer as f64 + 0.5 - mean) / sd)
    } else {
        signed_rank_null(values.len())[..=fewer].iter().sum()
    };
    (2.0 * tail).min(1.0)
}

/// Mean and standard deviation of the statistic without an effect.
fn null_moments(n: usize) -> (f64, f64) {
    let n = n as f64;
    let mean = n * (n + 1.0) / 4.0;
    (mean, (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt())
}

fn approximate_rank(n: usize, tail: f64) -> Option<usize> {
    let (mean, sd) = null_moments(n);
    let k = (mean + normal_quantile(tail) * sd).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1, and at most the number of Walsh averages"
    )]
    (k >= 1.0).then_some(k as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ranks_of_the_published_table() {
        for (n, k) in [
            (6, None),
            (7, None),
            (8, Some(1)),
            (10, Some(4)),
            (12, Some(8)),
            (16, Some(20)),
            (20, Some(38)),
            (24, Some(62)),
            (30, Some(110)),
        ] {
            assert_eq!(walsh_rank(n, 0.99), k, "{n}");
        }
        assert_eq!(walsh_rank(0, 0.99), None);
        assert_eq!(walsh_rank(6, 0.95), Some(1));
    }

    #[test]
    fn the_null_distribution_is_that_of_all_choices_of_signs() {
        for n in 1..=12_usize {
            let mut counted = vec![0.0; n * (n + 1) / 2 + 1];
            for signs in 0..1_usize << n {
                let sum: usize = (0..n)
                    .filter(|it| signs >> it & 1 == 1)
                    .map(|it| it + 1)
                    .sum();
                counted[sum] += 1.0 / (1_u64 << n) as f64;
            }
            for (sum, (exact, counted)) in signed_rank_null(n).iter().zip(&counted).enumerate() {
                assert!((exact - counted).abs() < 1e-15, "n {n}, sum {sum}");
            }
        }
    }

    #[test]
    fn the_approximation_continues_the_exact_ranks() {
        for confidence in [0.95, 0.99] {
            let exact = walsh_rank(EXACT_TO, confidence).unwrap() as f64;
            let approximate = approximate_rank(EXACT_TO, (1.0 - confidence) / 2.0).unwrap() as f64;
            assert!(
                (exact - approximate).abs() / exact < 0.01,
                "{exact} {approximate}"
            );
        }
        assert!(walsh_rank(EXACT_TO + 1, 0.99).is_some());
    }

    #[test]
    fn too_few_values_have_an_estimate_and_no_interval() {
        let few = estimate(&[1.0, 2.0, 4.0], 0.99).unwrap();
        assert_eq!((few.middle, few.interval), (2.25, None));
        assert_eq!(
            few.widest,
            Interval {
                low: 1.0,
                high: 4.0
            }
        );
        assert_eq!(estimate(&[], 0.99), None);
    }

    #[test]
    fn the_interval_encloses_the_truth_as_often_as_it_says() {
        let mut rng = fastrand::Rng::with_seed(7);
        let trials = 1_500;
        let outside = (0..trials)
            .filter(|_| {
                let values: Vec<f64> = (0..12).map(|_| rng.f64() + rng.f64() - 1.0).collect();
                let interval = estimate(&values, 0.95).unwrap().interval.unwrap();
                interval.low > 0.0 || interval.high < 0.0
            })
            .count();
        // 5 % of them are 75; the interval may be a little wider than asked, since ranks are whole.
        assert!((35..=100).contains(&outside), "{outside} of {trials}");
    }

    #[test]
    fn p_counts_choices_of_signs() {
        let of_one_sign = |n: usize| vec![0.1; n];
        for n in [8_u8, 16, 30] {
            let p = signed_rank_p(&of_one_sign(usize::from(n)));
            assert!(
                (p / 2.0_f64.powi(1 - i32::from(n)) - 1.0).abs() < 1e-9,
                "{n}: {p}"
            );
        }
        // Ranks 1 and 2 against the other six: 3 choices have a sum of 0, 1 or 2, two of 3.
        let p = signed_rank_p(&[-0.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
        assert!((p - 2.0 * 5.0 / 256.0).abs() < 1e-12, "{p}");
        for nothing in [vec![], vec![0.0; 10], vec![0.1, -0.1, 0.3, -0.3]] {
            assert!((signed_rank_p(&nothing) - 1.0).abs() < 1e-12, "{nothing:?}");
        }
        let many = vec![0.1; EXACT_TO + 1];
        assert!(signed_rank_p(&many) < 1e-12);
    }

    proptest! {
        #[test]
        fn p_and_interval_say_the_same(
            values in prop::collection::vec(-1.0..3.0_f64, 8..24),
        ) {
            let interval = estimate(&values, 0.99).unwrap().interval.unwrap();
            let is_clear = interval.low > 0.0 || interval.high < 0.0;
            prop_assert_eq!(is_clear, signed_rank_p(&values) <= 0.01 + 1e-11);
        }

        #[test]
        fn the_estimate_moves_and_turns_with_the_values(
            values in prop::collection::vec(-10.0..10.0_f64, 8..24),
            by in -5.0..5.0_f64,
        ) {
            let here = estimate(&values, 0.99).unwrap();
            let there: Vec<f64> = values.iter().map(|it| by - it).collect();
            let there = estimate(&there, 0.99).unwrap();
            prop_assert!((there.middle - (by - here.middle)).abs() < 1e-9);
            let (here, there) = (here.interval.unwrap(), there.interval.unwrap());
            prop_assert!((there.low - (by - here.high)).abs() < 1e-9);
            prop_assert!((there.high - (by - here.low)).abs() < 1e-9);
        }

        #[test]
        fn a_surer_interval_encloses_a_less_sure_one(
            values in prop::collection::vec(-10.0..10.0_f64, 8..24),
        ) {
            let sure = estimate(&values, 0.99).unwrap();
            let (outer, middle) = (sure.interval.unwrap(), sure.middle);
            let inner = estimate(&values, 0.95).unwrap().interval.unwrap();
            prop_assert!(sure.widest.low <= outer.low && outer.low <= inner.low);
            prop_assert!(inner.low <= middle && middle <= inner.high);
            prop_assert!(inner.high <= outer.high && outer.high <= sure.widest.high);
        }
    }
}
