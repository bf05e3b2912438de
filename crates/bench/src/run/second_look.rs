//! The second look: what seems changed is measured again, in fresh processes, before it is said.

use super::{LookAt, Looked, Progress, RunPlan, Stop, Workers, one_case::look};
use crate::{
    Measured, Orders, summarise,
    worker::{CaseInfo, WorkerError},
};

/// How often the workers are started anew in a second look: the luck of where things lie in memory
/// is drawn with each start.
pub const RESTARTS: usize = 3;

/// Measures a case again if its first look shows a change against the earlier revision.
pub(super) async fn second_look(
    plan: &RunPlan,
    case: &CaseInfo,
    workers: &mut Workers<'_>,
    measured: &mut Measured,
    orders: &mut Orders,
    progress: &Progress,
    stop: &Stop,
) -> Result<Looked, WorkerError> {
    let Some(blocks) = summarise::second_look(measured, &plan.rules) else {
        return Ok(Looked::Done);
    };
    progress.more(blocks);
    let first = LookAt::first(&plan.profile, case, plan.iterations);
    for restart in 0..RESTARTS {
        workers.end().await;
        let at = LookAt {
            blocks: (blocks + restart) / RESTARTS,
            stage: 2,
            ..first.clone()
        };
        if look(workers, &at, measured, orders, progress, stop).await? == Looked::Stopped {
            return Ok(Looked::Stopped);
        }
    }
    Ok(Looked::Done)
}
