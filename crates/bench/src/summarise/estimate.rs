//! What a row says of its rounds.

use super::{role_of, rounds};
use crate::{
    Role, Target,
    report::{Baseline, BaselineMode, Round, Row, RowTarget, TargetVerdict, Verdict},
    stats::{Estimate, Interval, blocks_to_see, detectable, estimate, mad_s},
    verdict::{
        Noise, Regression, Rules, Seen, compare_revisions, gates, judge_target, percent, too_few,
        word,
    },
};

/// Computes all that a row says of its rounds again, and its verdicts from that. A row without
/// rounds or without a value, and one that is invalid, stays as it is.
///
/// What came from the merged histograms stays, since only the merged ones are stored, and so do a
/// comparison with a stored run and reasons that no round tells.
pub fn estimate_again(row: &mut Row, rules: &Rules) {
    if row.rounds.is_empty() || row.value.is_none() || row.verdict == Verdict::Invalid {
        return;
    }
    let stored = row.clone();
    row.reasons.clear();
    fill(row, rules);
    if row.metric.starts_with("latency_") {
        (row.value, row.ci_low, row.ci_high) = (stored.value, stored.ci_low, stored.ci_high);
        row.control = stored.control;
    }
    judge(row, rules);
    for reason in stored.reasons {
        if !row.reasons.contains(&reason) {
            row.reasons.push(reason);
        }
    }
}

/// Estimates of the control against itself, of the value and of the ratio.
pub(super) fn fill(row: &mut Row, rules: &Rules) {
    let is_pooled = fill_noise(row, rules);
    let own: Vec<f64> = row
        .rounds
        .iter()
        .filter_map(|it| rounds::log(&it.b))
        .collect();
    row.confidence = rules.confidence;
    let has_figures = row.rounds.iter().filter(|it| !it.b.is_empty()).count();
    // Leaving out the blocks that have no log would leave out what is least.
    if let Some(seen) = estimate(&own, rules.confidence).filter(|_| own.len() == has_figures) {
        row.value = Some(seen.middle.exp());
        row.ci_low = seen.interval.map(|it| it.low.exp());
        row.ci_high = seen.interval.map(|it| it.high.exp());
    } else {
        fill_plainly(row, rules);
    }
    let control: Vec<f64> = row
        .rounds
        .iter()
        .filter_map(|it| rounds::control_log(it, is_pooled))
        .collect();
    if let Some(side) = &mut row.control {
        side.value = estimate(&control, rules.confidence).map(|it| it.middle.exp());
    }
    let differences = rounds::against_control(&row.rounds, is_pooled);
    let seen = estimate(&differences, rules.confidence);
    row.ratio = seen.map(|it| it.middle.exp());
    let interval = seen.and_then(|it| it.interval);
    row.ratio_ci_low = interval.map(|it| it.low.exp());
    row.ratio_ci_high = interval.map(|it| it.high.exp());
    row.mde = least_seen(row, &differences);
}

/// For figures that may be zero, and so have no logs.
fn fill_plainly(row: &mut Row, rules: &Rules) {
    let means: Vec<f64> = row
        .rounds
        .iter()
        .filter_map(|it| crate::stats::mean(&it.b))
        .filter(|it| it.is_finite())
        .collect();
    let seen = estimate(&means, rules.confidence);
    row.value = seen.map(|it| it.middle);
    row.ci_low = seen.and_then(|it| it.interval).map(|it| it.low);
    row.ci_high = seen.and_then(|it| it.interval).map(|it| it.high);
}

/// Fills in the control's noise. Whether its two arms agree, and may be taken for one.
fn fill_noise(row: &mut Row, rules: &Rules) -> bool {
    let itself = rounds::against_itself(&row.rounds);
    let Some(seen) = estimate(&itself, rules.confidence) else {
        return false;
    };
    row.aa_s = mad_s(&itself);
    row.aa_floor = seen.interval.map(|it| floor(&seen, it));
    let do_agree = rounds::do_arms_agree(&row.rounds, rules.confidence);
    if seen.interval.is_some() && !do_agree {
        row.reasons.push(format!(
            "the control differs from itself by {}: nothing up to that can be told apart; run it \
             again with more blocks, or on a quieter machine",
            percent(seen.middle)
        ));
    }
    do_agree
}

/// Half of the interval's width; where the two arms disagree, at least what they differ by.
fn floor(seen: &Estimate, interval: Interval) -> f64 {
    let half = (interval.high - interval.low) / 2.0;
    half.max(seen.middle.abs()).exp_m1()
}

fn noise(row: &Row) -> Noise {
    Noise {
        s: row.aa_s,
        floor: row.aa_floor.map(f64::ln_1p),
    }
}

fn least_seen(row: &Row, differences: &[f64]) -> Option<f64> {
    let s = if differences.len() < 2 {
        row.aa_s?
    } else {
        crate::verdict::spread(differences, noise(row))
    };
    let n = if differences.is_empty() {
        row.rounds.len()
    } else {
        differences.len()
    };
    Some(detectable(s, n).exp_m1()).filter(|it| it.is_finite())
}

