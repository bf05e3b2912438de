//! The table of operations, and their export to Prometheus.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use prometheus::{
    IntCounter,
    core::{Collector, Desc},
    proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::{
    buckets::BOUNDS_NS,
    histogram::Snapshot,
    operation::{Operation, Outcome},
};

/// How many operations have a name of their own; the rest share [`OTHER`].
pub const MAX_OPERATIONS: usize = 512;

/// The longest name of an operation, in bytes.
pub const MAX_NAME_BYTES: usize = 100;

/// The name shared by the operations beyond [`MAX_OPERATIONS`], and by those whose name is empty or
/// longer than [`MAX_NAME_BYTES`].
pub const OTHER: &str = "_other";

#[derive(Debug)]
pub(crate) struct Operations {
    named: RwLock<HashMap<Box<str>, Operation>>,
    other: Operation,
    overflow: IntCounter,
    duration: Desc,
}

impl Operations {
    pub(crate) fn new() -> Result<Operations, prometheus::Error> {
        Ok(Operations {
            named: RwLock::default(),
            other: Operation::new(OTHER),
            overflow: IntCounter::new(
                "ruleiq_metrics_operations_overflow_total",
                "Look-ups of operations that got the shared operation `_other`.",
            )?,
            duration: Desc::new(
                "ruleiq_operation_duration_seconds".into(),
                "How long operations took.".into(),
                vec!["operation".into(), "outcome".into()],
                HashMap::new(),
            )?,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Operation {
        if let Some(found) = self.find(name) {
            return found;
        }
        if !is_valid(name) {
            self.overflow.inc();
            return self.other.clone();
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MAX_OPERATIONS && !named.contains_key(name) {
            self.overflow.inc();
            return self.other.clone();
        }
        named
            .entry(name.into())
            .or_insert_with(|| Operation::new(name))
            .clone()
    }

    /// Every operation that was asked for, by name.
    pub(crate) fn all(&self) -> Vec<Operation> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = named.values().cloned().collect();
        drop(named);
        if self.other.is_recorded() {
            all.push(self.other.clone());
        }
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    fn find(&self, name: &str) -> Option<Operation> {
        if name == OTHER {
            return Some(self.other.clone());
        }
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        named.get(name).cloned()
    }
}

impl Collector for Operations {
    fn desc(&self) -> Vec<&Desc> {
        let mut descs = self.overflow.desc();
        descs.push(&self.duration);
        descs
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut durations = MetricFamily::default();
        durations.set_name(self.duration.fq_name.clone());
        durations.set_help(self.duration.help.clone());
        durations.set_field_type(MetricType::HISTOGRAM);
        durations.set_metric(self.all().iter().flat_map(metrics_of).collect());

        let mut families = self.overflow.collect();
        families.push(durations);
        families
    }
}

/// Whether an operation can be reported by this name. Prometheus takes an empty label for none.
pub(crate) const fn is_valid(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES
}

/// One histogram for each outcome, those that never happened too: a series that begins with its
/// first error hides that error from `rate()`.
fn metrics_of(operation: &Operation) -> Vec<Metric> {
    let labelled = |(outcome, snapshot): (Outcome, Snapshot)| {
        let mut metric = Metric::from_label(vec![
            label("operation", operation.name()),
            label("outcome", outcome.as_str()),
        ]);
        metric.set_histogram(histogram_of(&snapshot));
        metric
    };
    let outcomes = Outcome::ALL.into_iter().zip(operation.snapshots());
    outcomes.map(labelled).collect()
}

#[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53 ns")]
fn histogram_of(snapshot: &Snapshot) -> Histogram {
    let bucket = |(bound_ns, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound_ns as f64 / 1e9);
        bucket.set_cumulative_count(count);
        bucket
    };
    let buckets = BOUNDS_NS.into_iter().zip(snapshot.cumulative());
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.map(bucket).collect());
    histogram.set_sample_count(snapshot.count());
    histogram.set_sample_sum(snapshot.sum().as_secs_f64());
    histogram
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.into());
    label.set_value(value.into());
    label
}
