//! Rows of what was counted exactly: bytes, statements, commands, allocations.

use super::{
    draft::{Draft, row_target},
    estimate, invalidate, is_informational,
};
use crate::{
    Target,
    report::{Baseline, BaselineMode, Better, Row, Verdict},
    verdict::{compare_counts, word},
};

/// A row for each count of the subject, held against the control where that has it, too.
pub(super) fn rows(draft: &Draft<'_>, control: Option<usize>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (metric, value) in &draft.measured.sides[0].counts {
        let targets: Vec<&Target> = draft
            .measured
            .targets
            .iter()
            .filter(|it| it.metric == *metric)
            .collect();
        if targets.is_empty() {
            rows.push(row(draft, metric, *value, control, None));
        }
        rows.extend(
            targets
                .into_iter()
                .map(|it| row(draft, metric, *value, control, Some(it))),
        );
    }
    rows
}

fn row(
    draft: &Draft<'_>,
    metric: &str,
    value: f64,
    control: Option<usize>,
    target: Option<&Target>,
) -> Row {
    let sides = &draft.measured.sides;
    let mut row = draft.blank(metric, control);
    let counted = |side: Option<usize>| sides.get(side?)?.counts.get(metric).copied();
    row.value = Some(value);
    (row.ci_low, row.ci_high) = (row.value, row.value);
    if let Some(side) = &mut row.control {
        side.value = counted(control);
        row.ratio = side.value.filter(|it| *it > 0.0).map(|it| value / it);
        (row.ratio_ci_low, row.ratio_ci_high) = (row.ratio, row.ratio);
    }
    row.control.take_if(|it| it.value.is_none());
    if let Some(target) = target {
        row.better = if target.at_least {
            Better::Higher
        } else {
            Better::Lower
        };
        row.target = Some(row_target(target));
    }
    estimate::judge(&mut row, draft.rules);
    if let Some(then) = counted(draft.earlier) {
        compare(&mut row, then, value);
    }
    invalidate(&mut row, draft.faults(control));
    row
}

fn compare(row: &mut Row, then: f64, now: f64) {
    let said = compare_counts(then, now, &row.unit, row.better);
    let ratio = if then > 0.0 { now / then } else { 1.0 + now };
    row.baseline = Some(Baseline {
        id: None,
        mode: BaselineMode::Interleaved,
        ratio,
        ci_low: ratio,
        ci_high: ratio,
        p: if said == Verdict::Same { 1.0 } else { 0.0 },
        stage: 1,
    });
    if is_informational(&row.metric) {
        return;
    }
    if said != Verdict::Same {
        row.reasons.push(format!(
            "the earlier revision has {}: a count needs no statistics",
            crate::verdict::figure(then)
        ));
    }
    row.verdict = word(row.target.as_ref().map(|it| it.verdict), Some(said));
}
