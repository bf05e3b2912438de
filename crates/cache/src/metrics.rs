//! The metric families of a cache, which are also the counters behind its [stats](crate::Stats).

use std::sync::{Arc, OnceLock, Weak};

use prometheus::{
    CounterVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{Error, manager::Inner, payload::Unreadable, prefixes::Counts};

/// From a tenth of a millisecond to ten seconds.
const BUCKETS: [f64; 11] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 2.5, 10.0,
];

/// What one [`CacheManager`](crate::CacheManager) counts. Two of them need two, in two registries.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    pub(crate) hits: IntCounterVec,
    pub(crate) stale: IntCounterVec,
    pub(crate) misses: IntCounterVec,
    pub(crate) loads: IntCounterVec,
    pub(crate) load_time: CounterVec,
    pub(crate) load_duration: Histogram,
    pub(crate) refreshes: IntCounter,
    pub(crate) refreshes_skipped: IntCounter,
    pub(crate) refused_fills: IntCounterVec,
    /// Calls that went around the cache, as a transaction was open.
    pub(crate) bypassed: IntCounter,
    /// Of another schema, and damaged ones.
    unreadable: [IntCounter; 2],
    pub(crate) unencodable: IntCounter,
    pub(crate) rejected_keys: IntCounter,
    pub(crate) rejected_values: IntCounter,
    pub(crate) evictions: IntCounterVec,
    pub(crate) heard: IntCounter,
    flushes: Flushes,
    pub(crate) redis_duration: Histogram,
    redis_errors: RedisErrors,
    /// The cache whose state the gauges show.
    cache: Arc<OnceLock<Weak<Inner>>>,
}

#[derive(Clone, Debug)]
struct RedisErrors {
    timed_out: IntCounter,
    unavailable: IntCounter,
    refused: IntCounter,
}

#[derive(Clone, Debug)]
struct Flushes {
    tracking_begun: IntCounter,
    tracking_lost: IntCounter,
    lagged: IntCounter,
    tags: IntCounter,
}

/// Why all values leave the first tier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flush {
    TrackingBegun,
    TrackingLost,
    /// More was told than could be heard.
    Lagged,
    /// There were too many tags.
    Tags,
}

/// Gauges that are read when somebody asks.
struct Gauges {
    cache: Arc<OnceLock<Weak<Inner>>>,
    l1_entries: IntGauge,
    l1_size: IntGauge,
    pending: IntGauge,
    redis_up: IntGauge,
    tracking: IntGauge,
}

impl CacheMetrics {
    /// Makes the families and registers them.
    ///
    /// # Errors
    ///
    /// When the registry has families of these names already.
    pub fn register(registry: &Registry) -> Result<CacheMetrics, prometheus::Error> {
        let metrics = CacheMetrics::build(Some(registry))?;
        registry.register(Box::new(Gauges::of(Arc::clone(&metrics.cache))?))?;
        Ok(metrics)
    }

    fn build(registry: Option<&Registry>) -> Result<CacheMetrics, prometheus::Error> {
        let families = Families(registry);
        let [refreshes, refreshes_skipped] = families.counters(
            "refreshes_total",
            "Loads in the background for a value that was there, and those that too many others left out.",
            ("outcome", ["begun", "skipped"]),
        )?;
        let [rejected_keys, rejected_values] = families.counters(
            "rejected_total",
            "Keys out of bounds that were read, and loaded values that are too large to be kept.",
            ("what", ["key", "value"]),
        )?;
        let unreadable = families.counters(
            "unreadable_values_total",
            "Values in Redis whose type has changed since they were written, and damaged ones.",
            ("reason", ["schema", "damaged"]),
        )?;
        let metrics = CacheMetrics {
            hits: families.by(
                "hits_total",
                "Look-ups that found a value.",
                &["tier", "prefix"],
            )?,
            stale: families.by(
                "stale_total",
                "Look-ups that were given a value whose time was up.",
                &["prefix"],
            )?,
            misses: families.by("misses_total", "Look-ups that found no value.", &["prefix"])?,
            loads: families.by("loads_total", "Loads that ended.", &["outcome", "prefix"])?,
            load_time: families.registered(CounterVec::new(
                Opts::new(name("load_seconds_total"), "What loads took in all."),
                &["prefix"],
            )?)?,
            load_duration: families.histogram("load_duration_seconds", "What a load took.")?,
            refreshes,
            refreshes_skipped,
            refused_fills: families.by(
                "refused_fills_total",
                "Values that were not stored because an invalidation had overtaken them.",
                &["prefix"],
            )?,
            bypassed: families.counter(
                "bypassed_total",
                "Calls of cached functions that went around the cache, as a transaction was open.",
            )?,
            unreadable,
            unencodable: families.counter(
                "unencodable_values_total",
                "Loaded values that cannot be encoded and were not stored.",
            )?,
            rejected_keys,
            rejected_values,
            evictions: families.by(
                "evictions_total",
                "Values that left the process's memory for lack of room.",
                &["prefix"],
            )?,
            heard: families.counter(
                "heard_invalidations_total",
                "Changes of values in Redis that this process was told of.",
            )?,
            flushes: Flushes::of(&families)?,
            redis_duration: families.histogram("redis_duration_seconds", "What a command took.")?,
            redis_errors: RedisErrors::of(&families)?,
            cache: Arc::default(),
        };
        Ok(metrics)
    }

    /// The counters of a prefix of keys.
    pub(crate) fn of_prefix(&self, prefix: &str) -> Counts {
        Counts::new(prefix, self)
    }

