//! All cases of a run, one after the other.

use super::{
    LookAt, Looked, Outcome, Progress, RunError, RunPlan, Stop, Store, Workers,
    counts::allocations, one_case::look, second_look::second_look,
};
use crate::{
    Measured, Orders,
    worker::{CaseInfo, WorkerError},
};

pub(super) async fn all(
    plan: &RunPlan,
    cases: &[CaseInfo],
    mut orders: Orders,
    mut store: Option<&mut Store>,
    progress: &Progress,
    stop: &Stop,
) -> Outcome {
    let then = plan.against.as_ref().map(|it| &it.program);
    let mut workers = Workers::new(&plan.program, then);
    let mut outcome = Outcome {
        measured: Vec::new(),
        is_partial: false,
        fault: None,
    };
    progress.begin(cases.len() * plan.profile.blocks);
    for case in cases {
        if stop.is_asked() {
            outcome.is_partial = true;
            break;
        }
        progress.case(&case.name.to_string());
        let (measured, looked) = one(plan, case, &mut workers, &mut orders, progress, stop).await;
        let is_whole = matches!(looked, Ok(Looked::Done));
        let kept = match store.as_deref_mut().filter(|_| is_whole) {
            Some(store) => store.keep(&measured),
            None => Ok(()),
        };
        let has_any = !measured.blocks.is_empty() || is_whole;
        outcome.measured.extend(has_any.then_some(measured));
        outcome.fault = looked.map_err(RunError::from).err();
        outcome.fault = outcome.fault.or(kept.map_err(RunError::from).err());
        outcome.is_partial |= !is_whole || outcome.fault.is_some();
        if outcome.fault.is_some() {
            break;
        }
    }
    workers.end().await;
    progress.finish();
    outcome.measured.sort_by(|a, b| a.name.cmp(&b.name));
    outcome
}

/// What was measured of a case, and how that ended: without a worker, not all of it is there.
async fn one(
    plan: &RunPlan,
    case: &CaseInfo,
    workers: &mut Workers<'_>,
    orders: &mut Orders,
    progress: &Progress,
    stop: &Stop,
) -> (Measured, Result<Looked, WorkerError>) {
    let at = LookAt::first(&plan.profile, case, plan.iterations);
    let revision = plan.against.as_ref().map(|it| it.revision.as_str());
    let mut measured = Measured::begin(case, &at.sides, revision);
    let mut looked = look(workers, &at, &mut measured, orders, progress, stop).await;
    if matches!(looked, Ok(Looked::Done)) {
        looked = second_look(plan, case, workers, &mut measured, orders, progress, stop).await;
    }
    if matches!(looked, Ok(Looked::Done)) && measured.sides[0].missing.is_none() {
        looked = Ok(allocations(plan, &at.sides, &mut measured, stop).await);
    }
    if looked.is_err() && stop.is_asked() {
        // A worker that was to end while it started is no fault.
        looked = Ok(Looked::Stopped);
    }
    (measured, looked)
}
