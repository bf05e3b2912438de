//! The metric families: what the pools do is counted, what they hold is asked for at each scrape.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prometheus::{
    IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

#[cfg(feature = "postgres")]
use crate::postgres::Counters;
use crate::{ResourceStats, manager::Inner};

/// The metric families of the pools. Clones count together, and so do the managers that share one.
#[derive(Clone)]
pub struct PoolMetrics {
    #[cfg(feature = "postgres")]
    pub(crate) counters: Counters,
    held: Held,
}

/// The gauges, which are read from the pools at each scrape.
#[derive(Clone)]
struct Held {
    managers: Arc<Mutex<Vec<Weak<Inner>>>>,
    connections: IntGaugeVec,
    limit: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl PoolMetrics {
    /// Makes the families and registers them.
    ///
    /// # Errors
    ///
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<PoolMetrics, prometheus::Error> {
        let metrics = PoolMetrics::new()?;
        #[cfg(feature = "postgres")]
        metrics.counters.register(registry)?;
        registry.register(Box::new(metrics.held.clone()))?;
        Ok(metrics)
    }

    fn new() -> Result<PoolMetrics, prometheus::Error> {
        Ok(PoolMetrics {
            #[cfg(feature = "postgres")]
            counters: Counters::new()?,
            held: Held::new()?,
        })
    }

    pub(crate) fn watch(&self, manager: &Arc<Inner>) {
        let mut managers = self.held.managers();
        managers.retain(|it| it.strong_count() > 0);
        managers.push(Arc::downgrade(manager));
    }
}

impl Default for PoolMetrics {
    /// Families that no registry knows.
    fn default() -> PoolMetrics {
        PoolMetrics::new().expect("the names and labels are valid and fixed")
    }
}

impl fmt::Debug for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMetrics").finish_non_exhaustive()
    }
}

impl Held {
    fn new() -> Result<Held, prometheus::Error> {
        let gauge = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        Ok(Held {
            managers: Arc::default(),
            connections: gauge(
                "ruleiq_pools_connections",
                "Connections by server and state.",
                &["resource", "state"],
            )?,
            limit: gauge(
                "ruleiq_pools_connections_limit",
                "The most connections there may be.",
                &["resource"],
            )?,
            waiting: gauge(
                "ruleiq_pools_waiting",
                "Callers that wait for a connection, or commands that wait to be sent.",
                &["resource"],
            )?,
        })
    }

    fn managers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Inner>>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.managers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn families(&self) -> [&IntGaugeVec; 3] {
        [&self.connections, &self.limit, &self.waiting]
    }

    fn add(&self, resource: &str, stats: Option<ResourceStats>) {
        let Some(stats) = stats else { return };
        let add = |family: &IntGaugeVec, labels: &[&str], count: usize| {
            family
                .with_label_values(labels)
                .add(i64::try_from(count).unwrap_or(i64::MAX));
        };
        for (state, count) in [
            ("checked_in", stats.checked_in),
            ("checked_out", stats.checked_out),
            ("closing", stats.closing),
            ("connecting", stats.connecting),
        ] {
            add(&self.connections, &[resource, state], count);
        }
        add(&self.limit, &[resource], stats.size + stats.max_overflow);
        add(&self.waiting, &[resource], stats.waiting);
    }
}

impl Collector for Held {
    fn desc(&self) -> Vec<&Desc> {
        self.families()
            .into_iter()
            .flat_map(Collector::desc)
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // The lock makes scrapes take turns: between reset and read a gauge is half a sum.
        let managers = self.managers();
        for family in self.families() {
            family.reset();
        }
        for manager in managers.iter().filter_map(Weak::upgrade) {
            let stats = manager.stats();
            self.add("database", stats.database);
            self.add("redis", stats.redis);
        }
        self.families()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
