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
            figures: finite(&tally.figures),
            flags: Vec::new(),
        }
    }

    /// CPU microseconds per operation, summed over the processes named; none without operations, and
    /// where one of the processes has no clock: a part of the cost would pass for all of it.
    pub fn cpu_us_per_op(&self, processes: &[String]) -> Option<f64> {
        let seconds = processes.iter().map(|it| self.cpu_s.get(it));
        let seconds = seconds.sum::<Option<f64>>()?;
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

/// What is not finite is no figure, and JSON has no word for it.
fn finite(figures: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let finite = figures.iter().filter(|it| it.1.is_finite());
    finite.map(|(name, it)| (name.clone(), *it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(tally: &Tally) -> Slice {
        let cpu_s = [("client".to_owned(), 0.25)].into();
        Slice::new(tally, Duration::from_secs(1), cpu_s)
    }

    #[test]
    fn a_process_without_a_clock_leaves_no_cost() {
        let tally = Tally {
            operations: 1_000,
            ..Tally::default()
        };
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            slice(&tally).cpu_us_per_op(&names)
        };
        assert_eq!(of(&["client"]), Some(250.0));
        assert_eq!(of(&["client", "postgres"]), None);
    }

    #[test]
    fn what_is_not_finite_is_no_figure() {
        let mut tally = Tally::default();
        for (name, figure) in [("a", f64::NAN), ("b", f64::INFINITY), ("c", 1.0)] {
            tally.figures.insert(name.to_owned(), figure);
        }
        let names: Vec<String> = slice(&tally).figures.into_keys().collect();
        assert_eq!(names, ["c"]);
    }
}
