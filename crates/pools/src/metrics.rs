//! The metric families: what the pools do is counted, what they hold is asked for at each scrape.

#[cfg(feature = "postgres")]
mod reading;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

#[cfg(feature = "postgres")]
use prometheus::Gauge;
use prometheus::{
    GaugeVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

#[cfg(feature = "postgres")]
use self::reading::Reading;
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

/// What is read from the pools at each scrape.
#[derive(Clone)]
struct Held {
    managers: Arc<Mutex<Vec<Weak<Inner>>>>,
    connections: IntGaugeVec,
    limit: IntGaugeVec,
    waiting: IntGaugeVec,
    oldest_wait: GaugeVec,
    #[cfg(feature = "postgres")]
    database: Database,
}

/// What only the database's pool has.
#[cfg(feature = "postgres")]
#[derive(Clone)]
struct Database {
    oldest_transaction: Gauge,
    bulkhead_connections: IntGaugeVec,
    bulkhead_waiting: IntGaugeVec,
    reading: Reading,
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
        Ok(Held {
            managers: Arc::default(),
            connections: gauges(
                "ruleiq_pools_connections",
                "Connections by server and state.",
                &["resource", "state"],
            )?,
            limit: gauges(
                "ruleiq_pools_connections_limit",
                "The most connections there may be now.",
                &["resource"],
            )?,
            waiting: gauges(
                "ruleiq_pools_waiting",
                "Callers that wait for a connection, or commands that wait to be sent.",
                &["resource"],
            )?,
            oldest_wait: GaugeVec::new(
                Opts::new(
                    "ruleiq_pools_oldest_wait_seconds",
                    "How long the first of the callers that wait has waited.",
                ),
                &["resource"],
            )?,
            #[cfg(feature = "postgres")]
            database: Database::new()?,
        })
    }

    fn managers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Inner>>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.managers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn families(&self) -> Vec<&dyn Collector> {
        #[cfg_attr(
            not(feature = "postgres"),
            expect(unused_mut, reason = "the database adds its own")
        )]
        let mut families: Vec<&dyn Collector> = vec![
            &self.connections,
            &self.limit,
            &self.waiting,
            &self.oldest_wait,
        ];
        #[cfg(feature = "postgres")]
        families.extend(self.database.families());
        families
    }

    fn reset(&self) {
        for family in [&self.connections, &self.limit, &self.waiting] {
            family.reset();
        }
        self.oldest_wait.reset();
        #[cfg(feature = "postgres")]
        self.database.reset();
    }

    fn add(&self, resource: &str, stats: Option<ResourceStats>) {
        let Some(stats) = stats else { return };
        for (state, count) in [
            ("checked_in", stats.checked_in),
            ("checked_out", stats.checked_out),
            ("closing", stats.closing),
            ("connecting", stats.connecting),
        ] {
            add(&self.connections, &[resource, state], count);
        }
        add(&self.limit, &[resource], stats.limit());
        add(&self.waiting, &[resource], stats.waiting);
        let oldest = self.oldest_wait.with_label_values(&[resource]);
        oldest.set(oldest.get().max(stats.oldest_wait.as_secs_f64()));
    }
}

#[cfg(feature = "postgres")]
impl Database {
    fn new() -> Result<Database, prometheus::Error> {
        Ok(Database {
            oldest_transaction: Gauge::new(
                "ruleiq_pools_oldest_transaction_seconds",
                "How long the oldest open transaction has been open.",
            )?,
            bulkhead_connections: gauges(
                "ruleiq_pools_bulkhead_connections",
                "Connections that the callers of a bulkhead have.",
                &["bulkhead"],
            )?,
            bulkhead_waiting: gauges(
                "ruleiq_pools_bulkhead_waiting",
                "Callers of a bulkhead that wait for a connection.",
                &["bulkhead"],
            )?,
            reading: Reading::new()?,
        })
    }

    fn families(&self) -> Vec<&dyn Collector> {
        let mut families: Vec<&dyn Collector> = vec![
            &self.oldest_transaction,
            &self.bulkhead_connections,
            &self.bulkhead_waiting,
        ];
        families.extend(self.reading.families());
        families
    }

    fn reset(&self) {
        self.oldest_transaction.set(0.0);
        self.bulkhead_connections.reset();
        self.bulkhead_waiting.reset();
        self.reading.reset();
    }

    fn add(&self, manager: &Inner) {
        if let Some(age) = manager.oldest_transaction() {
            let oldest = self.oldest_transaction.get().max(age.as_secs_f64());
            self.oldest_transaction.set(oldest);
        }
        for bulkhead in manager.bulkheads() {
            let name = bulkhead.name.as_str();
            add(&self.bulkhead_connections, &[name], bulkhead.checked_out);
            add(&self.bulkhead_waiting, &[name], bulkhead.waiting);
        }
        self.reading.add(&manager.stats());
    }
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

fn add(family: &IntGaugeVec, labels: &[&str], count: usize) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    family.with_label_values(labels).add(count);
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
        self.reset();
        for manager in managers.iter().filter_map(Weak::upgrade) {
            let stats = manager.stats();
            self.add("database", stats.database);
            self.add("redis", stats.redis);
            #[cfg(feature = "postgres")]
            self.database.add(&manager);
        }
        self.families()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
