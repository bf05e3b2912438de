//! Whether a revision differs from another one: two looks, the second with fresh blocks.
//!
//! A first look at sixty unchanged cases finds a few that seem changed. These are measured again,
//! and so are those of which it cannot be said; and only the second look counts: what chance brought
//! up once, it does not bring up twice.

use super::{Rules, percent, too_few};
use crate::{
    report::{Better, Verdict},
    stats::{Estimate, Interval, blocks_to_see, detectable, estimate, mad_s, signed_rank_p},
};

/// How much a control differs from itself in the same blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// The spread of a block.
    pub s: Option<f64>,
    /// No difference up to this one, on logs, is called a change.
    pub floor: Option<f64>,
}

/// What is said of two revisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// [`Verdict::Improved`], [`Verdict::Same`], [`Verdict::Regressed`] or
    /// [`Verdict::Inconclusive`].
    pub verdict: Verdict,
    /// The later one over the earlier one.
    pub ratio: f64,
    /// Its interval; the widest that the blocks can give where they are too few for the confidence.
    pub interval: Interval,
    /// The probability of such a difference, or a greater one, without a change.
    pub p: f64,
    /// Which look decided.
    pub stage: u8,
    /// Why, where it is not plain.
    pub reason: Option<String>,
}

/// Above this spread of a block, on logs, a second look takes more of them.
const NOISY: f64 = 0.05;

/// How many fresh blocks a second look takes after a first one, whose blocks are ln(later /
/// earlier) each. None where the first look says that nothing changed, or is so noisy that more
/// blocks would not decide it.
pub(crate) fn second_look(first: &[f64], noise: Noise, rules: &Rules) -> Option<usize> {
    let s = spread(first, noise);
    let blocks = if s > NOISY {
        rules.second_blocks_if_noisy
    } else {
        rules.second_blocks
    };
    let is_open = || {
        let seen = compare_revisions(first, &[], noise, Better::Lower, rules);
        let has_interval =
            estimate(first, rules.confidence).is_some_and(|it| it.interval.is_some());
        has_interval && seen.is_some_and(|it| it.verdict == Verdict::Inconclusive)
    };
    let decides = detectable(s, blocks) <= rules.effect.ln_1p();
    (is_candidate(first, rules) || (decides && is_open())).then_some(blocks)
}

/// Whether the screening interval of a first look excludes zero and the difference matters.
fn is_candidate(differences: &[f64], rules: &Rules) -> bool {
    estimate(differences, rules.screen_confidence).is_some_and(|seen| {
        seen.interval.is_some_and(|it| !contains_zero(it))
            && seen.middle.abs() > rules.screen.ln_1p()
    })
}

/// Compares two revisions by their blocks, ln(later / earlier) each, of the `first` look and of
/// the `second`, which is empty where there was none. None without blocks.
pub fn compare_revisions(
    first: &[f64],
    second: &[f64],
    noise: Noise,
    better: Better,
    rules: &Rules,
) -> Option<Regression> {
    let (blocks, stage) = if second.is_empty() {
        (first, 1)
    } else {
        (second, 2)
    };
    let seen = estimate(blocks, rules.confidence)?;
    let (verdict, reason) = match seen.interval {
        None => (Verdict::Inconclusive, Some(too_few(blocks.len(), rules))),
        Some(_) if stage == 1 && is_candidate(first, rules) => (
            Verdict::Inconclusive,
            Some(format!(
                "the first look shows a difference of {}, which no second one confirmed: \
                 measure it again",
                percent(seen.middle)
            )),
        ),
        Some(interval) if stage == 2 && is_change(&seen, interval, noise, rules) => {
            (direction(seen.middle, better), None)
        }
        Some(interval) => same_or_unknown(interval, blocks, noise, rules),
    };
    let interval = seen.interval.unwrap_or(seen.widest);
    Some(Regression {
        verdict,
        ratio: seen.middle.exp(),
        interval: Interval {
            low: interval.low.exp(),
            high: interval.high.exp(),
        },
        p: signed_rank_p(blocks),
        stage,
        reason,
    })
}

fn is_change(seen: &Estimate, interval: Interval, noise: Noise, rules: &Rules) -> bool {
    let least = rules.least.ln_1p().max(noise.floor.unwrap_or(0.0));
    !contains_zero(interval) && seen.middle.abs() > least
}

/// Worse or better, where a positive difference is a greater figure.
pub(crate) fn direction(difference: f64, better: Better) -> Verdict {
    if (difference > 0.0) == (better == Better::Lower) {
        Verdict::Regressed
    } else {
        Verdict::Improved
    }
}

/// `same` only where a difference that matters would have been seen, and is ruled out.
fn same_or_unknown(
    interval: Interval,
    blocks: &[f64],
    noise: Noise,
    rules: &Rules,
) -> (Verdict, Option<String>) {
    let effect = rules.effect.ln_1p();
    let s = spread(blocks, noise);
    let least_seen = detectable(s, blocks.len());
    let widest = interval.low.abs().max(interval.high.abs());
    if least_seen <= effect && widest < effect {
        return (Verdict::Same, None);
    }
    let wanted = format!("a difference of {:.0} %", 100.0 * rules.effect);
    let remedy = match blocks_to_see(effect, s) {
        Some(n) if n > blocks.len() => format!("it needs {} more blocks", n - blocks.len()),
        Some(_) => "measure it again".to_owned(),
        None => "lengthen the slices, or find a quieter machine".to_owned(),
    };
    let why = if least_seen <= effect {
        format!("{wanted} cannot be ruled out: {remedy}")
    } else {
        format!(
            "{wanted} cannot be seen at this noise, only one of {}: {remedy}",
            percent(least_seen)
        )
    };
    (Verdict::Inconclusive, Some(why))
}

/// The greater of the control's spread against itself and of that of the blocks themselves.
pub(crate) fn spread(blocks: &[f64], noise: Noise) -> f64 {
    let own = mad_s(blocks).unwrap_or(f64::INFINITY);
    own.max(noise.s.unwrap_or(0.0))
}

fn contains_zero(interval: Interval) -> bool {
    interval.low <= 0.0 && interval.high >= 0.0
}

/// Compares exact counts, which need no statistics: they differ by over 0.5 %, or, where things
/// are counted (`unit` is `count`), by one. One byte of thousands is no change.
pub fn compare_counts(earlier: f64, later: f64, unit: &str, better: Better) -> Verdict {
    let by_one = unit == "count";
    let is_more = |than: f64, it: f64| it > than * 1.005 + 1e-9 || (by_one && it >= than + 1.0);
    if is_more(earlier, later) {
        direction(1.0, better)
    } else if is_more(later, earlier) {
        direction(-1.0, better)
    } else {
        Verdict::Same
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
