//! How a run is measured.

use std::time::Duration;

use super::{RESTARTS, one_case::TURN_S};
use crate::{
    Role,
    verdict::Rules,
    worker::{CaseInfo, Length, WorkerProgram},
};

/// What setting a case up, checking and taking it down takes, roughly.
const AROUND: Duration = Duration::from_millis(800);
/// What warming an arm up takes, roughly: it ends when the arm is steady.
const WARM_UP: f64 = 0.7;
/// What a turn takes beside its share of the slice, roughly: it is led in, and clocks are read.
const AROUND_A_TURN: f64 = 0.014;
/// What counting the allocations of a case takes, roughly: a process starts, and its operations run
/// some hundred times.
const COUNTING: Duration = Duration::from_millis(1_500);

/// How much is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Blocks of a case.
    pub blocks: usize,
    /// Length of a slice, in seconds, where the case has none.
    pub slice_s: f64,
    /// The longest slice, in seconds, whatever the case asks for.
    pub longest_slice_s: f64,
    /// The longest warm-up of an arm, in seconds.
    pub warm_up_s: f64,
    /// Leaves out all sides but the subject and its first control.
    pub is_quick: bool,
}

impl Profile {
    /// Few short blocks: nothing finer than 15 % is claimed.
    pub fn quick() -> Profile {
        Profile {
            blocks: 8,
            slice_s: 0.2,
            longest_slice_s: 0.5,
            warm_up_s: 1.0,
            is_quick: true,
        }
    }

    /// The whole.
    pub fn full() -> Profile {
        Profile {
            blocks: 12,
            slice_s: 0.25,
            longest_slice_s: 3.0,
            warm_up_s: 4.0,
            is_quick: false,
        }
    }

    /// How long a slice of this case is.
    pub fn length(&self, case: &CaseInfo, iterations: Option<u64>) -> Length {
        match iterations {
            Some(n) => Length::Operations(n),
            None => Length::Seconds(
                case.slice_s
                    .unwrap_or(self.slice_s)
                    .min(self.longest_slice_s),
            ),
        }
    }

    /// The places of the sides that are set up.
    pub fn sides(&self, case: &CaseInfo) -> Vec<usize> {
        if !self.is_quick {
            return (0..case.sides.len()).collect();
        }
        let is_control = |place: &usize| case.sides[*place].role == Role::Control;
        let control = (0..case.sides.len()).find(is_control);
        std::iter::once(0).chain(control).collect()
    }
}

/// An earlier revision that is measured in the same blocks.
#[derive(Clone, Debug)]
pub struct Against {
    /// The commit.
    pub revision: String,
    /// Its worker.
    pub program: WorkerProgram,
    /// Its worker that counts allocations, where they are counted.
    pub counting: Option<WorkerProgram>,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The worker.
    pub program: WorkerProgram,
    /// A worker that counts allocations, where they are counted.
    pub counting: Option<WorkerProgram>,
    /// What it is compared with.
    pub against: Option<Against>,
    /// How much is measured.
    pub profile: Profile,
    /// What asks for a second look.
    pub rules: Rules,
    /// Operations of a slice, in place of its time.
    pub iterations: Option<u64>,
    /// What all draws come from.
    pub seed: u64,
}

/// How long the first looks of a run of these cases take, and counting allocations, roughly; with
/// `iterations`, that cannot be known.
pub fn estimate(plan: &RunPlan, cases: &[CaseInfo]) -> Duration {
    let then = plan.against.as_ref().and_then(|it| it.counting.as_ref());
    let counting: Duration = [plan.counting.as_ref(), then]
        .into_iter()
        .flatten()
        .map(|_| COUNTING)
        .sum();
    let looks = cases.iter().map(|it| one(plan, it, plan.profile.blocks, 1));
    looks.map(|it| it + counting).sum()
}

/// How long second looks take, roughly, if every case is looked at again.
pub fn second_looks(plan: &RunPlan, cases: &[CaseInfo]) -> Duration {
    let looks = cases
        .iter()
        .map(|it| one(plan, it, plan.rules.second_blocks, RESTARTS));
    looks.sum()
}

/// So many blocks of a case, over so many starts of its workers.
fn one(plan: &RunPlan, case: &CaseInfo, blocks: usize, starts: usize) -> Duration {
    let Length::Seconds(slice) = plan.profile.length(case, None) else {
        return Duration::ZERO;
    };
    let arms = plan.profile.sides(case).len() + 1 + usize::from(plan.against.is_some());
    #[expect(clippy::cast_precision_loss, reason = "a few arms and blocks")]
    let (arms, blocks, starts) = (arms as f64, blocks as f64, starts as f64);
    let slices = 2.0 * arms * blocks * (slice + slice / TURN_S * AROUND_A_TURN);
    let around = AROUND.as_secs_f64() + arms * WARM_UP.min(plan.profile.warm_up_s);
    Duration::from_secs_f64(slices + starts * around)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{CaseName, SideInfo};

    fn case(roles: &[Role]) -> CaseInfo {
        let side = |role: &Role| SideInfo {
            name: "side".into(),
            version: "1".into(),
            role: *role,
            missing: None,
            counts: BTreeMap::new(),
        };
        CaseInfo {
            name: CaseName {
                component: "toy".into(),
                case: "spin".into(),
                variant: BTreeMap::new(),
            },
            about: String::new(),
            settings: serde_json::Value::Null,
            processes: Vec::new(),
            slice_s: Some(1.0),
            is_whole: false,
            is_quick: true,
            targets: Vec::new(),
            sides: roles.iter().map(side).collect(),
        }
    }

    #[test]
    fn what_is_done_besides_takes_its_time() {
        let program = WorkerProgram {
            program: "bench-cases".into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            stop: crate::run::Stop::default(),
        };
        let mut plan = RunPlan {
            program: program.clone(),
            counting: None,
            against: None,
            profile: Profile::full(),
            rules: Rules::full(),
            iterations: None,
            seed: 1,
        };
        let cases = [case(&[Role::Subject, Role::Control])];
        let alone = estimate(&plan, &cases);
        plan.counting = Some(program.clone());
        let counted = estimate(&plan, &cases);
        plan.against = Some(Against {
            revision: "decaf".into(),
            program,
            counting: None,
        });
        let compared = estimate(&plan, &cases);
        assert!(alone < counted && counted < compared);
        assert!(second_looks(&plan, &cases) > Duration::from_secs(60));
    }

    #[test]
    fn a_quick_run_has_the_subject_and_its_first_control() {
        let case = case(&[Role::Subject, Role::Peer, Role::Control, Role::Control]);
        assert_eq!(Profile::quick().sides(&case), [0, 2]);
        assert_eq!(Profile::full().sides(&case), [0, 1, 2, 3]);
        assert_eq!(
            Profile::quick().length(&case, None),
            Length::Seconds(0.5),
            "its slices are cut"
        );
        assert_eq!(
            Profile::full().length(&case, Some(7)),
            Length::Operations(7)
        );
    }
}
