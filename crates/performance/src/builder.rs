//! Putting the endpoints together.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::{Error, HttpRequest};
use ruleiq_cache::CacheManager;
use ruleiq_metrics::Metrics;
use ruleiq_pools::PoolManager;
use ruleiq_web::NPlusOne;

use crate::{Performance, benchmark::Benchmark, performance::Inner, routes::optimize::Maintenance};

/// Decides whether a request may see what only administrators may.
pub(crate) type AdminGuard = dyn Fn(&HttpRequest) -> Result<(), Error> + Send + Sync;

/// Options of [`Performance`].
#[must_use]
pub struct Builder {
    pools: Option<PoolManager>,
    monitor: Option<PoolManager>,
    maintenance: Option<PoolManager>,
    cache: Option<CacheManager>,
    metrics: Option<Metrics>,
    admin: Option<Arc<AdminGuard>>,
    slow_threshold: Duration,
    read_limit: Duration,
    benchmark: Benchmark,
    n_plus_one: Option<NPlusOne>,
}

/// Why the endpoints could not be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Something that has no default was not given.
    #[error("`{option}` was not given: call `Performance::builder().{option}(…)`")]
    Missing {
        /// The name of the option.
        option: &'static str,
    },
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            pools: None,
            monitor: None,
            maintenance: None,
            cache: None,
            metrics: None,
            admin: None,
            slow_threshold: Duration::from_secs(1),
            read_limit: Duration::from_secs(10),
            benchmark: Benchmark::disabled("this service has none"),
            n_plus_one: None,
        }
    }
}

impl Builder {
    /// The pools that the application uses. Required.
    pub fn pools(mut self, pools: PoolManager) -> Builder {
        self.pools = Some(pools);
        self
    }

    /// A pool of its own for reading the database's statistics, as a role with `pg_monitor`.
    /// Default: the application's, which sees the statements of its own role alone, and whose
    /// exhaustion hides what exhausted it.
    pub fn monitor(mut self, monitor: PoolManager) -> Builder {
        self.monitor = Some(monitor);
        self
    }

    /// A pool of at least two connections of a role that owns the tables, by which indexes are made
    /// and tables vacuumed; not through a pooler in transaction mode. Default: none; the endpoint
    /// answers with the SQL to run by hand.
    pub fn maintenance(mut self, maintenance: PoolManager) -> Builder {
        self.maintenance = Some(maintenance);
        self
    }

    /// The cache. Required.
    pub fn cache(mut self, cache: CacheManager) -> Builder {
        self.cache = Some(cache);
        self
    }

    /// The metrics that operations are recorded in. Required.
    pub fn metrics(mut self, metrics: Metrics) -> Builder {
        self.metrics = Some(metrics);
        self
    }

    /// Who may see more than the health: an error is answered in place of the endpoint. Required.
    ///
    /// It is asked first, so that nobody else learns more than that the endpoint exists.
    pub fn admin<F>(mut self, guard: F) -> Builder
    where
        F: Fn(&HttpRequest) -> Result<(), Error> + Send + Sync + 'static,
    {
        self.admin = Some(Arc::new(guard));
        self
    }

    /// What operations and statements have to exceed to be called slow, where the request does not
    /// say. Default: 1 s.
    pub fn slow_threshold(mut self, threshold: Duration) -> Builder {
        self.slow_threshold = threshold;
        self
    }

    /// How long reading the database's statistics may take, besides the deadline of the request's
    /// scope. Default: 10 s.
    ///
    /// Too short: nothing is seen while the database is slow, which is when one looks. Too long:
    /// impatient administrators pile up sessions.
    pub fn read_limit(mut self, limit: Duration) -> Builder {
        self.read_limit = limit;
        self
    }

    /// What the benchmark endpoint measures. Default: nothing, it refuses.
    pub fn benchmark(mut self, benchmark: Benchmark) -> Builder {
        self.benchmark = benchmark;
        self
    }

    /// The middleware whose findings `database/stats` tells. Default: none, and it tells none.
    pub fn n_plus_one(mut self, n_plus_one: NPlusOne) -> Builder {
        self.n_plus_one = Some(n_plus_one);
        self
    }

    /// The endpoints.
    ///
    /// # Errors
    ///
    /// When a required option is missing.
    pub fn build(self) -> Result<Performance, BuildError> {
        let missing = |option| BuildError::Missing { option };
        Ok(Performance::new(Inner {
            pools: self.pools.ok_or(missing("pools"))?,
            monitor: self.monitor,
            maintenance: self.maintenance.map(Maintenance::new),
            cache: self.cache.ok_or(missing("cache"))?,
            metrics: self.metrics.ok_or(missing("metrics"))?,
            admin: self.admin.ok_or(missing("admin"))?,
            slow_threshold: self.slow_threshold,
            read_limit: self.read_limit,
            benchmark: self.benchmark,
            n_plus_one: self.n_plus_one,
            advising: Arc::default(),
        }))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("pools", &self.pools)
            .field("monitor", &self.monitor)
            .field("slow_threshold", &self.slow_threshold)
            .field("read_limit", &self.read_limit)
            .field("benchmark", &self.benchmark)
            .finish_non_exhaustive()
    }
}
