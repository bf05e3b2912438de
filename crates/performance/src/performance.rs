//! The handle that is mounted.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::{Error, HttpRequest, web::ServiceConfig};
use ruleiq_cache::CacheManager;
use ruleiq_metrics::Metrics;
use ruleiq_pools::PoolManager;
use ruleiq_web::NPlusOne;
use tokio::sync::Mutex;

use crate::{
    Builder, benchmark::Benchmark, builder::AdminGuard, routes, routes::optimize::Maintenance,
};

/// The monitoring endpoints over the engines. Clones are the same ones.
#[derive(Clone)]
pub struct Performance {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pools: PoolManager,
    pub(crate) monitor: Option<PoolManager>,
    pub(crate) maintenance: Option<Maintenance>,
    pub(crate) cache: CacheManager,
    pub(crate) metrics: Metrics,
    pub(crate) admin: Arc<AdminGuard>,
    pub(crate) slow_threshold: Duration,
    pub(crate) read_limit: Duration,
    pub(crate) benchmark: Benchmark,
    pub(crate) n_plus_one: Option<NPlusOne>,
    /// Whose turn it is to search for indexes.
    pub(crate) advising: Arc<Mutex<()>>,
}

impl Performance {
    /// The options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(inner: Inner) -> Performance {
        Performance {
            inner: Arc::new(inner),
        }
    }

    /// Mounts all endpoints: `/health` and those under `/api/v1/performance`.
    pub fn configure(&self, config: &mut ServiceConfig) {
        self.configure_health(config);
        routes::configure(self, config);
    }

    /// Mounts `/health` and `/api/v1/performance/health` alone, where monitoring is turned off.
    pub fn configure_health(&self, config: &mut ServiceConfig) {
        routes::configure_health(self, config);
    }

    /// Asks the guard.
    pub(crate) fn admit(&self, request: &HttpRequest) -> Result<(), Error> {
        (self.inner.admin)(request)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl fmt::Debug for Performance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Performance")
            .field("pools", &self.inner.pools)
            .field("monitor", &self.inner.monitor)
            .finish_non_exhaustive()
    }
}