/// The verdicts on the row's target and on the earlier revision, and why.
pub(super) fn judge(row: &mut Row, rules: &Rules) {
    let mut target = row.target.take();
    if let Some(target) = &mut target {
        let (verdict, why) = judge_row_target(row, target, rules);
        target.verdict = verdict;
        target.finest = rules.finest;
        // A figure that is missing has said why.
        let is_said = row.value.is_none() && !row.reasons.is_empty();
        row.reasons.extend(why.filter(|_| !is_said));
    }
    row.role = role_of(target.as_ref().map(|it| it.critical));
    row.target = target;
    let compared = compare(row, rules);
    let stored = row
        .baseline
        .as_ref()
        .filter(|it| it.mode == BaselineMode::Stored);
    if let (Some(_), None) = (stored, &compared) {
        return;
    }
    row.verdict = word(row.target.as_ref().map(|it| it.verdict), compared);
    if row.value.is_none() && row.verdict == Verdict::Measured {
        row.verdict = Verdict::Inconclusive;
    }
    // A row whose control lacks only this figure has no control to begin with.
    let is_missing = row.control.as_ref().is_some_and(|it| it.value.is_none());
    if is_missing && row.verdict == Verdict::Measured {
        row.verdict = Verdict::NoControl;
    }
    explain(row, rules);
}

fn judge_row_target(
    row: &Row,
    target: &RowTarget,
    rules: &Rules,
) -> (TargetVerdict, Option<String>) {
    let has_control = row
        .control
        .as_ref()
        .is_some_and(|it| it.role == Role::Control && it.value.is_some());
    let seen = Seen::of(row, target.of);
    judge_target(&as_target(&row.metric, target), seen, has_control, rules)
}

/// The target of a case, from that of a row.
fn as_target(metric: &str, target: &RowTarget) -> Target {
    Target {
        metric: metric.to_owned(),
        of: target.of,
        at_least: target.op == ">=",
        bound: target.value,
        critical_bound: target.critical_value,
        is_critical: target.critical,
    }
}

/// Compares with an earlier revision in the same blocks; only CPU time gates.
fn compare(row: &mut Row, rules: &Rules) -> Option<Verdict> {
    let has_earlier = |it: &Round| !it.earlier.is_empty();
    let gates = gates(&row.metric);
    if !row.rounds.iter().any(has_earlier) {
        let why = row.not_compared.clone().filter(|_| gates)?;
        row.reasons.push(why);
        return Some(Verdict::Inconclusive);
    }
    row.not_compared = None;
    let first = rounds::against_earlier(&row.rounds, 1);
    let second = rounds::against_earlier(&row.rounds, 2);
    let Some(said) = compare_revisions(&first, &second, noise(row), row.better, rules) else {
        let why = "the two revisions have no block in common: measure again";
        row.reasons.push(why.to_owned());
        row.not_compared = gates.then(|| why.to_owned());
        return gates.then_some(Verdict::Inconclusive);
    };
    let Regression {
        ratio,
        interval,
        p,
        stage,
        ..
    } = said;
    row.baseline = Some(Baseline {
        id: None,
        mode: BaselineMode::Interleaved,
        ratio,
        ci_low: interval.low,
        ci_high: interval.high,
        p,
        stage,
    });
    if gates {
        row.reasons.extend(said.reason);
    }
    gates.then_some(said.verdict)
}

/// What the reader should know beside the verdict.
fn explain(row: &mut Row, rules: &Rules) {
    let n = row.rounds.iter().filter(|it| !it.b.is_empty()).count();
    if row.value.is_some()
        && row.ci_low.is_none()
        && !row.reasons.iter().any(|it| it.contains("give no interval"))
    {
        row.reasons.push(too_few(n, rules));
    }
    let is_main = row.metric == "cpu_per_op" && row.ratio.is_some();
    if let Some(mde) = row.mde.filter(|mde| is_main && *mde > rules.effect) {
        let s = mde.ln_1p() * (n as f64).sqrt() / detectable(1.0, 1);
        let more = blocks_to_see(rules.effect.ln_1p(), s).filter(|it| *it > n);
        row.reasons.push(format!(
            "only differences of {} are sure to be seen at this noise: {}",
            percent(mde.ln_1p()),
            match more {
                Some(all) => format!(
                    "{:.0} % needs {} more blocks",
                    100.0 * rules.effect,
                    all - n
                ),
                None => "lengthen the slices, or find a quieter machine".to_owned(),
            }
        ));
    }
    if is_main {
        row.reasons.extend(disturbed(row, rules));
    }
}

/// How the ratio is without the disturbed blocks, which are never left out.
fn disturbed(row: &Row, rules: &Rules) -> Option<String> {
    let (calm, flagged): (Vec<&Round>, Vec<&Round>) =
        row.rounds.iter().partition(|it| it.flags.is_empty());
    let flag = flagged.first()?.flags.first()?;
    // As the ratio itself is computed.
    let is_pooled = rounds::do_arms_agree(&row.rounds, rules.confidence);
    let without = estimate(
        &rounds::against_control(calm.iter().copied(), is_pooled),
        rules.confidence,
    );
    let without = without.map_or_else(String::new, |it| {
        format!("; without them the ratio is {:.3}", it.middle.exp())
    });
    Some(format!(
        "{} of {} blocks were disturbed (`{flag}`){without}",
        flagged.len(),
        row.rounds.len()
    ))
}
