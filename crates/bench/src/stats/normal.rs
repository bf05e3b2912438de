//! The normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// The share of a standard normal distribution below `z`, to 1e-12.
///
/// The error function by its series near zero and by its continued fraction further out
/// (Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.6 and 7.1.14).
pub fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / SQRT_2;
    let upper_tail = if x < 2.5 {
        0.5 - 0.5 * erf_series(x)
    } else {
        0.5 * erfc_fraction(x)
    };
    if z > 0.0 {
        1.0 - upper_tail
    } else {
        upper_tail
    }
}

fn erf_series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..100 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

fn erfc_fraction(x: f64) -> f64 {
    let fraction = (1..=80)
        .rev()
        .fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

/// The z below which a share of `p` of a standard normal distribution lies: infinite at 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    // Beyond 38 the tail is no longer a number; 100 halvings leave nothing to halve.
    let (mut low, mut high) = (-38.0, 38.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if normal_cdf(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_points_of_the_table() {
        for (p, z) in [
            (0.5, 0.0),
            (0.841_344_746_068_543, 1.0),
            (0.9, 1.281_551_565_544_6),
            (0.975, 1.959_963_984_540_054),
            (0.995, 2.575_829_303_548_901),
            (1e-9, -5.997_807_015_007_686),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
            assert!((normal_cdf(z) - p).abs() < 1e-12, "{z}");
        }
    }

    #[test]
    fn the_two_expansions_meet() {
        let z = 2.5 * SQRT_2;
        assert!((normal_cdf(z - 1e-9) - normal_cdf(z + 1e-9)).abs() < 1e-11);
        assert!(normal_quantile(0.0).is_infinite() && normal_quantile(1.0).is_infinite());
    }
}
