//! The stored form of a run: schema `ruleiq-bench/1`.
//!
//! Unknown fields are ignored, an unknown schema is refused. Raw rounds are always kept, so that
//! every figure can be computed again.

#[cfg(feature = "run")]
mod digest;
#[cfg(feature = "run")]
mod figure;
pub mod file;
#[cfg(feature = "run")]
pub mod html;
mod row;
mod series;
#[cfg(feature = "run")]
mod svg;
#[cfg(feature = "run")]
pub mod terminal;
#[cfg(feature = "run")]
mod wording;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    row::{
        Baseline, BaselineMode, Better, Control, Counts, Round, Row, RowRole, RowTarget, Summary,
        TargetVerdict, Verdict,
    },
    series::{Curve, CurvePoint, Growth, GrowthPoint, Instructions},
};

/// The name of this schema.
pub const SCHEMA: &str = "ruleiq-bench/1";

/// A run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Random.
    pub id: uuid::Uuid,
    /// When it began (RFC 3339).
    #[serde(with = "time::serde::rfc3339")]
    pub started: time::OffsetDateTime,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// What it was for.
    pub kind: Kind,
    /// Whether it was ended before its end: what is there was measured, what is not was not.
    pub partial: bool,
    /// Whether it was a quick run, which claims nothing finer than 15 %.
    pub quick: bool,
    /// Where it ran.
    pub host: Host,
    /// What built the programs.
    pub toolchain: Toolchain,
    /// What was built.
    pub git: Git,
    /// The servers behind it.
    pub servers: Vec<Server>,
    /// The data behind it.
    pub scale: Scale,
    /// How it was measured.
    pub settings: Settings,
    /// How noisy it was.
    pub noise: Noise,
    /// One row for each case, metric and control.
    pub results: Vec<Row>,
    /// Latency under load, where it was measured.
    #[serde(default)]
    pub curves: Vec<Curve>,
    /// Cost as something grows, where it was measured.
    #[serde(default)]
    pub scale_study: Vec<Growth>,
    /// Instructions per operation, where they were counted.
    #[serde(default)]
    pub instructions: Vec<Instructions>,
    /// How the harness itself did.
    pub self_check: SelfCheck,
    /// What the reader should know, each with its remedy.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What a run was for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Ours against controls.
    Measure,
    /// Ours against an earlier revision or a stored run.
    Compare,
    /// The harness against itself.
    #[serde(rename = "self")]
    SelfTest,
}

/// A machine. What is not known is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Host {
    /// The processor's model name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// `kvm`, `none`, …
    pub virt: Option<String>,
    /// The frequency governor.
    pub governor: Option<String>,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// The limits of the control group: `cpu_max`, `memory_max`.
    pub cgroup: BTreeMap<String, String>,
    /// A hash of model, cores, control group and major kernel version: coarse facts that do not
    /// change by themselves.
    pub fingerprint: String,
}

/// What built the programs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Toolchain {
    /// `1.95.0`.
    pub rustc: String,
    /// The profile: `release`.
    pub profile: String,
    /// Link-time optimization: `off`, `thin`, `fat`.
    pub lto: String,
    /// Whether debug assertions were on; then nothing is measured.
    pub debug_assertions: bool,
    /// The target processor.
    pub target_cpu: String,
    /// The allocator.
    pub allocator: String,
}

/// What was built.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Git {
    /// The commit.
    pub revision: String,
    /// Whether the tree differed from it.
    pub dirty: bool,
    /// The commit it was compared with.
    pub against: Option<String>,
}

/// A server behind the run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Server {
    /// `postgres`, `redis`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The settings that change figures.
    pub settings: BTreeMap<String, String>,
}

/// The data behind the run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Scale {
    /// `small`, `demo`.
    pub name: String,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Size of the database.
    pub data_bytes: u64,
    /// Whether all of it fits into PostgreSQL's own memory.
    pub fits_in_shared_buffers: bool,
}

/// How a run was measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Settings {
    /// What all draws came from: the order of cases and slices, the inputs of the cases, and the
    /// schedules of the curves.
    pub seed: u64,
    /// Length of a slice; a case may have its own.
    pub slice_s: f64,
    /// Blocks of a case.
    pub blocks: usize,
    /// How slices are ordered: `mirrored`.
    pub order: String,
    /// `--concurrency`, where given.
    pub concurrency: Option<usize>,
    /// `--iterations`, where given: operations per slice in place of time.
    pub iterations: Option<u64>,
    /// Threads of the runtime that cases run on.
    pub runtime_threads: usize,
}

/// How noisy a run was. Shares, but for what says otherwise.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Noise {
    /// The median over the cases of s, the spread of a control against itself, block by block.
    pub aa_s: f64,
    /// The median over the cases of the half-width of the control's 99 % interval against itself.
    pub aa_floor: f64,
    /// Whether a difference of 10 % would have been seen, in the median case.
    pub mde_10pct_ok: bool,
    /// Processor time that the host took away, in percent.
    pub steal_pct: f64,
    /// Time in which something waited for a processor (pressure stall information), in percent.
    pub psi_cpu_some: Option<f64>,
    /// How often the control group was throttled.
    pub throttled: u64,
    /// The load average at the beginning.
    pub load1: f64,
}

/// How the harness itself did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SelfCheck {
    /// CPU nanoseconds per operation of an operation that does nothing.
    pub null_case_ns: Option<f64>,
    /// Requests per second of the load client against a handler that does nothing.
    pub client_ceiling_rps: Option<f64>,
    /// The greatest relative difference between requests under way and rate times latency.
    pub littles_law_worst: Option<f64>,
}
