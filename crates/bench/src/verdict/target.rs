//! Whether a target is met.

use super::{Rules, percent, too_few};
use crate::{
    Target, TargetOf,
    report::{Row, TargetVerdict},
    stats::{Interval, blocks_to_see},
};

/// What was seen of the figure that a target is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The estimate.
    pub value: f64,
    /// Its interval. Absent where there are too few blocks for one.
    pub interval: Option<Interval>,
    /// Whether it was counted exactly, and the interval is the value.
    pub is_exact: bool,
    /// The blocks behind it.
    pub blocks: usize,
    /// The spread of a block, on logs, as [`crate::stats::mad_s`] sees it.
    pub s: Option<f64>,
}

impl Seen {
    /// What a row shows of itself, or of its ratio.
    pub(crate) fn of(row: &Row, of: TargetOf) -> Option<Seen> {
        let (value, low, high) = match of {
            TargetOf::Value => (row.value, row.ci_low, row.ci_high),
            TargetOf::Ratio => (row.ratio, row.ratio_ci_low, row.ratio_ci_high),
        };
        Some(Seen {
            value: value?,
            interval: low.zip(high).map(|(low, high)| Interval { low, high }),
            is_exact: row.rounds.is_empty(),
            blocks: row.rounds.iter().filter(|it| !it.b.is_empty()).count(),
            s: row.aa_s,
        })
    }

    /// An exact count.
    pub fn exact(value: f64) -> Seen {
        Seen {
            value,
            interval: Some(Interval {
                low: value,
                high: value,
            }),
            is_exact: true,
            blocks: 0,
            s: None,
        }
    }
}

/// How a target is met by what was seen, and why it is not known if it is not.
///
/// Met if the whole interval satisfies the bound, missed if none of it does, undecided otherwise.
/// `seen` is none where the figure could not be measured; `has_control` matters to ratios alone.
pub fn judge_target(
    target: &Target,
    seen: Option<Seen>,
    has_control: bool,
    rules: &Rules,
) -> (TargetVerdict, Option<String>) {
    if target.of == TargetOf::Ratio && !has_control {
        let why = "the bar is a ratio and its control is missing: it is not passed";
        return (TargetVerdict::NoControl, Some(why.to_owned()));
    }
    let Some(seen) = seen else {
        let why = format!("`{}` was not measured in this run", target.metric);
        return (TargetVerdict::Undecided, Some(why));
    };
    let Some(interval) = seen.interval else {
        return (TargetVerdict::Undecided, Some(too_few(seen.blocks, rules)));
    };
    match satisfies(target.at_least, interval, target.bound) {
        Some(_) if is_too_fine(&seen, target.bound, rules.finest) => {
            too_fine(&seen, target.bound, rules)
        }
        Some(true) => (TargetVerdict::Met, None),
        Some(false) => match (missed(target, interval), target.critical_bound) {
            (TargetVerdict::Critical, Some(bound)) if is_too_fine(&seen, bound, rules.finest) => {
                too_fine(&seen, bound, rules)
            }
            (verdict, _) => (verdict, None),
        },
        None => (
            TargetVerdict::Undecided,
            Some(undecided(target, &seen, interval)),
        ),
    }
}

