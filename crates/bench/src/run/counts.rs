//! What sides count exactly, and why one could not.

use super::{Looked, RunPlan, Stop, one_case::same_case};
use crate::{
    ArmOf, Measured, Role,
    worker::{ArmCounts, SetUp, WorkerError, WorkerProcess, WorkerProgram},
};

/// Counts allocations of both revisions, in processes of their own: counting while timing would
/// change both. What cannot be counted is told; the slices stand without it.
pub(super) async fn allocations(
    plan: &RunPlan,
    sides: &[usize],
    measured: &mut Measured,
    stop: &Stop,
) -> Looked {
    let is_there = |role| move |it: &crate::SideInfo| it.role == role && it.missing.is_none();
    let mut failed = Vec::new();
    if let Some(program) = &plan.counting {
        let place = |theirs| sides.iter().position(|it| *it == theirs);
        let counted = count(program, sides.to_vec(), measured, place).await;
        failed.extend(counted.err().map(|it| ("allocations", it)));
    }
    let then = plan.against.as_ref().and_then(|it| it.counting.as_ref());
    let earlier = measured.sides.iter().position(is_there(Role::Baseline));
    if let Some((program, earlier)) = then.zip(earlier) {
        let counted = count_then(program, measured, earlier).await;
        failed.extend(
            counted
                .err()
                .map(|it| ("allocations of the earlier revision", it)),
        );
    }
    if !failed.is_empty() && stop.is_asked() {
        // What was not counted may only have been ended too early.
        return Looked::Stopped;
    }
    for (what, error) in failed {
        note(measured, format!("{what} were not counted: {error}"));
    }
    Looked::Done
}

/// Counts the subject of an earlier revision, with the sides beside it that the present one has.
async fn count_then(
    program: &WorkerProgram,
    measured: &mut Measured,
    earlier: usize,
) -> Result<(), WorkerError> {
    let mut worker = WorkerProcess::start(program, 0).await?;
    let cases = worker.list().await?;
    let sides = same_case(&cases, measured).map_err(WorkerError::Refused)?;
    count_by(worker, sides, measured, |theirs| {
        (theirs == 0).then_some(earlier)
    })
    .await
}

async fn count(
    program: &WorkerProgram,
    sides: Vec<usize>,
    measured: &mut Measured,
    place: impl Fn(usize) -> Option<usize>,
) -> Result<(), WorkerError> {
    let worker = WorkerProcess::start(program, 0).await?;
    count_by(worker, sides, measured, place).await
}

/// `place` says which of the sides of `measured` a side of the worker's is, if it is one.
async fn count_by(
    mut worker: WorkerProcess,
    sides: Vec<usize>,
    measured: &mut Measured,
    place: impl Fn(usize) -> Option<usize>,
) -> Result<(), WorkerError> {
    let set_up = SetUp {
        case: measured.name.clone(),
        sides,
        again: false,
        warm_up_s: 0.0,
    };
    let side = |arm| match arm {
        ArmOf::Side(theirs) => place(theirs),
        ArmOf::Again(_) => None,
    };
    for state in worker.set_up(set_up).await? {
        if let Some((side, fault)) = side(state.arm).zip(state.fault) {
            keep(measured, side, ArmCounts::Fault { fault: fault.text });
        }
    }
    for (arm, counts) in worker.counts().await? {
        if let Some(side) = side(arm) {
            keep(measured, side, counts);
        }
    }
    worker.end().await;
    Ok(())
}

/// Adds what a side counted to what is known of it, or says why it could not. Of a side that is
/// missing, the reason is known.
pub(super) fn keep(measured: &mut Measured, side: usize, counts: ArmCounts) {
    let info = &mut measured.sides[side];
    match counts {
        ArmCounts::Counted(counts) => info.counts.extend(counts),
        ArmCounts::Fault { .. } if info.missing.is_some() => {}
        ArmCounts::Fault { fault } => {
            let whose = match info.role {
                Role::Baseline => "the earlier revision",
                _ => &info.name,
            };
            let text = format!("what {whose} does was not counted exactly: {fault}");
            note(measured, text);
        }
    }
}

/// Tells the reader once what fresh workers may say again.
pub(super) fn note(measured: &mut Measured, text: String) {
    if !measured.notes.contains(&text) {
        measured.notes.push(text);
    }
}
