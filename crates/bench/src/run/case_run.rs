//! All cases of a run, one after the other.

use super::{
    LookAt, Looked, Outcome, Progress, RunError, RunPlan, Stop, Store, Workers, one_case::look,
    second_look::second_look,
};
use crate::{
    ArmOf, Measured, Orders,
    worker::{CaseInfo, SetUp, WorkerError, WorkerProcess},
};

pub(super) async fn all(
    plan: &RunPlan,
    cases: &[CaseInfo],
    mut orders: Orders,
    mut store: Option<&mut Store>,
    progress: &Progress,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    let then = plan.against.as_ref().map(|it| &it.program);
    let mut workers = Workers::new(&plan.program, then);
    let mut outcome = Outcome {
        measured: Vec::new(),
        is_partial: false,
    };
    progress.begin(cases.len() * plan.profile.blocks);
    for case in cases {
        if stop.is_asked() {
            outcome.is_partial = true;
            break;
        }
        progress.case(&case.name.to_string());
        let (measured, looked) = one(plan, case, &mut workers, &mut orders, progress, stop).await?;
        let is_whole = looked == Looked::Done;
        if let Some(store) = store.as_deref_mut().filter(|_| is_whole) {
            store.keep(&measured)?;
        }
        let has_any = !measured.blocks.is_empty() || is_whole;
        outcome.measured.extend(has_any.then_some(measured));
        outcome.is_partial |= !is_whole;
    }
    workers.end().await;
    progress.finish();
    outcome.measured.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(outcome)
}

async fn one(
    plan: &RunPlan,
    case: &CaseInfo,
    workers: &mut Workers<'_>,
    orders: &mut Orders,
    progress: &Progress,
    stop: &Stop,
) -> Result<(Measured, Looked), RunError> {
    let at = LookAt::first(&plan.profile, case, plan.iterations);
    let revision = plan.against.as_ref().map(|it| it.revision.as_str());
    let mut measured = Measured::begin(case, &at.sides, revision);
    let mut looked = look(workers, &at, &mut measured, orders, progress, stop).await?;
    if looked == Looked::Done {
        let again = second_look(plan, case, workers, &mut measured, orders, progress, stop);
        looked = again.await?;
    }
    let is_whole = looked == Looked::Done && measured.sides[0].missing.is_none();
    if let Some(counting) = plan.counting.as_ref().filter(|_| is_whole) {
        let mut worker = WorkerProcess::start(counting, 0).await?;
        // What cannot be counted is absent; the slices stand without it.
        if let Ok(()) = count(&mut worker, &at.sides, &mut measured).await {
            worker.end().await;
        }
    }
    Ok((measured, looked))
}

/// Counts allocations, in a process of its own: counting while timing would change both.
async fn count(
    worker: &mut WorkerProcess,
    sides: &[usize],
    measured: &mut Measured,
) -> Result<(), WorkerError> {
    let set_up = SetUp {
        case: measured.name.clone(),
        sides: sides.to_vec(),
        again: false,
        warm_up_s: 0.0,
    };
    worker.set_up(set_up).await?;
    for (arm, counts) in worker.counts().await? {
        let ArmOf::Side(theirs) = arm else { continue };
        if let Some(place) = sides.iter().position(|it| *it == theirs) {
            measured.sides[place].counts.extend(counts);
        }
    }
    Ok(())
}