    /// Shows this cache's state in the gauges.
    pub(crate) fn observe(&self, cache: Weak<Inner>) {
        if self.cache.set(cache).is_err() {
            tracing::warn!("two caches share their metrics: the gauges show the first one's state");
        }
    }

    pub(crate) fn count_redis_error(&self, error: &Error) {
        let errors = &self.redis_errors;
        match error {
            Error::TimedOut { .. } => errors.timed_out.inc(),
            Error::Refused { .. } => errors.refused.inc(),
            _ => errors.unavailable.inc(),
        }
    }

    pub(crate) fn count_unreadable(&self, why: Unreadable) {
        let [schema, damaged] = &self.unreadable;
        match why {
            Unreadable::Schema => schema.inc(),
            Unreadable::Damaged => damaged.inc(),
        }
    }

    /// Values whose type has changed, and damaged ones.
    pub(crate) fn unreadable(&self) -> [u64; 2] {
        self.unreadable.each_ref().map(IntCounter::get)
    }

    pub(crate) fn redis_errors(&self) -> u64 {
        let errors = &self.redis_errors;
        errors.timed_out.get() + errors.unavailable.get() + errors.refused.get()
    }

    pub(crate) fn flushed(&self, why: Flush) {
        let flushes = &self.flushes;
        match why {
            Flush::TrackingBegun => flushes.tracking_begun.inc(),
            Flush::TrackingLost => flushes.tracking_lost.inc(),
            Flush::Lagged => flushes.lagged.inc(),
            Flush::Tags => flushes.tags.inc(),
        }
    }

    pub(crate) fn flushes(&self) -> u64 {
        let flushes = &self.flushes;
        let tracking = flushes.tracking_begun.get() + flushes.tracking_lost.get();
        tracking + flushes.lagged.get() + flushes.tags.get()
    }
}

impl RedisErrors {
    fn of(families: &Families<'_>) -> Result<RedisErrors, prometheus::Error> {
        let [timed_out, unavailable, refused] = families.counters(
            "redis_errors_total",
            "Commands that Redis did not do.",
            ("kind", ["timed_out", "unavailable", "refused"]),
        )?;
        Ok(RedisErrors {
            timed_out,
            unavailable,
            refused,
        })
    }
}

impl Flushes {
    fn of(families: &Families<'_>) -> Result<Flushes, prometheus::Error> {
        let [tracking_begun, tracking_lost, lagged, tags] = families.counters(
            "flushes_total",
            "Times that all values left the process's memory.",
            (
                "cause",
                ["tracking_begun", "tracking_lost", "lagged", "tags"],
            ),
        )?;
        Ok(Flushes {
            tracking_begun,
            tracking_lost,
            lagged,
            tags,
        })
    }
}

impl Default for CacheMetrics {
    /// Counters that no registry shows.
    fn default() -> CacheMetrics {
        CacheMetrics::build(None).expect("the names are valid, and nothing is registered")
    }
}

/// Makes the families, and registers them where there is a registry.
struct Families<'a>(Option<&'a Registry>);

impl Families<'_> {
    fn counter(&self, noun: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.registered(IntCounter::new(name(noun), help)?)
    }

    /// One of each value of a label.
    fn counters<const N: usize>(
        &self,
        noun: &str,
        help: &str,
        (label, values): (&str, [&str; N]),
    ) -> Result<[IntCounter; N], prometheus::Error> {
        let family = self.registered(IntCounterVec::new(Opts::new(name(noun), help), &[label])?)?;
        Ok(values.map(|it| family.with_label_values(&[it])))
    }

    fn by(
        &self,
        noun: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.registered(IntCounterVec::new(Opts::new(name(noun), help), labels)?)
    }

    fn histogram(&self, noun: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(name(noun), help).buckets(BUCKETS.to_vec());
        self.registered(Histogram::with_opts(options)?)
    }

    fn registered<C: Collector + Clone + 'static>(
        &self,
        family: C,
    ) -> Result<C, prometheus::Error> {
        if let Some(registry) = self.0 {
            registry.register(Box::new(family.clone()))?;
        }
        Ok(family)
    }
}

impl Gauges {
    fn of(cache: Arc<OnceLock<Weak<Inner>>>) -> Result<Gauges, prometheus::Error> {
        let gauge = |noun, help: &str| IntGauge::new(name(noun), help);
        Ok(Gauges {
            cache,
            l1_entries: gauge("l1_entries", "Values in the process's memory.")?,
            l1_size: gauge("l1_size_bytes", "Their encoded size, with their keys.")?,
            pending: gauge(
                "pending_invalidations",
                "Keys and patterns that Redis has not been told of yet.",
            )?,
            redis_up: gauge("redis_up", "Whether Redis has answered lately.")?,
            tracking: gauge("tracking", "Whether Redis tells of every change.")?,
        })
    }

    fn all(&self) -> [&IntGauge; 5] {
        [
            &self.l1_entries,
            &self.l1_size,
            &self.pending,
            &self.redis_up,
            &self.tracking,
        ]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(cache) = self.cache.get().and_then(Weak::upgrade) else {
            return Vec::new();
        };
        let stats = cache.stats();
        let whole = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
        self.l1_entries.set(whole(stats.l1_entries));
        self.l1_size.set(whole(stats.l1_bytes));
        self.pending.set(whole(stats.pending_invalidations));
        self.redis_up
            .set(i64::from(stats.redis_available == Some(true)));
        self.tracking.set(i64::from(stats.tracking == Some(true)));
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

fn name(noun: &str) -> String {
    format!("ruleiq_cache_{noun}")
}