/// Whether all of an interval satisfies the bound, or none of it; none if a part does.
pub(super) fn satisfies(at_least: bool, interval: Interval, bound: f64) -> Option<bool> {
    let (all, nothing) = if at_least {
        (interval.low >= bound, interval.high < bound)
    } else {
        (interval.high <= bound, interval.low > bound)
    };
    match (all, nothing) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// Whether what was seen is nearer to a bound than can be judged.
pub(super) fn is_too_fine(seen: &Seen, bound: f64, finest: f64) -> bool {
    let distance = (seen.value / bound).ln().abs();
    !seen.is_exact && finest > 0.0 && distance < finest.ln_1p()
}

fn too_fine(seen: &Seen, bound: f64, rules: &Rules) -> (TargetVerdict, Option<String>) {
    let why = format!(
        "{} is less than {} from the bound {}, and a quick run claims nothing finer: leave out \
         `--quick`",
        figure(seen.value),
        share(rules.finest),
        figure(bound)
    );
    (TargetVerdict::Undecided, Some(why))
}

fn missed(target: &Target, interval: Interval) -> TargetVerdict {
    let is_beyond = match target.critical_bound {
        Some(bound) => satisfies(target.at_least, interval, bound) == Some(false),
        None => true,
    };
    if target.is_critical && is_beyond {
        TargetVerdict::Critical
    } else {
        TargetVerdict::Missed
    }
}

fn undecided(target: &Target, seen: &Seen, interval: Interval) -> String {
    let between = format!(
        "the bound {} lies within the interval from {} to {}",
        figure(target.bound),
        figure(interval.low),
        figure(interval.high)
    );
    let distance = (seen.value / target.bound).ln();
    match seen.s.map(|s| blocks_to_see(distance, s)) {
        Some(Some(n)) if n > seen.blocks => {
            format!("{between}: it needs about {} more blocks", n - seen.blocks)
        }
        Some(None) => format!(
            "{between}, {} away: no affordable number of blocks would decide it",
            percent(distance)
        ),
        _ => format!("{between}: longer slices or more blocks would decide it"),
    }
}

fn share(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// A figure with as many digits as a sentence needs.
pub(crate) fn figure(value: f64) -> String {
    if value == 0.0 || value.abs() >= 1_000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(low: f64, value: f64, high: f64) -> Option<Seen> {
        Some(Seen {
            value,
            interval: Some(Interval { low, high }),
            is_exact: false,
            blocks: 12,
            s: Some(0.03),
        })
    }

    #[test]
    fn the_whole_interval_decides() {
        let at_most = Target::ratio_at_most(1.05);
        let table = Target::value_at_most("latency_p95", 5_000.0).critical_beyond(10_000.0);
        let at_least = Target::value_at_least("hit_ratio", 0.9).critical();
        use TargetVerdict::{Critical, Met, Missed, Undecided};
        for (target, seen, expect) in [
            (&at_most, seen(1.00, 1.02, 1.05), Met),
            (&at_most, seen(1.00, 1.04, 1.06), Undecided),
            (&at_most, seen(1.06, 1.08, 1.10), Missed),
            (&table, seen(4_000.0, 4_500.0, 5_000.0), Met),
            (&table, seen(4_000.0, 4_500.0, 5_001.0), Undecided),
            (&table, seen(6_000.0, 7_000.0, 9_000.0), Missed),
            (&table, seen(6_000.0, 7_000.0, 11_000.0), Missed),
            (&table, seen(10_001.0, 11_000.0, 12_000.0), Critical),
            (&at_least, seen(0.92, 0.95, 0.97), Met),
            (&at_least, seen(0.85, 0.95, 0.97), Undecided),
            (&at_least, seen(0.80, 0.82, 0.85), Critical),
            (&at_most, None, Undecided),
        ] {
            let (verdict, why) = judge_target(target, seen, true, &Rules::full());
            assert_eq!(verdict, expect, "{target:?} {seen:?}");
            assert_eq!(why.is_some(), verdict == Undecided, "{why:?}");
        }
    }

    #[test]
    fn a_ratio_without_a_control_is_never_a_pass() {
        let ratio = Target::ratio_at_most(1.05);
        let value = Target::value_at_most("cpu_per_op", 1.05);
        let seen = seen(0.1, 0.2, 0.3);
        let judge = |it| judge_target(it, seen, false, &Rules::full()).0;
        assert_eq!(judge(&ratio), TargetVerdict::NoControl);
        assert_eq!(judge(&value), TargetVerdict::Met);
    }

    #[test]
    fn too_few_blocks_are_undecided_with_the_way_out() {
        let few = Seen {
            interval: None,
            blocks: 7,
            ..seen(0.1, 0.2, 0.3).expect("it is there")
        };
        let target = Target::ratio_at_most(1.05);
        let (verdict, why) = judge_target(&target, Some(few), true, &Rules::full());
        assert_eq!(verdict, TargetVerdict::Undecided);
        assert!(why.is_some_and(|it| it.contains("--blocks 12")));
    }

    #[test]
    fn an_undecided_target_says_how_many_blocks_it_needs() {
        let target = Target::ratio_at_most(1.05);
        let (_, why) = judge_target(&target, seen(1.00, 1.02, 1.06), true, &Rules::full());
        // 14.9 (1.6 × 0.03 / ln(1.05 / 1.02))² = 41.
        assert!(
            why.as_ref().is_some_and(|it| it.contains("29 more blocks")),
            "{why:?}"
        );
    }

    #[test]
    fn a_quick_run_claims_nothing_finer_than_fifteen_percent() {
        let target = Target::ratio_at_most(1.05);
        let judge = |seen| judge_target(&target, seen, true, &Rules::quick()).0;
        assert_eq!(judge(seen(0.97, 0.98, 0.99)), TargetVerdict::Undecided);
        assert_eq!(judge(seen(0.80, 0.85, 0.90)), TargetVerdict::Met);
        assert_eq!(judge(seen(1.10, 1.15, 1.20)), TargetVerdict::Undecided);
        assert_eq!(judge(seen(1.30, 1.40, 1.50)), TargetVerdict::Missed);
        assert_eq!(judge(Some(Seen::exact(1.04))), TargetVerdict::Met);
        let table = Target::value_at_most("latency_p95", 5_000.0).critical_beyond(10_000.0);
        let judge = |seen| judge_target(&table, seen, true, &Rules::quick()).0;
        let near = judge(seen(10_100.0, 10_500.0, 11_000.0));
        assert_eq!(near, TargetVerdict::Undecided);
        let beyond = judge(seen(11_000.0, 12_000.0, 13_000.0));
        assert_eq!(beyond, TargetVerdict::Critical);
        let below = judge(seen(9_000.0, 9_500.0, 9_900.0));
        assert_eq!(
            below,
            TargetVerdict::Missed,
            "of the narrower bound, that is sure"
        );
    }
}
