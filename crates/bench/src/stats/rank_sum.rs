//! Two samples: the Hodges–Lehmann shift, its interval, and the Mann–Whitney test.
//!
//! H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is
//! stochastically larger than the other", Annals of Mathematical Statistics 18 (1947); the shift
//! and its interval as in Hollander and Wolfe, "Nonparametric Statistical Methods", section 4.3.

use super::{Interval, location::median_of_sorted, normal_cdf, normal_quantile};

/// Beyond this product of both sizes the normal approximation is closer than any use needs.
const EXACT_TO: usize = 1_600;

/// How far the second sample lies above the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The median of all differences of pairs.
    pub middle: f64,
    /// Absent where so few values cannot reach the confidence asked for.
    pub interval: Option<Interval>,
    /// From the least to the greatest of the differences.
    pub widest: Interval,
}

/// How far `later` lies above `earlier`, with an interval of at least `confidence`; none where one
/// of them is empty.
///
/// Assumes independent values and two distributions of one shape.
pub fn shift(earlier: &[f64], later: &[f64], confidence: f64) -> Option<Shift> {
    let mut differences: Vec<f64> = earlier
        .iter()
        .flat_map(|x| later.iter().map(move |y| y - x))
        .collect();
    differences.sort_by(f64::total_cmp);
    let widest = Interval {
        low: *differences.first()?,
        high: *differences.last()?,
    };
    let rank = difference_rank(earlier.len(), later.len(), confidence);
    Some(Shift {
        middle: median_of_sorted(&differences)?,
        interval: rank.map(|k| Interval {
            low: differences[k - 1],
            high: differences[differences.len() - k],
        }),
        widest,
    })
}

/// The probability that samples of one distribution differ as much as these, or more, in either
/// direction (two-sided Mann–Whitney; pairs of equal values count half, which is on the safe side).
/// 1 where one of them is empty.
pub fn rank_sum_p(earlier: &[f64], later: &[f64]) -> f64 {
    let (m, n) = (earlier.len(), later.len());
    if m == 0 || n == 0 {
        return 1.0;
    }
    let u: f64 = earlier
        .iter()
        .flat_map(|x| later.iter().map(move |y| (x, y)))
        .map(|(x, y)| match x.total_cmp(y) {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.0,
        })
        .sum();
    let least = u.min((m * n) as f64 - u);
    let tail = if m * n <= EXACT_TO {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of pairs"
        )]
        let whole = least.ceil() as usize;
        rank_sum_null(m, n).iter().take(whole + 1).sum()
    } else {
        let (mean, sd) = moments(m, n);
        normal_cdf((least + 0.5 - mean) / sd)
    };
    (2.0 * tail).min(1.0)
}

/// The k for which the k-th least and the k-th greatest difference enclose the shift.
fn difference_rank(m: usize, n: usize, confidence: f64) -> Option<usize> {
    let tail = (1.0 - confidence) / 2.0;
    if m * n > EXACT_TO {
        let (mean, sd) = moments(m, n);
        let k = (mean + normal_quantile(tail) * sd).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 1, and at most the number of pairs"
        )]
        return (k >= 1.0).then_some(k as usize);
    }
    let mut below = 0.0;
    let mut k = 0;
    for share in rank_sum_null(m, n) {
        below += share;
        if below > tail + 1e-12 {
            break;
        }
        k += 1;
    }
    (k > 0).then_some(k)
}

fn moments(m: usize, n: usize) -> (f64, f64) {
    let (m, n) = (m as f64, n as f64);
    (m * n / 2.0, (m * n * (m + n + 1.0) / 12.0).sqrt())
}

