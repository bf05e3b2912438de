//! Two runs compared through their controls.

use super::{
    Refused,
    refusal::{main_rows, name, refusals, warnings},
};
use crate::{
    report::{Baseline, BaselineMode, Report, Round, Row, Verdict},
    stats::{Interval, Z, normal_quantile, rank_sum_p, shift},
    summarise::{against_control, do_arms_agree, is_informational},
    verdict::{Rules, compare_counts, direction, percent, too_few, word},
};

const UNCOUNTED: &str =
    "the stored run counted this, and this run did not: whether it changed is not known";

/// Compares `now` with the stored run `then`, and fills in what that says of the rows that gate:
/// CPU time, through the controls of both runs, and exact counts. Returns what the reader should
/// know besides.
///
/// To be followed by [`crate::verdict::settle`].
///
/// # Errors
///
/// All the reasons why the two cannot be compared. Nothing is changed then.
pub fn compare_with(
    now: &mut Report,
    then: &Report,
    rules: &Rules,
) -> Result<Vec<String>, Refused> {
    let reasons = refusals(now, then, rules);
    if !reasons.is_empty() {
        return Err(Refused(reasons));
    }
    let warnings = warnings(now, then);
    let main: Vec<String> = main_rows(now).map(name).collect();
    let mut is_met = vec![false; main.len()];
    for row in &mut now.results {
        if row.verdict == Verdict::Invalid {
            continue;
        }
        let case = name(row);
        if row.metric == "cpu_per_op" {
            // Only the first row of a case is held against the stored one.
            let Some(at) = main.iter().position(|it| *it == case) else {
                continue;
            };
            if !std::mem::replace(&mut is_met[at], true) {
                let stored = main_rows(then).find(|it| name(it) == case);
                compare_times(row, stored, then.id, rules);
            }
        } else if row.rounds.is_empty() {
            let is_same = |it: &&Row| name(it) == case && it.metric == row.metric;
            if let Some(stored) = then.results.iter().find(is_same) {
                compare_exactly(row, stored, then.id);
            }
        }
    }
    add_uncounted(&mut now.results, then);
    Ok(warnings)
}

/// Adds a row for each count that the stored run has of a case, and this run lacks: that it did not
/// change is not known.
fn add_uncounted(rows: &mut Vec<Row>, then: &Report) {
    for stored in then.results.iter().filter(|it| is_counted(it)) {
        let case = name(stored);
        let is_of_it = |it: &Row| name(it) == case;
        let is_told = |it: &Row| {
            is_of_it(it) && (it.metric == stored.metric || it.verdict == Verdict::Invalid)
        };
        let Some(last) = rows.iter().rposition(is_of_it) else {
            continue;
        };
        if !rows.iter().any(is_told) {
            rows.insert(last + 1, uncounted(stored));
        }
    }
}

/// Whether a row is of something that was counted exactly, and is judged by that.
fn is_counted(row: &Row) -> bool {
    row.rounds.is_empty() && row.value.is_some() && !is_informational(&row.metric)
}

fn uncounted(stored: &Row) -> Row {
    let mut row = Row {
        value: None,
        ci_low: None,
        ci_high: None,
        control: None,
        ratio: None,
        ratio_ci_low: None,
        ratio_ci_high: None,
        baseline: None,
        target: None,
        reasons: Vec::new(),
        cpu: Default::default(),
        control_cpu: Default::default(),
        counts: Default::default(),
        ..stored.clone()
    };
    open(&mut row, UNCOUNTED.to_owned());
    row
}

