//! How cost grows with size: the exponent, and where it bends first.

use crate::{
    report::{Growth, GrowthPoint},
    stats::median,
};

/// A segment bends where its exponent exceeds that of the segments before it by this much: at ten
/// times the size, cost is 1.6 times what the trend so far says.
const BEND: f64 = 0.2;

/// The growth of a case's cost over `points`, with its exponent and its first bend.
pub fn growth(what: &str, component: &str, case: &str, mut points: Vec<GrowthPoint>) -> Growth {
    points.sort_by_key(|it| it.size);
    let line: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|it| Some((it.size as f64, cost(it)?)))
        .collect();
    Growth {
        what: what.to_owned(),
        component: component.to_owned(),
        case: case.to_owned(),
        exponent: exponent(&line),
        bend: bend(&points).map(|it| it.sentence(what)),
        points,
    }
}

/// What an operation costs at a point: CPU time over all processes or, where there is none, P50.
fn cost(point: &GrowthPoint) -> Option<f64> {
    let cpu: f64 = point.cpu.values().sum();
    let cost = if cpu > 0.0 {
        cpu
    } else {
        *point.latency_us.get("p50")?
    };
    (cost > 0.0 && point.size > 0).then_some(cost)
}

/// The exponent b of cost = a sizeᵇ by least squares on logs: 0 does not grow, 1 grows evenly. None
/// of fewer than two sizes.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean_x = logs.iter().map(|it| it.0).sum::<f64>() / n;
    let mean_y = logs.iter().map(|it| it.1).sum::<f64>() / n;
    let (mut both, mut squares) = (0.0, 0.0);
    for (x, y) in logs {
        both += (x - mean_x) * (y - mean_y);
        squares += (x - mean_x).powi(2);
    }
    (points.len() > 1 && squares > 0.0).then(|| both / squares)
}

/// Where cost first grows faster than it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Bend {
    /// The last size of the trend before.
    pub from: u64,
    /// The first size beyond it.
    pub to: u64,
    /// How many times the cost is at `to` what it was at `from`.
    pub factor: f64,
    /// The exponent between the two.
    pub exponent: f64,
    /// The exponent before.
    pub before: f64,
    /// The process whose cost grew most, in CPU time.
    pub process: Option<String>,
    /// The figure that changed most there, at `from` and at `to`.
    pub figure: Option<(String, f64, f64)>,
}

/// The first bend of `points`, which ascend in size. None where cost goes on as it began, and of
/// fewer than three sizes, which have no trend to depart from.
pub fn bend(points: &[GrowthPoint]) -> Option<Bend> {
    let usable: Vec<(&GrowthPoint, f64)> = points
        .iter()
        .filter_map(|it| Some((it, cost(it)?)))
        .collect();
    let slope = |pair: &[(&GrowthPoint, f64)]| {
        exponent(&[
            (pair[0].0.size as f64, pair[0].1),
            (pair[1].0.size as f64, pair[1].1),
        ])
    };
    let slopes: Vec<f64> = usable.windows(2).map(slope).collect::<Option<_>>()?;
    (1..slopes.len()).find_map(|at| {
        let before = median(&slopes[..at])?.max(0.0);
        let [(from, cost_before), (to, cost_after)] = [usable[at], usable[at + 1]];
        (slopes[at] > before + BEND).then(|| Bend {
            from: from.size,
            to: to.size,
            factor: cost_after / cost_before,
            exponent: slopes[at],
            before,
            process: process(from, to),
            figure: figure(from, to),
        })
    })
}

fn process(from: &GrowthPoint, to: &GrowthPoint) -> Option<String> {
    let grown = to.cpu.iter().map(|(name, after)| {
        let before = from.cpu.get(name).copied().unwrap_or(0.0);
        (name, after - before)
    });
    grown
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|it| it.0.clone())
}

fn figure(from: &GrowthPoint, to: &GrowthPoint) -> Option<(String, f64, f64)> {
    let changed = to.figures.iter().filter_map(|(name, after)| {
        let before = *from.figures.get(name)?;
        Some((name, before, *after, change(before, *after)))
    });
    changed
        .filter(|it| it.3 > 0.05)
        .max_by(|a, b| a.3.total_cmp(&b.3))
        .map(|(name, before, after, _)| (name.clone(), before, after))
}

