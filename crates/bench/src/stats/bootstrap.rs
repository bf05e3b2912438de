//! Intervals of quantiles of merged histograms, by drawing whole blocks anew.
//!
//! B. Efron, "Better bootstrap confidence intervals", Journal of the American Statistical
//! Association 82 (1987): bias-corrected and accelerated. Values within a block depend on each
//! other, so it is blocks that are drawn.

use std::collections::BTreeMap;

use super::{Interval, normal_cdf, normal_quantile, quantile_of_sorted};
use crate::Histogram;

const RESAMPLES: usize = 2_000;

/// A figure of the merged histograms of all blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Merged {
    /// The mean.
    Mean,
    /// The quantile, from 0 to 1.
    Quantile(f64),
}

/// The interval, in nanoseconds, of each figure of `blocks` merged. None where one block is left
/// out and nothing remains, or no block has a value.
///
/// With fewer than about ten blocks a bootstrap interval is too short for the confidence it
/// states; use it beside one that is not.
pub fn merged_intervals(
    blocks: &[Histogram],
    figures: &[Merged],
    confidence: f64,
    seed: u64,
) -> Vec<Option<Interval>> {
    let table = Table::new(blocks);
    let n = blocks.len();
    let all = vec![1; n];
    let mut rng = fastrand::Rng::with_seed(seed);
    // The same draws for all figures.
    let draws: Vec<Vec<u32>> = (0..RESAMPLES).map(|_| draw(&mut rng, n)).collect();
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES); figures.len()];
    for weights in &draws {
        for (into, value) in drawn.iter_mut().zip(table.figures(weights, figures)) {
            into.extend(value);
        }
    }
    let without_one: Vec<Vec<Option<f64>>> = (0..n)
        .map(|i| {
            let mut weights = all.clone();
            weights[i] = 0;
            table.figures(&weights, figures)
        })
        .collect();
    table
        .figures(&all, figures)
        .into_iter()
        .zip(drawn)
        .enumerate()
        .map(|(at, (value, drawn))| {
            let jackknife: Option<Vec<f64>> = without_one.iter().map(|it| it[at]).collect();
            accelerated(value?, drawn, &jackknife?, confidence)
        })
        .collect()
}

/// How often each of `n` blocks comes up in `n` draws.
fn draw(rng: &mut fastrand::Rng, n: usize) -> Vec<u32> {
    let mut weights = vec![0; n];
    for _ in 0..n {
        weights[rng.usize(..n)] += 1;
    }
    weights
}

/// The values that any block has, ascending, and how many of each block are not greater.
struct Table {
    rows: Vec<(f64, Vec<u64>)>,
    /// The sum of each block's values.
    sums: Vec<f64>,
}

impl Table {
    fn new(blocks: &[Histogram]) -> Table {
        let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut sums = vec![0.0; blocks.len()];
        for (block, histogram) in blocks.iter().enumerate() {
            for (value, count) in histogram.recorded() {
                let row = counts.entry(value);
                row.or_insert_with(|| vec![0; blocks.len()])[block] += count;
                sums[block] += value as f64 * count as f64;
            }
        }
        let mut below = vec![0; blocks.len()];
        let rows = counts.into_iter().map(|(value, counts)| {
            for (below, count) in below.iter_mut().zip(counts) {
                *below += count;
            }
            (value as f64, below.clone())
        });
        Table {
            rows: rows.collect(),
            sums,
        }
    }

    /// The figures of the blocks merged, each as often as its weight says.
    fn figures(&self, weights: &[u32], figures: &[Merged]) -> Vec<Option<f64>> {
        let weighted = |counts: &[u64]| -> u64 {
            let pairs = counts.iter().zip(weights);
            pairs
                .map(|(count, weight)| count * u64::from(*weight))
                .sum()
        };
        let all = self.rows.last().map_or(0, |it| weighted(&it.1)) as f64;
        figures
            .iter()
            .map(|figure| match figure {
                _ if all == 0.0 => None,
                Merged::Mean => {
                    let pairs = self.sums.iter().zip(weights);
                    let sum: f64 = pairs.map(|(sum, weight)| sum * f64::from(*weight)).sum();
                    Some(sum / all)
                }
                Merged::Quantile(q) => {
                    let rows = &self.rows;
                    let at = rows.partition_point(|it| (weighted(&it.1) as f64) < q * all);
                    rows.get(at).map(|it| it.0)
                }
            })
            .collect()
    }
}

