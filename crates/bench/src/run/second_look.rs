//! The second look: what seems changed is measured again, in fresh processes, before it is said.

use super::{LookAt, Looked, Progress, RunPlan, Stop, Workers, one_case::look};
use crate::{
    ArmOf, Measured, Orders, Role,
    stats::{estimate, mad_s},
    worker::{CaseInfo, WorkerError},
};

/// How often the workers are started anew in a second look.
pub const RESTARTS: usize = 3;
/// The first look's interval, and the change that it has to show.
const CONFIDENCE: f64 = 0.95;
const CHANGE: f64 = 0.04;

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
    if !measured.seems_changed() {
        return Ok(Looked::Done);
    }
    let profile = &plan.profile;
    let is_noisy = measured.noise().is_some_and(|s| s > profile.noisy);
    let blocks = if is_noisy {
        profile.second_blocks_noisy
    } else {
        profile.second_blocks
    };
    progress.more(blocks);
    let first = LookAt::first(profile, case, plan.iterations);
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

impl Measured {
    /// Whether CPU per operation of the first look seems to differ from the earlier revision's.
    pub fn seems_changed(&self) -> bool {
        let Some(baseline) = self.sides.iter().position(|it| it.role == Role::Baseline) else {
            return false;
        };
        let differences = self.differences(ArmOf::Side(0), ArmOf::Side(baseline));
        estimate(&differences, CONFIDENCE).is_some_and(|it| {
            let excludes_zero = it
                .interval
                .as_ref()
                .is_some_and(|it| it.low > 0.0 || it.high < 0.0);
            excludes_zero && it.middle.abs() > (1.0 + CHANGE).ln()
        })
    }

    /// The spread of a block: s of an arm against itself.
    pub fn noise(&self) -> Option<f64> {
        let slices = self.blocks.iter().flat_map(|it| &it.slices);
        let again = slices.map(|(of, _)| *of).find_map(|of| match of {
            ArmOf::Again(side) => Some(side),
            ArmOf::Side(_) => None,
        })?;
        mad_s(&self.differences(ArmOf::Side(again), ArmOf::Again(again)))
    }

    /// By block of the first look, the mean log of CPU per operation of one arm less another's.
    fn differences(&self, one: ArmOf, other: ArmOf) -> Vec<f64> {
        let processes: Vec<String> = self
            .processes
            .iter()
            .map(|it| it.word().to_owned())
            .collect();
        let first = self.blocks.iter().filter(|it| it.stage == 1);
        first
            .filter_map(|block| {
                let mean = |of: ArmOf| {
                    let logs: Option<Vec<f64>> = block
                        .slices
                        .iter()
                        .filter(|(it, _)| *it == of)
                        .map(|(_, slice)| Some(slice.cpu_us_per_op(&processes)?.ln()))
                        .collect();
                    crate::stats::mean(&logs?)
                };
                Some(mean(one)? - mean(other)?).filter(|it| it.is_finite())
            })
            .collect()
    }
}
