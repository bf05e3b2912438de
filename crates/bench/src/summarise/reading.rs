//! The slices of a case, read: their figures by metric, their latencies merged.

use std::collections::{BTreeMap, BTreeSet};

use super::metric::{COUNTED, LATENCIES, is_percentile};
use crate::{
    ArmOf, Histogram, Measured, Slice,
    report::{Counts, Summary},
};

/// The longest latency that a histogram tells apart, in nanoseconds, to its precision.
const LONGEST_NS: u64 = 59_900_000_000;

/// A slice's figures by the name of their metric.
pub(super) struct ReadSlice {
    pub(super) arm: ArmOf,
    pub(super) figures: BTreeMap<String, f64>,
    pub(super) flags: Vec<String>,
}

/// A block's slices in their order.
pub(super) struct ReadBlock {
    pub(super) stage: u8,
    pub(super) slices: Vec<ReadSlice>,
}

/// What all slices of one side come to.
#[derive(Default)]
pub(super) struct SideTotal {
    pub(super) counts: Counts,
    /// CPU microseconds per operation by process.
    pub(super) cpu: BTreeMap<String, f64>,
    pub(super) latency: Option<Histogram>,
    pub(super) figures: BTreeMap<String, f64>,
    /// Processes that count, and whose CPU time was not read in some slice.
    pub(super) unread: BTreeSet<String>,
    /// Connections that were opened anew between and in slices.
    opened_anew: u64,
    wall_s: f64,
}

/// All of a case.
pub(super) struct Reading {
    pub(super) blocks: Vec<ReadBlock>,
    /// By the place of the side. A control's second arm counts with it.
    pub(super) sides: BTreeMap<usize, SideTotal>,
    /// The subject's latencies, block by block.
    pub(super) subject_latencies: Vec<Histogram>,
    /// Histograms that could not be read.
    pub(super) faults: Vec<String>,
}

impl Reading {
    pub(super) fn new(measured: &Measured) -> Reading {
        let processes: Vec<String> = measured
            .processes
            .iter()
            .map(|it| it.word().to_owned())
            .collect();
        let mut reading = Reading {
            blocks: Vec::new(),
            sides: BTreeMap::new(),
            subject_latencies: Vec::new(),
            faults: Vec::new(),
        };
        for block in &measured.blocks {
            let mut of_subject: Option<Histogram> = None;
            let mut slices = Vec::new();
            for (arm, slice) in &block.slices {
                let latency = reading.decode(slice);
                if let (ArmOf::Side(0), Some(latency)) = (arm, &latency) {
                    add_latency(&mut of_subject, latency);
                }
                slices.push(ReadSlice {
                    arm: *arm,
                    figures: figures(slice, &processes, latency.as_ref()),
                    flags: slice.flags.clone(),
                });
                reading.total(*arm, slice, &processes, latency.as_ref());
            }
            reading.subject_latencies.extend(of_subject);
            reading.blocks.push(ReadBlock {
                stage: block.stage,
                slices,
            });
        }
        for side in reading.sides.values_mut() {
            side.finish();
        }
        reading
    }

    fn decode(&mut self, slice: &Slice) -> Option<Histogram> {
        match Histogram::decode(slice.latency.as_deref()?) {
            Ok(latency) => Some(latency),
            Err(error) => {
                self.faults.push(error.to_string());
                None
            }
        }
    }

    fn total(
        &mut self,
        arm: ArmOf,
        slice: &Slice,
        processes: &[String],
        latency: Option<&Histogram>,
    ) {
        let (ArmOf::Side(side) | ArmOf::Again(side)) = arm;
        let total = self.sides.entry(side).or_default();
        total.add(slice, latency);
        if slice.operations > 0 {
            let unread = processes.iter().filter(|it| !slice.cpu_s.contains_key(*it));
            total.unread.extend(unread.cloned());
        }
    }
}

impl SideTotal {
    fn add(&mut self, slice: &Slice, latency: Option<&Histogram>) {
        let counts = &mut self.counts;
        let errors: u64 = slice.errors.values().sum();
        counts.ok += slice.operations;
        counts.wrong += slice.wrong;
        counts.ops += slice.operations + slice.wrong + errors;
        for (error, n) in &slice.errors {
            *counts.errors.entry(error.clone()).or_default() += n;
        }
        counts.late += whole(slice.figures.get("late"));
        counts.skipped += whole(slice.figures.get("skipped"));
        counts.censored += whole(slice.figures.get("censored"));
        for name in OPENED_ANEW {
            self.opened_anew += whole(slice.figures.get(name));
        }
        if let Some(latency) = latency {
            let at_bound = latency.recorded().filter(|it| it.0 >= LONGEST_NS);
            let at_bound: u64 = at_bound.map(|it| it.1).sum();
            counts.out_of_range += latency.out_of_range().max(at_bound);
            add_latency(&mut self.latency, latency);
        }
        // Seconds until all slices are in, then microseconds per operation.
        for (process, seconds) in &slice.cpu_s {
            *self.cpu.entry(process.clone()).or_default() += seconds;
        }
        self.wall_s += slice.wall_s;
        self.add_figures(slice);
    }

