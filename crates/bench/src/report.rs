//! The stored form of a run: schema `ruleiq-bench/1`.
//!
//! Unknown fields are ignored, an unknown schema is refused. Raw rounds are always kept, so that
//! every figure can be computed again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Role, TargetOf};

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
    /// What all draws came from.
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

/// One metric of one case against one control.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    /// `pools`.
    pub component: String,
    /// `point_select`.
    pub case: String,
    /// What tells it from other rows of its name.
    #[serde(default)]
    pub variant: BTreeMap<String, String>,
    /// What it measures.
    #[serde(default)]
    pub about: String,
    /// `cpu_per_op`, `latency_p95`, `throughput`, `bytes_out`, `allocations_per_op`, …
    pub metric: String,
    /// `us`, `ops/s`, `bytes`, `count`, `share`.
    pub unit: String,
    /// The direction in which it improves.
    pub better: Better,
    /// Whether it may decide the exit code.
    pub role: RowRole,
    /// Ours; absent when it could not be measured.
    pub value: Option<f64>,
    /// Its interval.
    pub ci_low: Option<f64>,
    /// Its interval.
    pub ci_high: Option<f64>,
    /// Of the intervals of this row.
    pub confidence: f64,
    /// What it was held against.
    pub control: Option<Control>,
    /// `value` over `control.value`, estimated from the blocks.
    pub ratio: Option<f64>,
    /// Its interval.
    pub ratio_ci_low: Option<f64>,
    /// Its interval.
    pub ratio_ci_high: Option<f64>,
    /// The control against itself: s, the spread of a block.
    pub aa_s: Option<f64>,
    /// The control against itself: half-width of the interval.
    pub aa_floor: Option<f64>,
    /// The smallest difference that 90 of 100 runs like this one would see.
    pub mde: Option<f64>,
    /// Against an earlier revision or a stored run.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// How good it has to be.
    #[serde(default)]
    pub target: Option<RowTarget>,
    /// In one word.
    pub verdict: Verdict,
    /// Why, in sentences.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Operations and what did not go well.
    pub counts: Counts,
    /// CPU microseconds per operation by process, ours.
    #[serde(default)]
    pub cpu: BTreeMap<String, f64>,
    /// CPU microseconds per operation by process, the control's.
    #[serde(default)]
    pub control_cpu: BTreeMap<String, f64>,
    /// The guide's summary of the latencies of ours.
    #[serde(default)]
    pub summary: Option<Summary>,
    /// Ours, as HdrHistogram's compressed text.
    #[serde(default)]
    pub histogram: Option<String>,
    /// The control's.
    #[serde(default)]
    pub control_histogram: Option<String>,
    /// Further figures of ours by name, over all slices.
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
    /// The settings of all sides.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// What every figure came from.
    #[serde(default)]
    pub rounds: Vec<Round>,
}

/// The direction in which a metric improves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// Whether a row may decide the exit code.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowRole {
    /// It may.
    Critical,
    /// It is judged, and only shown.
    Goal,
    /// It is shown.
    Info,
}

/// The control of a row.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Control {
    /// What it is.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Control or peer.
    pub role: Role,
    /// Its value.
    pub value: Option<f64>,
    /// Whether both sides were set up from one value of settings.
    pub settings_equal: bool,
}

/// Against an earlier revision or a stored run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Baseline {
    /// The stored run.
    pub id: Option<uuid::Uuid>,
    /// Interleaved with it, or stored.
    pub mode: BaselineMode,
    /// Now over then.
    pub ratio: f64,
    /// Its interval.
    pub ci_low: f64,
    /// Its interval.
    pub ci_high: f64,
    /// The probability of such a difference, or a greater one, without a change.
    pub p: f64,
    /// 1 where the first look was enough, 2 where it was measured again.
    pub stage: u8,
}

/// How the comparison was made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BaselineMode {
    /// Both revisions in the same blocks.
    Interleaved,
    /// With figures of another hour, through the controls of both.
    Stored,
}

/// A target and how it was met.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RowTarget {
    /// `<=` or `>=`.
    pub op: String,
    /// The bound.
    pub value: f64,
    /// The looser bound, where there is one.
    #[serde(default)]
    pub critical_value: Option<f64>,
    /// Of the ratio or of the value.
    pub of: TargetOf,
    /// Whether a miss fails the command.
    pub critical: bool,
    /// How it was met.
    pub verdict: TargetVerdict,
}

/// How a target was met.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetVerdict {
    /// By the whole interval.
    Met,
    /// By none of it.
    Missed,
    /// Missed, the looser bound as well.
    Critical,
    /// By a part of it.
    Undecided,
    /// A ratio without a control: never a pass.
    NoControl,
}

