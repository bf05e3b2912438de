//! From raw slices to rows.
//!
//! `cpu_per_op` has a row for each control and peer, the first control's first; all other metrics
//! have one, held against the first control. What a row says of its blocks is computed from its own
//! rounds, so that a stored report can be computed again.

mod draft;
mod estimate;
mod exact;
mod metric;
mod noise;
mod reading;
mod rounds;

use crate::{
    Measured, Role,
    report::{Row, RowRole, Verdict},
    stats::mad_s,
    verdict::{self, Noise, Rules},
};

use self::{draft::Draft, reading::Reading};

pub use self::{estimate::estimate_again, noise::noise};
pub(crate) use self::{
    metric::is_informational,
    rounds::{against_control, do_arms_agree},
};

/// The rows of one case.
///
/// Where there is an earlier revision among the sides, the rows that gate carry the comparison with
/// it. Call [`crate::verdict::settle`] with the rows of all cases afterwards.
pub fn summarise(measured: &Measured, rules: &Rules) -> Vec<Row> {
    let reading = Reading::new(measured);
    let draft = Draft::new(measured, &reading, rules);
    if let Some(why) = &draft.subject_is_missing() {
        return vec![draft.without_subject(why)];
    }
    let controls: Vec<usize> = sides_as(measured, &[Role::Control]);
    let first = controls.first().copied();
    let mut rows = draft.rows("cpu_per_op", first, true);
    for control in controls.iter().skip(1) {
        rows.extend(draft.rows("cpu_per_op", Some(*control), false));
    }
    for peer in sides_as(measured, &[Role::Peer]) {
        rows.extend(draft.rows("cpu_per_op", Some(peer), false));
    }
    for metric in draft.further_metrics() {
        rows.extend(draft.rows(&metric, first, true));
    }
    rows.extend(exact::rows(&draft, first));
    rows.extend(draft.unmeasured_targets(&rows, first));
    rows
}

/// How many fresh blocks a second look at the case needs. None where the first look says that
/// nothing changed since the earlier revision, or more would not help, or there is none to compare
/// with, or it was done.
pub fn second_look(measured: &Measured, rules: &Rules) -> Option<usize> {
    let earlier = *sides_as(measured, &[Role::Baseline]).first()?;
    if measured.blocks.iter().any(|it| it.stage >= 2) {
        return None;
    }
    let reading = Reading::new(measured);
    let control = sides_as(measured, &[Role::Control]).first().copied();
    let rounds = rounds::of(&reading, "cpu_per_op", control, Some(earlier));
    let noise = Noise {
        s: mad_s(&rounds::against_itself(&rounds)),
        floor: None,
    };
    verdict::second_look(&rounds::against_earlier(&rounds, 1), noise, rules)
}

fn sides_as(measured: &Measured, roles: &[Role]) -> Vec<usize> {
    let sides = measured.sides.iter().enumerate();
    sides
        .filter(|(_, it)| roles.contains(&it.role))
        .map(|(i, _)| i)
        .collect()
}

/// Whether a row shows something that must not be read.
fn invalidate(row: &mut Row, faults: Vec<String>) {
    if !faults.is_empty() {
        row.verdict = Verdict::Invalid;
        row.reasons.splice(0..0, faults);
    }
}

fn role_of(is_critical: Option<bool>) -> RowRole {
    match is_critical {
        Some(true) => RowRole::Critical,
        Some(false) => RowRole::Goal,
        None => RowRole::Info,
    }
}

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
