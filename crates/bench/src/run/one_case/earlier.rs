//! The earlier revision's side of a case.

use super::{super::Slot, LookAt, request};
use crate::{
    Measured, Orders, SideInfo,
    worker::{ArmState, CaseInfo, WorkerError},
};

/// Sets the case up in the earlier revision's worker, with the same sides: only its subject is
/// run, and both processes carry the same load beside theirs. Answers why it cannot be compared,
/// if it cannot.
pub(super) async fn set_up_then(
    slot: &mut Slot<'_>,
    at: &LookAt,
    measured: &Measured,
    orders: &mut Orders,
) -> Result<Result<Vec<ArmState>, String>, WorkerError> {
    let worker = slot.worker(orders).await?;
    let states = match worker.list().await {
        Ok(cases) => match same_case(&cases, measured) {
            Ok(sides) => worker.set_up(request(at, measured, &sides)).await,
            Err(why) => return Ok(Err(why)),
        },
        Err(error) => Err(error),
    };
    Ok(states.map_err(|error| {
        slot.note(&error);
        error.to_string()
    }))
}

/// The sides of the earlier revision's case that are those of `measured`; why there are none, if
/// its case is not the same.
pub(in crate::run) fn same_case(
    cases: &[CaseInfo],
    measured: &Measured,
) -> Result<Vec<usize>, String> {
    let theirs = cases.iter().find(|it| it.name == measured.name);
    let theirs = theirs.ok_or("the earlier revision does not have this case")?;
    if theirs.settings != measured.settings {
        return Err(format!(
            "the earlier revision's case has other settings: {} instead of {}",
            theirs.settings, measured.settings
        ));
    }
    if theirs.processes != measured.processes {
        return Err("the earlier revision's case counts the CPU time of other processes".into());
    }
    let place = |ours: &SideInfo| {
        let is_it = |it: &SideInfo| it.role == ours.role && it.name == ours.name;
        theirs.sides.iter().position(is_it)
    };
    // The subject is first, whatever it is called.
    let others = measured.sides.iter().skip(1).filter_map(place);
    Ok(std::iter::once(0).chain(others).collect())
}