/// The bias-corrected, accelerated interval of `value`, from figures `drawn` anew and with each block left out in turn.
fn accelerated(
    value: f64,
    mut drawn: Vec<f64>,
    jackknife: &[f64],
    confidence: f64,
) -> Option<Interval> {
    drawn.sort_by(f64::total_cmp);
    // Figures are whole buckets, so many are equal to the value: half of these count as below.
    let below = drawn.partition_point(|it| *it < value) as f64;
    let equal = drawn.partition_point(|it| *it <= value) as f64 - below;
    let n = drawn.len() as f64;
    let bias = normal_quantile(((below + equal / 2.0) / n).clamp(1.0 / n, 1.0 - 1.0 / n));
    let acceleration = acceleration(jackknife)?;
    let end = |tail: f64| {
        let z = bias + normal_quantile(tail);
        let share = normal_cdf(bias + z / (1.0 - acceleration * z));
        quantile_of_sorted(&drawn, share)
    };
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        low: end(tail)?.min(value),
        high: end(1.0 - tail)?.max(value),
    })
}

/// How the spread changes with the value: a sixth of the skewness of the jackknife's values. None
/// of fewer than two.
fn acceleration(jackknife: &[f64]) -> Option<f64> {
    let mean = super::mean(jackknife)?;
    let (mut squares, mut cubes) = (0.0, 0.0);
    for value in jackknife {
        let deviation = mean - value;
        squares += deviation * deviation;
        cubes += deviation.powi(3);
    }
    if jackknife.len() < 2 {
        return None;
    }
    let spread = 6.0 * squares.powf(1.5);
    // Beyond a quarter the correction turns on itself; so large a skewness is one block's doing.
    Some(if spread > 0.0 {
        (cubes / spread).clamp(-0.25, 0.25)
    } else {
        0.0
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn block(rng: &mut fastrand::Rng, values: usize, level_us: f64) -> Histogram {
        let mut histogram = Histogram::new();
        for _ in 0..values {
            let us = level_us * (1.0 - rng.f64()).ln().abs();
            histogram.record(Duration::from_secs_f64(us / 1e6));
        }
        histogram
    }

    #[test]
    fn the_figures_are_those_of_the_merged_histogram() {
        let mut rng = fastrand::Rng::with_seed(4);
        let blocks: Vec<Histogram> = (0..4).map(|_| block(&mut rng, 500, 900.0)).collect();
        let mut merged = Histogram::new();
        for it in &blocks {
            merged.merge(it);
        }
        let wanted = [Merged::Mean, Merged::Quantile(0.5), Merged::Quantile(0.95)];
        let seen = Table::new(&blocks).figures(&[1; 4], &wanted);
        let close = |seen: Option<f64>, expect: Duration| {
            let expect = expect.as_nanos() as f64;
            assert!(
                (seen.unwrap() / expect - 1.0).abs() < 0.002,
                "{seen:?} {expect}"
            );
        };
        close(seen[0], merged.mean().unwrap());
        close(seen[1], merged.quantile(0.5).unwrap());
        close(seen[2], merged.quantile(0.95).unwrap());
    }

    #[test]
    fn the_interval_encloses_the_truth_nearly_as_often_as_it_says() {
        let mut rng = fastrand::Rng::with_seed(11);
        // The median of an exponential distribution is ln 2 times its mean.
        let truth = 1_000_000.0 * 2.0_f64.ln();
        let trials = 20;
        let hits = (0..trials).filter(|_| {
            let blocks: Vec<Histogram> = (0..12).map(|_| block(&mut rng, 25, 1_000.0)).collect();
            let seed = rng.u64(..);
            let interval = merged_intervals(&blocks, &[Merged::Quantile(0.5)], 0.95, seed)[0];
            interval.is_some_and(|it| it.low <= truth && truth <= it.high)
        });
        let hits = hits.count();
        assert!(hits >= 16, "{hits} of {trials}");
    }

    #[test]
    fn one_noisy_block_widens_it_and_one_block_has_none() {
        let mut rng = fastrand::Rng::with_seed(12);
        let calm: Vec<Histogram> = (0..10).map(|_| block(&mut rng, 60, 1_000.0)).collect();
        let mut noisy = calm.clone();
        noisy[3] = block(&mut rng, 60, 20_000.0);
        let width = |blocks: &[Histogram]| {
            let interval = merged_intervals(blocks, &[Merged::Quantile(0.95)], 0.99, 1)[0].unwrap();
            interval.high / interval.low
        };
        assert!(width(&noisy) > width(&calm));
        assert_eq!(
            merged_intervals(&calm[..1], &[Merged::Mean], 0.99, 1),
            [None]
        );
        assert_eq!(merged_intervals(&[], &[Merged::Mean], 0.99, 1), [None]);
    }
}
