//! When a warm-up may end.

/// Bins at the end that must show no trend.
const LAST: usize = 10;
/// A rank correlation with time that is a trend.
const TREND: f64 = 0.7;

/// How many of the first `values` to leave out for the standard error of the rest's mean to be
/// least; at most half of them. None of fewer than four.
///
/// K. P. White, "An effective truncation heuristic for bias reduction in simulation output",
/// Simulation 69 (1997): the marginal standard error rule. A least value that lies beyond the
/// first half says that the end of the warm-up was not reached, hence none as well.
pub fn mser(values: &[f64]) -> Option<usize> {
    let n = values.len();
    if n < 4 {
        return None;
    }
    // From the back, so that each rest is one value more.
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut best = (f64::INFINITY, n);
    let shifted_by = values[n - 1];
    for left_out in (0..n).rev() {
        let value = values[left_out] - shifted_by;
        sum += value;
        squares += value * value;
        let rest = (n - left_out) as f64;
        // A few values at the end agree by chance: a rest is at least a quarter of all.
        if rest >= 4.0_f64.max(n as f64 / 4.0) {
            let error = (squares - sum * sum / rest).max(0.0) / (rest * rest);
            if error <= best.0 {
                best = (error, left_out);
            }
        }
    }
    (best.1 <= n / 2).then_some(best.1)
}

/// Spearman's rank correlation of the values with their order: 1 where they only rise, −1 where
/// they only fall. 0 of fewer than two values, or of equal ones.
///
/// C. Spearman, "The proof and measurement of association between two things", American Journal of
/// Psychology 15 (1904).
pub fn spearman(values: &[f64]) -> f64 {
    let ranks = mid_ranks(values);
    let middle = (values.len() as f64 + 1.0) / 2.0;
    let (mut both, mut by_rank, mut by_time) = (0.0, 0.0, 0.0);
    for (i, rank) in ranks.iter().enumerate() {
        let time = i as f64 + 1.0 - middle;
        both += time * (rank - middle);
        by_rank += (rank - middle).powi(2);
        by_time += time * time;
    }
    if by_rank == 0.0 || by_time == 0.0 {
        return 0.0;
    }
    both / (by_rank * by_time).sqrt()
}

/// Ranks from 1; equal values share the mean of theirs.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|value| {
            let less = values.iter().filter(|it| *it < value).count() as f64;
            let equal = values.iter().filter(|it| *it == value).count() as f64;
            less + (equal + 1.0) / 2.0
        })
        .collect()
}

/// From which bin on a warm-up's figures are steady. None while they are not: too few, still in
/// the first phase by [`mser`], or with a trend in the last ten (|ρ| ≥ 0.7).
pub fn steady_from(bins: &[f64]) -> Option<usize> {
    let tail = bins.get(bins.len().checked_sub(LAST)?..)?;
    if spearman(tail).abs() >= TREND {
        return None;
    }
    mser(bins)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noisy(n: usize, seed: u64, level: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..n).map(|i| level(i) + rng.f64() - 0.5).collect()
    }

    #[test]
    fn a_slow_beginning_is_left_out() {
        let bins = noisy(60, 1, |i| if i < 12 { 50.0 } else { 10.0 });
        let from = steady_from(&bins).unwrap();
        assert!((12..=20).contains(&from), "{from}");
    }

    #[test]
    fn a_trend_or_a_late_step_is_not_steady() {
        let falling = noisy(40, 2, |i| 100.0 - i as f64);
        assert_eq!(steady_from(&falling), None);
        let late = noisy(40, 3, |i| if i < 30 { 50.0 } else { 10.0 });
        assert_eq!(steady_from(&late), None);
        assert_eq!(steady_from(&[1.0; 9]), None);
    }

    #[test]
    fn level_figures_are_steady() {
        let steady = (0..50).filter(|seed| steady_from(&noisy(40, *seed, |_| 10.0)).is_some());
        assert!(steady.count() >= 35);
        assert_eq!(steady_from(&[1.0; 20]), Some(0));
    }

    #[test]
    fn correlation_of_the_plain_orders() {
        assert!((spearman(&[1.0, 2.0, 5.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[5.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert_eq!(spearman(&[2.0, 2.0]), 0.0);
        assert_eq!(spearman(&[]), 0.0);
    }

    proptest! {
        #[test]
        fn the_rule_is_that_of_its_definition(values in prop::collection::vec(0.0..9.0_f64, 4..40)) {
            let n = values.len();
            let error = |d: usize| {
                let rest = &values[d..];
                let mean = rest.iter().sum::<f64>() / rest.len() as f64;
                let squares: f64 = rest.iter().map(|it| (it - mean).powi(2)).sum();
                squares / (rest.len() as f64).powi(2)
            };
            let last = n - n.div_ceil(4).max(4);
            let least = (0..=last).map(error).fold(f64::INFINITY, f64::min);
            let in_first_half = (0..=last.min(n / 2)).map(error).fold(f64::INFINITY, f64::min);
            match mser(&values) {
                Some(d) => prop_assert!(d <= n / 2 && error(d) <= least + 1e-9),
                None => prop_assert!(in_first_half > least),
            }
        }
    }
}