/// The distribution of U without an effect: the share of the orders of `m` and `n` values in which
/// 0, 1, 2, … pairs have the second sample's value above the first's.
///
/// By whose value is the greatest: the second sample's, which is then above all `m`, or the first's.
fn rank_sum_null(m: usize, n: usize) -> Vec<f64> {
    // Without a second sample no pair counts, whatever the size of the first.
    let mut with_one_less: Vec<Vec<f64>> = vec![vec![1.0]; m + 1];
    for second in 1..=n {
        let mut row: Vec<Vec<f64>> = vec![vec![1.0]];
        for first in 1..=m {
            let all = (first + second) as f64;
            let mut shares = vec![0.0; first * second + 1];
            for (u, share) in with_one_less[first].iter().enumerate() {
                shares[u + first] += share * second as f64 / all;
            }
            for (u, share) in row[first - 1].iter().enumerate() {
                shares[u] += share * first as f64 / all;
            }
            row.push(shares);
        }
        with_one_less = row;
    }
    with_one_less.swap_remove(m)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every choice of `m` places out of `m + n`, and U for it.
    fn counted(m: usize, n: usize) -> Vec<f64> {
        let mut counts = vec![0.0; m * n + 1];
        for places in 0..1_u32 << (m + n) {
            if places.count_ones() as usize != m {
                continue;
            }
            let mut first_below = 0;
            let mut u = 0;
            for place in 0..m + n {
                if places >> place & 1 == 1 {
                    first_below += 1;
                } else {
                    u += first_below;
                }
            }
            counts[u] += 1.0;
        }
        let all: f64 = counts.iter().sum();
        counts.iter().map(|it| it / all).collect()
    }

    #[test]
    fn the_null_distribution_is_that_of_all_orders() {
        for (m, n) in [(1, 1), (3, 4), (4, 3), (5, 5), (2, 7), (6, 6)] {
            for (exact, counted) in rank_sum_null(m, n).iter().zip(counted(m, n)) {
                assert!((exact - counted).abs() < 1e-12, "{m} {n}");
            }
        }
    }

    #[test]
    fn the_approximation_continues_the_exact_ranks() {
        let exact = difference_rank(40, 40, 0.99).unwrap() as f64;
        let (mean, sd) = moments(40, 40);
        let approximate = (mean + normal_quantile(0.005) * sd).floor();
        assert!((exact - approximate).abs() / exact < 0.01);
        assert!(difference_rank(41, 41, 0.99).is_some());
        assert_eq!(difference_rank(3, 3, 0.99), None);
    }

    #[test]
    fn samples_apart_differ_and_equal_ones_do_not() {
        let low: Vec<f64> = (0..8).map(f64::from).collect();
        let high: Vec<f64> = low.iter().map(|it| it + 100.0).collect();
        // One order of 12,870, in either direction.
        assert!((rank_sum_p(&low, &high) - 2.0 / 12_870.0).abs() < 1e-12);
        assert!((rank_sum_p(&low, &low) - 1.0).abs() < 1e-12);
        assert!((rank_sum_p(&[], &low) - 1.0).abs() < 1e-12);
        assert_eq!(shift(&low, &high, 0.99).unwrap().middle, 100.0);
        assert_eq!(shift(&low, &[], 0.99), None);
    }

    proptest! {
        #[test]
        fn swapping_the_samples_turns_the_shift(
            x in prop::collection::vec(-1.0..1.0_f64, 6..14),
            y in prop::collection::vec(-1.0..1.0_f64, 6..14),
        ) {
            let there = shift(&x, &y, 0.95).unwrap();
            let back = shift(&y, &x, 0.95).unwrap();
            prop_assert!((there.middle + back.middle).abs() < 1e-12);
            let (there, back) = (there.interval.unwrap(), back.interval.unwrap());
            prop_assert!((there.low + back.high).abs() < 1e-12);
            prop_assert!((rank_sum_p(&x, &y) - rank_sum_p(&y, &x)).abs() < 1e-12);
        }

        #[test]
        fn a_shift_of_zero_is_excluded_exactly_where_the_test_rejects_it(
            x in prop::collection::vec(-1.0..1.0_f64, 6..12),
            y in prop::collection::vec(-0.2..1.8_f64, 6..12),
        ) {
            let interval = shift(&x, &y, 0.95).unwrap().interval.unwrap();
            let is_excluded = interval.low > 0.0 || interval.high < 0.0;
            prop_assert_eq!(is_excluded, rank_sum_p(&x, &y) <= 0.05 + 1e-12);
        }
    }
}
