//! One metric of one case, and what is said of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Role, TargetOf};

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
    /// Why the comparison that was asked for never took place. Such a row is undecided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
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
    /// Ours, as `HdrHistogram`'s compressed text.
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
    /// How near to a bound it can be judged at all, as a share.
    #[serde(default)]
    pub finest: f64,
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

impl Counts {
    /// Takes in those of further operations.
    pub fn add(&mut self, other: &Counts) {
        self.ops += other.ops;
        self.ok += other.ok;
        for (error, n) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += n;
        }
        self.wrong += other.wrong;
        self.late += other.late;
        self.skipped += other.skipped;
        self.censored += other.censored;
        self.out_of_range += other.out_of_range;
    }
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
    /// In those of the earlier revision, where it runs in the same blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<f64>,
    /// What disturbed it.
    #[serde(default)]
    pub flags: Vec<String>,
}

fn first() -> u8 {
    1
}
