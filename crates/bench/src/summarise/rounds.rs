//! The rounds of a row, and the differences that they give.

use super::reading::{ReadBlock, Reading};
use crate::{
    ArmOf,
    report::Round,
    stats::{estimate, mean},
};

/// The figures of one metric, block by block: of the subject, of `control` and its second arm, and
/// of the `earlier` revision. Without a control, the second arm is the subject's own.
///
/// A block in which the subject has no figure has empty rounds, and stays in its place.
pub(super) fn of(
    reading: &Reading,
    metric: &str,
    control: Option<usize>,
    earlier: Option<usize>,
) -> Vec<Round> {
    reading
        .blocks
        .iter()
        .enumerate()
        .map(|(i, block)| {
            let figures = |arm: Option<ArmOf>| figures(block, metric, arm);
            Round {
                block: i + 1,
                stage: block.stage,
                order: order(block, control, earlier),
                a: figures(control.map(ArmOf::Side)),
                b: figures(Some(ArmOf::Side(0))),
                a2: figures(Some(ArmOf::Again(control.unwrap_or(0)))),
                earlier: figures(earlier.map(ArmOf::Side)),
                flags: flags(block),
            }
        })
        .collect()
}

fn figures(block: &ReadBlock, metric: &str, arm: Option<ArmOf>) -> Vec<f64> {
    block
        .slices
        .iter()
        .filter(|it| Some(it.arm) == arm)
        .filter_map(|it| it.figures.get(metric).copied())
        .collect()
}

/// `A B A2 A2 B A`, as this row sees it: R is the earlier revision, S3 the side at place 3.
fn order(block: &ReadBlock, control: Option<usize>, earlier: Option<usize>) -> String {
    let names: Vec<String> = block
        .slices
        .iter()
        .map(|it| match it.arm {
            ArmOf::Side(0) => "B".to_owned(),
            ArmOf::Again(0) => "B2".to_owned(),
            ArmOf::Side(side) if Some(side) == control => "A".to_owned(),
            ArmOf::Again(side) if Some(side) == control => "A2".to_owned(),
            ArmOf::Side(side) if Some(side) == earlier => "R".to_owned(),
            ArmOf::Again(side) if Some(side) == earlier => "R2".to_owned(),
            ArmOf::Side(side) => format!("S{side}"),
            ArmOf::Again(side) => format!("S{side}2"),
        })
        .collect();
    names.join(" ")
}

fn flags(block: &ReadBlock) -> Vec<String> {
    let mut flags: Vec<String> = block
        .slices
        .iter()
        .flat_map(|it| it.flags.iter().cloned())
        .collect();
    flags.sort();
    flags.dedup();
    flags
}

/// The mean of the logs: none of nothing, or where a figure has no log.
pub(super) fn log(figures: &[f64]) -> Option<f64> {
    if figures.iter().any(|it| !it.is_finite() || *it <= 0.0) {
        return None;
    }
    mean(&figures.iter().map(|it| it.ln()).collect::<Vec<f64>>())
}

/// ln(second arm / first arm) of the blocks that have both: the control against itself, or the
/// subject where the case has no control. A lost control's second arm is nobody's.
pub(super) fn against_itself(rounds: &[Round]) -> Vec<f64> {
    let arms = |it: &Round| {
        let is_subjects = it.order.split(' ').any(|it| it == "B2");
        let first = if is_subjects { &it.b } else { &it.a };
        Some(log(&it.a2)? - log(first)?)
    };
    rounds.iter().filter_map(arms).collect()
}

/// Whether both arms of the control agree as far as the noise lets them, and may be taken for one.
pub(crate) fn do_arms_agree(rounds: &[Round], confidence: f64) -> bool {
    let seen = estimate(&against_itself(rounds), confidence);
    let interval = seen.and_then(|it| it.interval);
    interval.is_some_and(|it| it.low <= 0.0 && it.high >= 0.0)
}

/// The control's log in one block; `is_pooled` takes in its second arm.
pub(super) fn control_log(round: &Round, is_pooled: bool) -> Option<f64> {
    let first = log(&round.a)?;
    if is_pooled && !round.a2.is_empty() {
        // Both arms have two slices; a lost one must not shift the weight.
        Some(f64::midpoint(first, log(&round.a2)?))
    } else {
        Some(first)
    }
}

/// ln(subject / control) of the blocks that have both.
pub(crate) fn against_control<'a>(
    rounds: impl IntoIterator<Item = &'a Round>,
    is_pooled: bool,
) -> Vec<f64> {
    rounds
        .into_iter()
        .filter_map(|it| Some(log(&it.b)? - control_log(it, is_pooled)?))
        .collect()
}

/// ln(subject / earlier revision) of the blocks of a look that have both.
pub(super) fn against_earlier(rounds: &[Round], stage: u8) -> Vec<f64> {
    rounds
        .iter()
        .filter(|it| it.stage.clamp(1, 2) == stage)
        .filter_map(|it| Some(log(&it.b)? - log(&it.earlier)?))
        .collect()
}
