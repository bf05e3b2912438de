//! One arm for a short while.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Histogram, Tally};

/// What one arm did in one slice, and what that cost.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Slice {
    /// Operations with the right answer.
    pub operations: u64,
    /// From the first operation's begin to the last one's end, in seconds.
    pub wall_s: f64,
    /// CPU seconds by the name of the process: `client`, `server`, `postgres`, `redis`.
    pub cpu_s: BTreeMap<String, f64>,
    /// How often each error came.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// How many answers were wrong.
    #[serde(default)]
    pub wrong: u64,
    /// The latencies, as [`Histogram::encode`] writes them.
    #[serde(default)]
    pub latency: Option<String>,
    /// Further figures by name.
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
    /// What disturbed it, in words: `steal 4 %`, `autovacuum ran`.
    #[serde(default)]
    pub flags: Vec<String>,
}

impl Slice {
    /// From what the arm counted and what was measured around it.
    pub fn new(tally: &Tally, wall: Duration, cpu_s: BTreeMap<String, f64>) -> Slice {
        Slice {
            operations: tally.operations,
            wall_s: wall.as_secs_f64(),
            cpu_s,
            errors: tally.errors.clone(),
            wrong: tally.wrong,
            latency: tally.latencies().as_ref().map(Histogram::encode),
            figures: tally.figures.clone(),
            flags: Vec::new(),
        }
    }

    /// CPU microseconds per operation, summed over the processes named; none without operations.
    pub fn cpu_us_per_op(&self, processes: &[String]) -> Option<f64> {
        let seconds: f64 = processes.iter().filter_map(|it| self.cpu_s.get(it)).sum();
        self.per_op(seconds * 1e6)
    }

    /// Wall-clock operations per second; none without operations.
    pub fn throughput(&self) -> Option<f64> {
        self.per_op(1.0)
            .filter(|_| self.wall_s > 0.0)
            .map(|per_op| 1.0 / per_op / self.wall_s)
    }

    fn per_op(&self, sum: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
        let operations = self.operations as f64;
        (self.operations > 0).then(|| sum / operations)
    }
}
