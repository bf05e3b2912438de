//! Arms that cannot run, or break.

use std::collections::BTreeMap;

use super::{super::Workers, Placed, block::Broken};
use crate::{ArmOf, Beside, Block, Measured, Slice, worker::StatedFault};

/// Says of an arm why it does not run.
fn tell(measured: &mut Measured, of: ArmOf, why: String) {
    match of {
        ArmOf::Side(side) => measured.sides[side].missing = Some(why),
        ArmOf::Again(side) => {
            let name = &measured.sides[side].name;
            let note = format!("the second arm of {name}, which shows the noise, is lost: {why}");
            measured.notes.push(note);
        }
    }
}

/// Whether an arm goes with the lost one: a side's second arm is of no use without it.
pub(super) fn goes_with(lost: ArmOf, of: ArmOf) -> bool {
    of == lost || matches!((lost, of), (ArmOf::Side(a), ArmOf::Again(b)) if a == b)
}

/// Notes that an arm cannot run. A wrong answer is kept as a slice, so that it is counted as one.
pub(super) fn miss(measured: &mut Measured, of: ArmOf, fault: &StatedFault) {
    tell(measured, of, fault.text.clone());
    if fault.is_wrong {
        measured.blocks.push(Block {
            stage: 1,
            slices: vec![(of, only_wrong(1, vec![fault.text.clone()]))],
        });
    }
}

/// A slice that says nothing but how many answers were wrong.
fn only_wrong(wrong: u64, flags: Vec<String>) -> Slice {
    Slice {
        operations: 0,
        wall_s: 0.0,
        cpu_s: BTreeMap::new(),
        errors: BTreeMap::new(),
        wrong,
        latency: None,
        figures: BTreeMap::new(),
        flags,
        beside: Beside::default(),
    }
}

/// An arm failed in a block: the case goes on without it, unless it is the subject, or its worker
/// is gone with it. Its wrong answers stay, and make the case invalid.
pub(super) fn lose(
    workers: &mut Workers<'_>,
    measured: &mut Measured,
    arms: &mut Vec<Placed>,
    broken: Broken,
    stage: u8,
) {
    let Broken { of, error, had } = broken;
    let wrong = had.into_iter().filter(|(_, slice)| slice.wrong > 0);
    let slices: Vec<_> = wrong
        .map(|(of, it)| (of, only_wrong(it.wrong, it.flags)))
        .collect();
    if !slices.is_empty() {
        measured.blocks.push(Block { stage, slices });
    }
    let is_then = arms.iter().any(|it| it.of == of && it.is_then);
    let lost = if error.is_alive() {
        of
    } else if is_then {
        if let Some(then) = &mut workers.then {
            then.note(&error);
        }
        of
    } else {
        workers.now.note(&error);
        ArmOf::Side(0)
    };
    arms.retain(|it| !goes_with(lost, it.of));
    for block in &mut measured.blocks {
        block
            .slices
            .retain(|(of, slice)| !goes_with(lost, *of) || slice.wrong > 0);
        let left = block.slices.iter_mut().filter(|it| goes_with(lost, it.0));
        for (_, slice) in left {
            *slice = only_wrong(slice.wrong, std::mem::take(&mut slice.flags));
        }
    }
    tell(measured, lost, error.to_string());
}
