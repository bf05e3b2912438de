//! What a plan says beside its nodes.

use serde::Deserialize;

/// What planning a statement needed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Planning {
    /// 8 KiB blocks of the catalogue that were found in shared memory.
    #[serde(rename = "Shared Hit Blocks")]
    pub shared_hit_blocks: u64,
    /// 8 KiB blocks of the catalogue that were read.
    #[serde(rename = "Shared Read Blocks")]
    pub shared_read_blocks: u64,
}

/// A trigger that ran, over all its calls.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Trigger {
    /// Its name.
    #[serde(rename = "Trigger Name")]
    pub name: Option<String>,
    /// The constraint that it enforces, if it does.
    #[serde(rename = "Constraint Name")]
    pub constraint: Option<String>,
    /// The table that it belongs to.
    #[serde(rename = "Relation")]
    pub relation: Option<String>,
    /// All its calls together, in milliseconds.
    #[serde(rename = "Time")]
    pub total_ms: Option<f64>,
    /// How often it was called.
    #[serde(rename = "Calls")]
    pub calls: Option<f64>,
}

/// What compiling expressions to machine code did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Jit {
    /// How many functions were compiled.
    #[serde(rename = "Functions")]
    pub functions: u64,
    /// How long it took.
    #[serde(rename = "Timing")]
    pub timing: Option<JitTiming>,
}

/// How long compiling took.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct JitTiming {
    /// In all, in milliseconds.
    #[serde(rename = "Total")]
    pub total_ms: Option<f64>,
}
