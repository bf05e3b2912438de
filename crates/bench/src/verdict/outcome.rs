//! What a whole run comes to.

use std::collections::BTreeMap;

use super::{
    Rules, Seen, gates,
    target::{is_too_fine, satisfies},
};
use crate::{
    Role,
    report::{Baseline, BaselineMode, Row, RowTarget, TargetVerdict, Verdict},
    stats::holm,
};

/// What a run comes to, the worst first in precedence: invalid, failed, undecided, fine.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// Nothing regressed, no critical target is missed.
    Fine,
    /// A critical target or a comparison is undecided, or a target's control is missing.
    Undecided,
    /// Something regressed, or a critical target is missed.
    Failed,
    /// Something must not be read: errors, wrong answers; or nothing was measured.
    Invalid,
}

impl Outcome {
    /// What the rows of a run come to. A run without rows is invalid.
    pub fn of(rows: &[Row]) -> Outcome {
        let worst = rows.iter().map(of_row).max();
        worst.unwrap_or(Outcome::Invalid)
    }

    /// The exit code: 0 fine, 1 failed, 2 invalid, 3 undecided.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Fine => 0,
            Outcome::Failed => 1,
            Outcome::Invalid => 2,
            Outcome::Undecided => 3,
        }
    }
}

fn of_row(row: &Row) -> Outcome {
    // An outside program that is missing or fails says nothing about ours, whose own faults show
    // in its other rows.
    let is_peer = row.control.as_ref().is_some_and(|it| it.role == Role::Peer);
    if is_peer && row.target.is_none() {
        return Outcome::Fine;
    }
    let critical = row.target.as_ref().filter(|it| it.critical);
    if row.verdict == Verdict::Invalid {
        Outcome::Invalid
    } else if row.verdict == Verdict::Regressed
        || critical.is_some_and(|it| it.verdict == TargetVerdict::Critical)
    {
        Outcome::Failed
    } else if critical.is_some_and(|it| is_critical_open(row, it))
        || is_without_control(row)
        || is_comparison_open(row)
    {
        Outcome::Undecided
    } else {
        Outcome::Fine
    }
}

/// Whether nothing is there that its target could be held against: that is never a pass, however
/// little depends on the target.
fn is_without_control(row: &Row) -> bool {
    let target = row.target.as_ref();
    target.is_some_and(|it| it.verdict == TargetVerdict::NoControl)
}

/// Whether it is unknown if the target is missed critically.
///
/// Where a looser bound makes a miss critical, it is that bound that must be decided; on which side
/// of the narrower one the figure lies is then no matter of the exit code.
fn is_critical_open(row: &Row, target: &RowTarget) -> bool {
    match (target.verdict, target.critical_value) {
        (TargetVerdict::Met | TargetVerdict::Critical, _) | (TargetVerdict::Missed, None) => false,
        (TargetVerdict::NoControl, _) | (TargetVerdict::Undecided, None) => true,
        (TargetVerdict::Missed | TargetVerdict::Undecided, Some(bound)) => {
            let Some(seen) = Seen::of(row, target.of) else {
                return true;
            };
            let at_least = target.op == ">=";
            let said = seen.interval.and_then(|it| satisfies(at_least, it, bound));
            said != Some(true) || is_too_fine(&seen, bound, target.finest)
        }
    }
}

/// Whether two revisions were to be compared and it is unknown how they do. The word of a row that
/// does not gate is about its target alone.
fn is_comparison_open(row: &Row) -> bool {
    let is_unknown = row.verdict == Verdict::Inconclusive && row.baseline.is_some();
    row.not_compared.is_some() || (gates(&row.metric) && is_unknown)
}

type Case = (String, String, BTreeMap<String, String>);

fn case(row: &Row) -> Case {
    (row.component.clone(), row.case.clone(), row.variant.clone())
}

/// The p of a row that gates and had a second look, or was compared with a stored run.
fn asked_p(row: &Row) -> Option<f64> {
    let is_asked = |it: &&Baseline| it.stage == 2 || it.mode == BaselineMode::Stored;
    let baseline = row.baseline.as_ref().filter(is_asked)?;
    gates(&row.metric).then_some(baseline.p)
}

/// Takes back changes that do not hold once it is counted how many cases were asked: Holm's rule
/// over the cases that had a second look or were compared with a stored run. What does not gate was
/// not asked, and a further target of a case asks nothing new.
///
/// To be called once with all rows of a run.
pub fn settle(rows: &mut [Row], rules: &Rules) {
    let asked: BTreeMap<Case, f64> = rows
        .iter()
        .filter_map(|row| Some((case(row), asked_p(row)?)))
        .collect();
    let raised = holm(&asked.values().copied().collect::<Vec<f64>>());
    let raised: BTreeMap<&Case, f64> = asked.keys().zip(raised).collect();
    for row in rows {
        let Some((p, raised)) = asked_p(row).zip(raised.get(&case(row))) else {
            continue;
        };
        let is_change = matches!(row.verdict, Verdict::Regressed | Verdict::Improved);
        if is_change && *raised > 1.0 - rules.confidence {
            row.verdict = Verdict::Inconclusive;
            let why = format!(
                "p is {p:.4}, which may be chance where {} cases are compared: measure it again \
                 with `--case`",
                asked.len()
            );
            if !row.reasons.contains(&why) {
                row.reasons.push(why);
            }
        }
    }
}

#[cfg(test)]
mod tests;