/// How much a figure changed, on logs. A share counts by what is missing to 1 as well: a hit ratio
/// that falls from 0.99 to 0.9 makes ten times the misses.
fn change(before: f64, after: f64) -> f64 {
    // Below a thousandth a share or a count makes no cost that bends a curve.
    let log = |before: f64, after: f64| (after.abs().max(1e-3) / before.abs().max(1e-3)).ln().abs();
    let is_share = |it: f64| (0.0..=1.0).contains(&it);
    let plain = log(before, after);
    if is_share(before) && is_share(after) {
        plain.max(log(1.0 - before, 1.0 - after))
    } else {
        plain
    }
}

impl Bend {
    fn sentence(&self, what: &str) -> String {
        let Bend {
            from,
            to,
            factor,
            exponent,
            before,
            ..
        } = self;
        let mut text = format!(
            "from {from} to {to} {what} an operation costs {factor:.1} times as much (exponent \
             {exponent:.2}, {before:.2} before)"
        );
        if let Some(process) = &self.process {
            text.push_str(&format!(", most of it in {process}"));
        }
        if let Some((name, before, after)) = &self.figure {
            text.push_str(&format!(
                "; `{name}` goes from {} to {}",
                crate::verdict::figure(*before),
                crate::verdict::figure(*after)
            ));
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(size: u64, postgres: f64, hit_ratio: f64) -> GrowthPoint {
        GrowthPoint {
            size,
            cpu: [("client", 10.0), ("postgres", postgres)]
                .map(|(name, us)| (name.to_owned(), us))
                .into(),
            latency_us: [("p50".to_owned(), 99.0)].into(),
            figures: [("hit_ratio", hit_ratio), ("index_depth", 3.0)]
                .map(|(name, it)| (name.to_owned(), it))
                .into(),
        }
    }

    #[test]
    fn the_first_bend_names_process_and_figure() {
        let points = vec![
            point(1_000_000, 200.0, 0.6),
            point(1_000, 20.0, 0.999),
            point(10_000, 21.0, 0.998),
            point(100_000, 23.0, 0.99),
            point(10_000_000, 2_000.0, 0.1),
        ];
        let growth = growth("questions", "database", "simple_select", points);
        let sizes: Vec<u64> = growth.points.iter().map(|it| it.size).collect();
        assert!(sizes.is_sorted());
        assert!(growth.exponent.unwrap() > 0.3);
        let bend = growth.bend.unwrap();
        assert_eq!(
            bend,
            "from 100000 to 1000000 questions an operation costs 6.4 times as much (exponent \
             0.80, 0.02 before), most of it in postgres; `hit_ratio` goes from 0.990 to 0.600"
        );
    }

    #[test]
    fn even_growth_has_no_bend_and_two_sizes_have_no_trend() {
        let even = |sizes: &[u64]| -> Vec<GrowthPoint> {
            sizes.iter().map(|it| point(*it, *it as f64, 0.9)).collect()
        };
        let growth = growth("keys", "cache", "mget_100", even(&[1_000, 10_000, 100_000]));
        assert_eq!(growth.bend, None);
        assert!((growth.exponent.unwrap() - 1.0).abs() < 0.01);
        let one = super::growth("keys", "cache", "set", even(&[1_000]));
        assert_eq!(one.exponent, None);
        let steep = vec![point(1_000, 10.0, 0.9), point(10_000, 1_000.0, 0.9)];
        assert_eq!(bend(&steep), None);
        assert_eq!(exponent(&[(1.0, 1.0)]), None);
    }

    #[test]
    fn without_cpu_time_latency_stands_in() {
        let mut points = vec![
            point(10, 1.0, 0.5),
            point(100, 1.0, 0.5),
            point(1_000, 1.0, 0.5),
        ];
        for (point, p50) in points.iter_mut().zip([10.0, 100.0, 1_000.0]) {
            point.cpu.clear();
            point.latency_us.insert("p50".to_owned(), p50);
        }
        let growth = growth("connections", "pools", "checkout", points);
        assert!((growth.exponent.unwrap() - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_power_law_gives_its_exponent(a in 0.1..100.0_f64, b in -1.0..2.0_f64) {
            let points: Vec<(f64, f64)> = [10.0_f64, 50.0, 300.0, 4_000.0]
                .iter()
                .map(|x| (*x, a * x.powf(b)))
                .collect();
            prop_assert!((exponent(&points).unwrap() - b).abs() < 1e-9);
        }
    }
}