    /// The greatest of what ends in `_max`; of all else the sum, for the mean over operations or
    /// slices.
    fn add_figures(&mut self, slice: &Slice) {
        for (name, figure) in &slice.figures {
            let mine = self.figures.entry(name.clone()).or_insert(f64::NAN);
            *mine = if name.ends_with("_max") {
                figure.max(*mine)
            } else if mine.is_nan() {
                *figure
            } else {
                *mine + figure
            };
        }
        *self.figures.entry(SLICES.to_owned()).or_default() += 1.0;
    }

    fn finish(&mut self) {
        let operations = self.counts.ok as f64;
        if operations > 0.0 {
            for seconds in self.cpu.values_mut() {
                *seconds *= 1e6 / operations;
            }
        } else {
            self.cpu.clear();
        }
        let slices = self.figures.remove(SLICES).unwrap_or(1.0);
        for (name, figure) in &mut self.figures {
            if !name.ends_with("_max") {
                *figure /= slices;
            }
        }
        self.figures
            .retain(|name, _| !COUNTED.contains(&name.as_str()) && !is_percentile(name));
    }

    /// The guide's summary; none where no operation was timed.
    pub(super) fn summary(&self) -> Option<Summary> {
        let latency = self.latency.as_ref()?;
        let us = |it: std::time::Duration| it.as_secs_f64() * 1e6;
        let supported = |q| latency.quantile(q).filter(|_| latency.supports(q)).map(us);
        Some(Summary {
            mean_us: us(latency.mean()?),
            median_us: us(latency.quantile(0.5)?),
            p95_us: supported(0.95),
            p99_us: supported(0.99),
            max_us: us(latency.max()?),
            throughput: if self.wall_s > 0.0 {
                self.counts.ok as f64 / self.wall_s
            } else {
                0.0
            },
        })
    }

    /// What must not be read, in sentences; `whose` names the side.
    pub(super) fn faults(&self, whose: &str) -> Vec<String> {
        let mut faults: Vec<String> = self
            .counts
            .errors
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(error, n)| {
                format!(
                    "{whose}: `{error}` came {n} times: its answers do not count until it is gone"
                )
            })
            .collect();
        let Counts {
            wrong,
            out_of_range,
            ..
        } = self.counts;
        if wrong > 0 {
            faults.push(format!(
                "{whose}: {wrong} answers were wrong: correct it first"
            ));
        }
        if self.opened_anew > 0 {
            faults.push(format!(
                "{whose}: {} connections were opened anew, which costs more than what is measured: \
                 let the server keep idle ones longer",
                self.opened_anew
            ));
        }
        if out_of_range > 0 {
            faults.push(format!(
                "{whose}: {out_of_range} operations took over a minute, which the histogram does \
                 not tell apart: make the case smaller"
            ));
        }
        faults
    }
}

/// The load client's names for connections replaced before a slice, and in it.
const OPENED_ANEW: [&str; 2] = ["reopened", "reconnects"];

/// No slice has a figure of this name.
const SLICES: &str = "\u{0}slices";

fn whole(figure: Option<&f64>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, and not below zero"
    )]
    figure.map_or(0, |it| it.max(0.0).round() as u64)
}

fn add_latency(into: &mut Option<Histogram>, latency: &Histogram) {
    into.get_or_insert_default().merge(latency);
}

/// The figures of one slice. Those that cannot be computed are absent.
fn figures(
    slice: &Slice,
    processes: &[String],
    latency: Option<&Histogram>,
) -> BTreeMap<String, f64> {
    let mut figures = slice.figures.clone();
    figures.retain(|name, _| !COUNTED.contains(&name.as_str()));
    let mut put = |name: &str, figure: Option<f64>| {
        if let Some(figure) = figure {
            figures.insert(name.to_owned(), figure);
        }
    };
    put("cpu_per_op", slice.cpu_us_per_op(processes));
    put("throughput", slice.throughput());
    for (name, q) in LATENCIES {
        let seen = latency.and_then(|it| match q {
            Some(q) => it.quantile(q),
            None => it.mean(),
        });
        put(name, seen.map(|it| it.as_secs_f64() * 1e6));
    }
    figures
}