fn compare_times(row: &mut Row, stored: Option<&Row>, id: uuid::Uuid, rules: &Rules) {
    let Some(stored) = stored else {
        open(
            row,
            "the stored run does not have this case: save a newer one".to_owned(),
        );
        return;
    };
    let agree = |row: &Row| do_arms_agree(&row.rounds, rules.confidence);
    let before = against_control(&stored.rounds, agree(stored));
    let blocks = decisive(&row.rounds);
    let after = against_control(blocks.iter().copied(), agree(row));
    let Some(seen) = shift(&before, &after, rules.confidence) else {
        open(
            row,
            "there is no control to compare the two runs through: use `--against`".to_owned(),
        );
        return;
    };
    let Some(inner) = seen.interval else {
        open(row, too_few(before.len().min(after.len()), rules));
        return;
    };
    let interval = widened(seen.middle, inner, rules);
    let (verdict, reason) = judge(
        row,
        seen.middle,
        interval,
        (before.len(), after.len()),
        rules,
    );
    row.baseline = Some(Baseline {
        id: Some(id),
        mode: BaselineMode::Stored,
        ratio: seen.middle.exp(),
        ci_low: interval.low.exp(),
        ci_high: interval.high.exp(),
        p: rank_sum_p(&before, &after),
        stage: if blocks.len() < row.rounds.len() {
            2
        } else {
            1
        },
    });
    row.reasons.extend(reason);
    said(row, verdict);
}

/// Notes that a comparison did not take place: the row is undecided.
fn open(row: &mut Row, why: String) {
    row.reasons.push(why.clone());
    row.not_compared = Some(why);
    said(row, Verdict::Inconclusive);
}

fn said(row: &mut Row, verdict: Verdict) {
    row.verdict = word(row.target.as_ref().map(|it| it.verdict), Some(verdict));
}

/// The blocks of the second look, where there was one.
fn decisive(rounds: &[Round]) -> Vec<&Round> {
    let second: Vec<&Round> = rounds.iter().filter(|it| it.stage >= 2).collect();
    if second.is_empty() {
        rounds.iter().collect()
    } else {
        second
    }
}

/// The interval with room for what differs between two runs: both variances add up.
fn widened(middle: f64, inner: Interval, rules: &Rules) -> Interval {
    let room = normal_quantile(f64::midpoint(rules.confidence, 1.0)) * rules.between_runs;
    Interval {
        low: middle - (middle - inner.low).hypot(room),
        high: middle + (inner.high - middle).hypot(room),
    }
}

fn judge(
    row: &Row,
    middle: f64,
    interval: Interval,
    blocks: (usize, usize),
    rules: &Rules,
) -> (Verdict, Option<String>) {
    let floor = row.aa_floor.unwrap_or(0.0).max(rules.least);
    let is_clear = interval.low > 0.0 || interval.high < 0.0;
    if is_clear && middle.abs() > floor.ln_1p() {
        return (direction(middle, row.better), None);
    }
    // The spread that `mde` of the row came from, seen through two samples instead of one.
    let one = row.mde.unwrap_or(f64::INFINITY).ln_1p();
    let (m, n) = (blocks.0 as f64, blocks.1 as f64);
    let inner = one * ((m + n) / m).sqrt();
    let between = Z * rules.between_runs;
    let least_seen = inner.hypot(between);
    let effect = rules.stored_effect.ln_1p();
    let is_ruled_out = interval.low.abs().max(interval.high.abs()) < effect;
    if least_seen <= effect && is_ruled_out {
        return (Verdict::Same, None);
    }
    let why = format!(
        "against a stored run only differences of {} are sure to be seen: `--against` measures \
         both revisions in the same blocks and sees finer ones",
        percent(least_seen)
    );
    (Verdict::Inconclusive, Some(why))
}

fn compare_exactly(row: &mut Row, stored: &Row, id: uuid::Uuid) {
    if row.value.is_none() && is_counted(stored) {
        open(row, UNCOUNTED.to_owned());
    }
    let Some((before, after)) = stored.value.zip(row.value) else {
        return;
    };
    let verdict = compare_counts(before, after, &row.unit, row.better);
    let ratio = if before > 0.0 {
        after / before
    } else {
        1.0 + after
    };
    row.baseline = Some(Baseline {
        id: Some(id),
        mode: BaselineMode::Stored,
        ratio,
        ci_low: ratio,
        ci_high: ratio,
        p: if verdict == Verdict::Same { 1.0 } else { 0.0 },
        stage: 1,
    });
    if !is_informational(&row.metric) {
        said(row, verdict);
    }
}
