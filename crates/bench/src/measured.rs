//! What a case's slices showed, before anything is computed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CaseName, Process, Role, Slice, Target};

/// The raw slices of one case.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Measured {
    /// Its name.
    pub name: CaseName,
    /// What it measures.
    pub about: String,
    /// The settings of all sides.
    pub settings: serde_json::Value,
    /// The processes whose CPU time makes `cpu_per_op`.
    pub processes: Vec<Process>,
    /// How good it has to be.
    pub targets: Vec<Target>,
    /// The subject first, then controls, peers, or the earlier revision.
    pub sides: Vec<SideInfo>,
    /// In the order in which they were run.
    pub blocks: Vec<Block>,
    /// What the reader should know of how it went, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A side, as the report names it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SideInfo {
    /// What it is.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is there for.
    pub role: Role,
    /// Why it has no slices, if it has none.
    #[serde(default)]
    pub missing: Option<String>,
    /// What was counted exactly, per operation, by metric.
    #[serde(default)]
    pub counts: BTreeMap<String, f64>,
}

/// Each arm twice, at mirrored places: a linear drift cancels.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Block {
    /// 1 for the first look, 2 for the second.
    pub stage: u8,
    /// In the order in which they were run.
    pub slices: Vec<(ArmOf, Slice)>,
}

/// Whose slice it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmOf {
    /// That of the side at this place.
    Side(usize),
    /// That of the same side once more, to see the noise of the run.
    Again(usize),
}
