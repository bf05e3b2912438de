//! What coordinator and worker say to each other: one JSON value per line, over the worker's
//! standard input and output.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{ArmOf, Budget, Case, CaseName, Fault, Process, SideInfo, Slice, Target};

/// The version of what follows. A worker tells it before anything else.
pub const PROTOCOL: u32 = 1;

/// What a worker is asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Which cases it has.
    List {},
    /// Sets up the sides of a case and warms them up.
    SetUp(SetUp),
    /// Lets each arm do its operation once and compares the answer in full.
    Check {},
    /// Runs one arm.
    Slice {
        /// Which.
        arm: ArmOf,
        /// How long.
        length: Length,
        /// How often all arms have had their turn.
        #[serde(default)]
        turn: usize,
    },
    /// Counts what can be counted exactly.
    Counts {},
    /// Takes the case down.
    TearDown {},
}

/// Which sides of which case are set up.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SetUp {
    /// The case.
    pub case: CaseName,
    /// The places of its sides.
    pub sides: Vec<usize>,
    /// Whether one of them gets a second arm, to see the noise of the run: the first control, or
    /// the subject where there is none.
    pub again: bool,
    /// The longest that an arm may take to become steady, in seconds; 0: it is not warmed up.
    pub warm_up_s: f64,
}

/// How long a slice is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Seconds.
    Seconds(f64),
    /// Operations over all tasks.
    Operations(u64),
}

/// What a worker answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The first line of a worker.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
    },
    /// The cases.
    Cases(Vec<CaseInfo>),
    /// How each arm is, after it was set up or checked.
    Arms(Vec<ArmState>),
    /// A slice.
    Slice(Box<Slice>),
    /// What was counted, by arm and metric.
    Counts(Vec<(ArmOf, ArmCounts)>),
    /// It is done.
    Done {},
    /// It cannot be done.
    Error(String),
}

/// A case, as its worker describes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CaseInfo {
    /// Its name.
    pub name: CaseName,
    /// What it measures.
    pub about: String,
    /// The settings of all sides.
    pub settings: serde_json::Value,
    /// The processes whose CPU time makes `cpu_per_op`.
    pub processes: Vec<Process>,
    /// How long its slices have to be, in seconds, if longer or shorter than others.
    pub slice_s: Option<f64>,
    /// Whether they are left whole. Earlier revisions have no such cases.
    #[serde(default)]
    pub is_whole: bool,
    /// Whether a quick run has it.
    pub is_quick: bool,
    /// How good it has to be.
    pub targets: Vec<Target>,
    /// The subject first.
    pub sides: Vec<SideInfo>,
}

/// How an arm is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ArmState {
    /// Which.
    pub arm: ArmOf,
    /// Why it cannot run.
    pub fault: Option<StatedFault>,
}

/// What an arm counted exactly, or why it did not. An arm may have one of each.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ArmCounts {
    /// Per operation, by metric.
    Counted(BTreeMap<String, f64>),
    /// It could not be counted.
    Fault {
        /// Why, in words.
        fault: String,
    },
}

/// A [`Fault`] that crosses a process border.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StatedFault {
    /// Whether an answer was wrong; otherwise there was none.
    pub is_wrong: bool,
    /// In words.
    pub text: String,
}

impl From<&Fault> for StatedFault {
    fn from(fault: &Fault) -> StatedFault {
        StatedFault {
            is_wrong: matches!(fault, Fault::Wrong(_)),
            text: fault.to_string(),
        }
    }
}

impl From<Result<BTreeMap<String, f64>, Fault>> for ArmCounts {
    fn from(counted: Result<BTreeMap<String, f64>, Fault>) -> ArmCounts {
        match counted {
            Ok(counts) => ArmCounts::Counted(counts),
            Err(fault) => ArmCounts::Fault {
                fault: fault.to_string(),
            },
        }
    }
}

impl Length {
    /// As arms are told it.
    pub fn budget(self) -> Budget {
        match self {
            Length::Operations(n) => Budget::Operations(n),
            Length::Seconds(s) => {
                Budget::For(Duration::try_from_secs_f64(s).unwrap_or(Duration::ZERO))
            }
        }
    }
}

impl CaseInfo {
    /// Of a case.
    pub fn of<E: 'static>(case: &Case<E>) -> CaseInfo {
        CaseInfo {
            name: case.name().clone(),
            about: case.about().to_owned(),
            settings: case.settings().clone(),
            processes: case.processes().to_vec(),
            slice_s: case.slice().map(|it| it.as_secs_f64()),
            is_whole: case.is_whole(),
            is_quick: case.is_quick(),
            targets: case.targets().to_vec(),
            sides: case
                .sides()
                .iter()
                .map(|side| SideInfo {
                    name: side.name().to_owned(),
                    version: side.version().to_owned(),
                    role: side.role(),
                    missing: None,
                    counts: BTreeMap::new(),
                })
                .collect(),
        }
    }
}
