//! What was measured along an axis: load, size; and what was counted beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Counts;

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
    /// Further slices of the rate at which a target is judged.
    #[serde(default)]
    pub repeats: Vec<CurvePoint>,
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
    /// The latencies, as `HdrHistogram`'s compressed text.
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
    /// The exponent of cost over size, by least squares on logs; one size has none.
    pub exponent: Option<f64>,
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
