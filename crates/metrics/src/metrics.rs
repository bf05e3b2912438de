//! The handle that everything is recorded and read through.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::{Registry, TextEncoder, core::Collector, proto::MetricFamily};

use crate::{
    operation::Operation,
    operations::Operations,
    summary::{OperationSummary, SlowOperation},
};

/// A registry and the operations that it exports. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    operations: Arc<Operations>,
    started: Instant,
}

/// The registry wants to own what it collects from.
struct Exported(Arc<Operations>);

impl Metrics {
    /// Makes a registry of its own.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail")]
    pub fn new() -> Metrics {
        Metrics::with_registry(Registry::new())
            .expect("the names are valid and an empty registry has none of them")
    }

    /// Exports operations through a registry that exists.
    ///
    /// # Errors
    ///
    /// When the registry exports operations already.
    pub fn with_registry(registry: Registry) -> Result<Metrics, prometheus::Error> {
        let operations = Arc::new(Operations::new()?);
        registry.register(Box::new(Exported(Arc::clone(&operations))))?;
        Ok(Metrics {
            registry,
            operations,
            started: Instant::now(),
        })
    }

    /// Where other crates register what they count.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Resolves the operation of this name, which is made where there is none.
    ///
    /// It takes a lock and allocates: resolve once and keep the handle. A name is one of a fixed
    /// set, never a part of the input: beyond [`MAX_OPERATIONS`](crate::MAX_OPERATIONS), or where
    /// the name is empty or longer than [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES), the operation is
    /// [`OTHER`](crate::OTHER), and `ruleiq_metrics_operations_overflow_total` counts it.
    pub fn operation(&self, name: &str) -> Operation {
        self.operations.get(name)
    }

    /// What each operation that has run took since the start, by name.
    pub fn summary(&self) -> Vec<OperationSummary> {
        let since_start = self.started.elapsed();
        let all = self.operations.all();
        let summaries = all
            .iter()
            .filter_map(|operation| OperationSummary::of(operation, since_start));
        summaries.collect()
    }

    /// The operations that took longer than the threshold at least once since the start: first the
    /// one that did so most often. There are at most as many as there are operations.
    pub fn slow_operations(&self, threshold: Duration) -> Vec<SlowOperation> {
        let all = self.operations.all();
        let slow = all
            .iter()
            .filter_map(|operation| SlowOperation::of(operation, threshold));
        let mut slow: Vec<_> = slow.collect();
        slow.sort_by_key(|it| Reverse((it.slow, it.max)));
        slow
    }

    /// All that the registry collects, in Prometheus's text format 0.0.4
    /// ([`prometheus::TEXT_FORMAT`]).
    ///
    /// # Errors
    ///
    /// When a collector that somebody registered gives a family without a name.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Collector for Exported {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}
