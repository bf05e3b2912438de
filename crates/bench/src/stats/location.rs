//! Where numbers lie and how far they spread.

/// The factor that makes the median absolute deviation of normal noise its standard deviation:
/// 1 / Φ⁻¹(3/4).
const MAD_TO_SD: f64 = 1.4826;

/// The arithmetic mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The middle, or the mean of the two middle ones; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

pub(super) fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len().is_multiple_of(2) {
        Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
    } else {
        Some(upper)
    }
}

/// The value that a share of `q` of the ascending `sorted` does not exceed, with straight lines
/// between neighbours (definition 7 of Hyndman and Fan, "Sample quantiles in statistical packages",
/// The American Statistician 50, 1996); none of nothing.
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a length"
    )]
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let share = place - place.floor();
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

/// The spread as a standard deviation, from the median absolute deviation: a few wild values do
/// not move it. None of fewer than two values.
pub fn mad_s(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let middle = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|it| (it - middle).abs()).collect();
    Some(MAD_TO_SD * median(&deviations)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn quantiles_lie_on_the_line_between_neighbours() {
        let sorted = [0.0, 10.0, 20.0];
        for (q, expect) in [(0.0, 0.0), (0.25, 5.0), (0.5, 10.0), (1.0, 20.0)] {
            assert_eq!(quantile_of_sorted(&sorted, q), Some(expect), "{q}");
        }
    }

    #[test]
    fn one_wild_value_does_not_move_the_spread() {
        let calm = [-2.0, -1.0, 0.0, 1.0, 2.0];
        let wild = [-2.0, -1.0, 0.0, 1.0, 2_000.0];
        assert_eq!(mad_s(&calm), mad_s(&wild));
        assert!((mad_s(&calm).unwrap() - 1.4826).abs() < 1e-12);
        assert_eq!(mad_s(&[1.0]), None);
    }
}