/// What a row says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Measured; there was nothing to judge it by.
    Measured,
    /// It meets its target.
    Met,
    /// It misses its target.
    Missed,
    /// It misses its critical target.
    Critical,
    /// Better than the baseline.
    Improved,
    /// A difference that matters would have been seen, and was not.
    Same,
    /// Worse than the baseline.
    Regressed,
    /// It cannot be said.
    Inconclusive,
    /// It must not be read: errors, wrong answers, a broken measurement.
    Invalid,
    /// Its bar is a ratio and its control is missing.
    NoControl,
}

/// Operations of ours and what did not go well.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Counts {
    /// Begun.
    pub ops: u64,
    /// Ended with the right answer.
    pub ok: u64,
    /// By error.
    pub errors: BTreeMap<String, u64>,
    /// Wrong answers.
    pub wrong: u64,
    /// Later than the limit.
    pub late: u64,
    /// Never begun.
    pub skipped: u64,
    /// Not ended when the slice ended.
    pub censored: u64,
    /// Above a minute.
    pub out_of_range: u64,
}

/// The guide's summary, in microseconds and operations per second. A percentile without a hundred
/// values beyond it is absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Summary {
    /// Of all latencies.
    pub mean_us: f64,
    /// Half are at most this.
    pub median_us: f64,
    /// 95 % are at most this.
    pub p95_us: Option<f64>,
    /// 99 % are at most this.
    pub p99_us: Option<f64>,
    /// The longest.
    pub max_us: f64,
    /// Operations per second.
    pub throughput: f64,
}

/// One block: each arm at mirrored places.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Round {
    /// From 1.
    pub block: usize,
    /// 1 for the first look, 2 for the second.
    #[serde(default = "first")]
    pub stage: u8,
    /// The order of the slices: `A B A2 A2 B A`; A is the control, B the subject, A2 the control
    /// again.
    pub order: String,
    /// The metric in the control's slices.
    pub a: Vec<f64>,
    /// In the subject's.
    pub b: Vec<f64>,
    /// In those of the control's second arm.
    pub a2: Vec<f64>,
    /// What disturbed it.
    #[serde(default)]
    pub flags: Vec<String>,
}

fn first() -> u8 {
    1
}

/// Latency under load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Curve {
    /// `http`.
    pub component: String,
    /// The endpoint.
    pub case: String,
    /// Subject or control, by name.
    pub side: String,
    /// Requests per second of the closed loop.
    pub ceiling: f64,
    /// Requests per second of the load client against a handler that does nothing.
    pub client_ceiling: f64,
    /// The highest rate at which P99 stays within the bound, nothing fails and 99 % of what is
    /// offered is answered.
    #[serde(default)]
    pub knee: Option<f64>,
    /// By offered rate.
    pub points: Vec<CurvePoint>,
}

/// One offered rate.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share of the ceiling.
    pub share: f64,
    /// Requests per second by the schedule.
    pub offered: f64,
    /// Requests per second that were answered rightly.
    pub answered: f64,
    /// Operations and what did not go well.
    pub counts: Counts,
    /// From the scheduled moment to the answer, unfinished ones included: P50, P99, P99.9, max in
    /// microseconds, by name.
    pub latency_us: BTreeMap<String, f64>,
    /// From the moment of sending to the answer.
    pub service_us: BTreeMap<String, f64>,
    /// From the scheduled moment to that of sending.
    pub lag_us: BTreeMap<String, f64>,
    /// The latencies, as HdrHistogram's compressed text.
    pub histogram: String,
    /// The service times.
    pub histogram_service: String,
    /// CPU microseconds per request by process.
    pub cpu: BTreeMap<String, f64>,
    /// Why the point must not be read; empty if it may be.
    #[serde(default)]
    pub flags: Vec<String>,
}

/// Cost as something grows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Growth {
    /// What grows: `questions`, `connections`, `keys`, `cache_bytes`.
    pub what: String,
    /// The component.
    pub component: String,
    /// The case.
    pub case: String,
    /// Size and CPU microseconds per operation by process.
    pub points: Vec<GrowthPoint>,
    /// The exponent of cost over size, by least squares on logs.
    pub exponent: f64,
    /// Where it bends first and why, in one sentence; absent where it does not.
    #[serde(default)]
    pub bend: Option<String>,
}

/// Cost at one size.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct GrowthPoint {
    /// How large.
    pub size: u64,
    /// CPU microseconds per operation by process.
    pub cpu: BTreeMap<String, f64>,
    /// P50 and P99 in microseconds, by name.
    pub latency_us: BTreeMap<String, f64>,
    /// What explains a bend: `shared_buffers_hit_ratio`, `index_depth`, …
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
}

/// Instructions of a hot path.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Instructions {
    /// The hot path.
    pub name: String,
    /// Per operation.
    pub per_op: f64,
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
