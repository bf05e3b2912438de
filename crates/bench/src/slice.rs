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
    /// What else the machine did meanwhile.
    #[serde(default)]
    pub beside: Beside,
}

/// What a machine did beside a slice, in CPU seconds. The kernel counts most of it in hundredths of a
/// second, so that only sums of slices say much.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Beside {
    /// There were so many.
    pub all_s: f64,
    /// Spent by anybody.
    pub busy_s: f64,
    /// Taken by the host.
    pub steal_s: f64,
    /// Spent by processes of the other sides, which have nothing to do.
    pub idle_s: f64,
    /// How often the control group was throttled.
    pub throttled: u64,
}

/// Steal above this share of all processor time is told.
const STEAL: f64 = 0.02;
/// Processor time of programs that have no part in the slice, above this share, is told.
const OTHERS: f64 = 0.15;
/// Processor time of the other sides above this share of the slice is told.
const IDLE: f64 = 0.02;

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
            beside: Beside::default(),
        }
    }

    /// One slice from its pieces, between which others had theirs. None of none.
    ///
    /// Sums are sums; a figure is that of the piece's operations, and one that ends in `_max` the
    /// greatest. A process whose clock was not read in one piece has none. Tells what disturbed it.
    pub fn join(mut pieces: Vec<Slice>) -> Option<Slice> {
        let latencies = pieces.iter_mut().filter_map(|it| it.latency.take());
        let latency = merged(latencies);
        let mut pieces = pieces.into_iter();
        let mut joined = pieces.next()?;
        for piece in pieces {
            joined.take_in(piece);
        }
        joined.latency = latency;
        let told = joined.beside.flags(&joined);
        joined.flags.extend(told);
        Some(joined)
    }

    fn take_in(&mut self, other: Slice) {
        self.take_in_figures(&other);
        self.operations += other.operations;
        self.wall_s += other.wall_s;
        self.cpu_s.retain(|name, _| other.cpu_s.contains_key(name));
        for (name, seconds) in &mut self.cpu_s {
            *seconds += other.cpu_s[name];
        }
        for (error, n) in other.errors {
            *self.errors.entry(error).or_default() += n;
        }
        self.wrong += other.wrong;
        for flag in other.flags {
            if !self.flags.contains(&flag) {
                self.flags.push(flag);
            }
        }
        self.beside.add(other.beside);
    }

    fn take_in_figures(&mut self, other: &Slice) {
        #[expect(clippy::cast_precision_loss, reason = "counts of operations")]
        let (mine, its) = (self.operations as f64, other.operations as f64);
        for (name, figure) in &other.figures {
            let Some(so_far) = self.figures.get_mut(name) else {
                self.figures.insert(name.clone(), *figure);
                continue;
            };
            if name.ends_with("_max") {
                *so_far = so_far.max(*figure);
            } else if mine + its > 0.0 {
                *so_far = (*so_far * mine + figure * its) / (mine + its);
            }
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

impl Beside {
    fn add(&mut self, other: Beside) {
        self.all_s += other.all_s;
        self.busy_s += other.busy_s;
        self.steal_s += other.steal_s;
        self.idle_s += other.idle_s;
        self.throttled += other.throttled;
    }

    /// What a reader of the slice has to know.
    fn flags(&self, slice: &Slice) -> Vec<String> {
        let ours_s: f64 = slice.cpu_s.values().sum();
        let of_all = |seconds: f64| seconds / self.all_s.max(f64::MIN_POSITIVE);
        let mut flags = Vec::new();
        let (steal, others) = (of_all(self.steal_s), of_all(self.busy_s - ours_s));
        if steal > STEAL {
            flags.push(format!("steal {:.0} %", steal * 100.0));
        }
        if others > OTHERS {
            flags.push(format!("other programs {:.0} %", others * 100.0));
        }
        if self.idle_s > IDLE * slice.wall_s {
            let ms = self.idle_s * 1e3;
            flags.push(format!("servers of other sides used {ms:.0} ms"));
        }
        if self.throttled > 0 {
            flags.push(format!("throttled {} times", self.throttled));
        }
        flags
    }
}

/// All as one; what cannot be read is left out.
fn merged(texts: impl Iterator<Item = String>) -> Option<String> {
    let mut texts = texts.peekable();
    texts.peek()?;
    let mut merged = Histogram::new();
    for text in texts {
        if let Ok(it) = Histogram::decode(&text) {
            merged.merge(&it);
        }
    }
    Some(merged.encode())
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

    fn piece(operations: u64, cpu_s: &[(&str, f64)]) -> Slice {
        let mut latency = Histogram::new();
        for _ in 0..operations {
            latency.record(Duration::from_micros(operations));
        }
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let figure = operations as f64;
        Slice {
            operations,
            wall_s: 0.04,
            cpu_s: cpu_s.iter().map(|it| (it.0.to_owned(), it.1)).collect(),
            errors: [("refused".to_owned(), 1)].into(),
            wrong: 1,
            latency: Some(latency.encode()),
            figures: [("wait_us".into(), figure), ("size_max".into(), figure)].into(),
            flags: vec!["not_steady".to_owned()],
            beside: Beside {
                all_s: 0.08,
                busy_s: 0.05,
                steal_s: 0.001,
                idle_s: 0.0,
                throttled: 0,
            },
        }
    }

    #[test]
    fn a_slice_is_the_sum_of_its_pieces() {
        let pieces = vec![
            piece(100, &[("client", 0.02), ("redis", 0.01)]),
            piece(300, &[("client", 0.03)]),
        ];
        let slice = Slice::join(pieces).unwrap();
        assert_eq!((slice.operations, slice.wrong), (400, 2));
        assert_eq!(slice.errors["refused"], 2);
        assert!((slice.wall_s - 0.08).abs() < 1e-9);
        // Redis has no clock in one of them: a part would pass for all of it.
        assert_eq!(slice.cpu_s.len(), 1);
        assert!((slice.cpu_s["client"] - 0.05).abs() < 1e-9);
        assert_eq!(slice.figures["size_max"], 300.0);
        assert!((slice.figures["wait_us"] - 250.0).abs() < 1e-9);
        let latency = Histogram::decode(&slice.latency.unwrap()).unwrap();
        assert_eq!(latency.len(), 400);
        // Of 0.16 s, others had 0.1 less our 0.05.
        assert_eq!(slice.flags, ["not_steady", "other programs 31 %"]);
        assert!(Slice::join(Vec::new()).is_none());
    }

    #[test]
    fn what_disturbed_a_slice_is_told_of_the_whole() {
        let mut quiet = piece(1, &[("client", 0.05)]);
        quiet.flags.clear();
        let stolen = Beside {
            steal_s: 0.009,
            idle_s: 0.003,
            throttled: 2,
            ..quiet.beside
        };
        let slice = Slice {
            beside: stolen,
            ..quiet.clone()
        };
        let told = Slice::join(vec![quiet.clone(), slice]).unwrap().flags;
        assert_eq!(
            told,
            [
                "steal 6 %",
                "servers of other sides used 3 ms",
                "throttled 2 times"
            ]
        );
        assert!(Slice::join(vec![quiet]).unwrap().flags.is_empty());
    }
}
