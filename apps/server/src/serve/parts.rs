//! The parts of the server, made from its settings.

use std::time::Duration;

use actix_web::web;
use anyhow::Context as _;
use prometheus::Registry;
use ruleiq_cache::{CacheManager, CacheMetrics};
use ruleiq_compression::CompressionMetrics;
use ruleiq_metrics::Metrics;
use ruleiq_performance::{
    Builder, Performance,
    benchmark::{Benchmark, ruleiq_cases},
    db_optimizer::n_plus_one::Detector,
};
use ruleiq_pools::{PoolManager, PoolMetrics};
use ruleiq_web::{CausalTokens, CompressionMiddleware, NPlusOne, NPlusOneMetrics};
use secrecy::ExposeSecret as _;
use tokio::time;

use crate::{
    app::App,
    auth::{Identity, LoginLimit, Passwords, Tokens},
    settings::{Environment, Faults, Settings},
};

/// What all workers share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) app: web::Data<App>,
    pub(super) metrics: Metrics,
    pub(super) compression: CompressionMiddleware,
    pub(super) n_plus_one: NPlusOne,
    pub(super) causal_tokens: CausalTokens,
    pub(super) performance: Performance,
    monitor: Option<PoolManager>,
    admin: Option<PoolManager>,
}

impl Parts {
    /// Makes the parts. No connection is opened: a server starts while its database is away.
    ///
    /// # Errors
    ///
    /// Settings that cannot work.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Parts> {
        let metrics = Metrics::new();
        let registry = metrics.registry();
        let pools = pools(settings, PoolMetrics::register(registry)?)?;
        let (monitor, admin) = (monitor_pool(settings)?, admin_pool(settings)?);
        let cache = cache(settings, &pools, registry)?;
        let n_plus_one = n_plus_one(settings, registry)?;
        let performance = Performance::builder()
            .pools(pools.clone())
            .cache(cache.clone())
            .metrics(metrics.clone())
            .n_plus_one(n_plus_one.clone());
        let performance = watched(performance, settings, monitor.as_ref(), admin.as_ref());
        Ok(Parts {
            app: web::Data::new(app(settings, pools, cache)?),
            compression: compression(settings, registry)?,
            n_plus_one,
            causal_tokens: causal_tokens(settings, registry)?,
            performance: performance.build()?,
            metrics,
            monitor,
            admin,
        })
    }

    /// Closes the connections, for as long as that may take.
    pub(super) async fn close(&self, limit: Duration) {
        let close = async {
            self.app.pools.close().await;
            for pools in [&self.monitor, &self.admin].into_iter().flatten() {
                pools.close().await;
            }
        };
        if time::timeout(limit, close).await.is_err() {
            tracing::warn!("connections were cut off: they did not close in time");
        }
    }
}

/// The connections of the application.
///
/// # Errors
///
/// Settings that cannot work.
pub(crate) fn pools(settings: &Settings, metrics: PoolMetrics) -> Result<PoolManager, Faults> {
    PoolManager::builder()
        .postgres(settings.database.pool())
        .redis(settings.redis.pool())
        .metrics(metrics)
        .build()
        .map_err(|error| Faults::of(&error))
}

/// The connections through which the statistics are read, where they have a role of their own.
///
/// # Errors
///
/// Settings that cannot work.
pub(crate) fn monitor_pool(settings: &Settings) -> Result<Option<PoolManager>, Faults> {
    let pool = |config| PoolManager::builder().postgres(config).build();
    let pool = settings.database.monitor_pool().map(pool).transpose();
    pool.map_err(|error| Faults::of(&error))
}

/// The connections by which indexes are made, where they have a role of their own.
///
/// # Errors
///
/// Settings that cannot work.
pub(crate) fn admin_pool(settings: &Settings) -> Result<Option<PoolManager>, Faults> {
    let pool = |config| PoolManager::builder().postgres(config).build();
    let pool = settings.database.admin_pool().map(pool).transpose();
    pool.map_err(|error| Faults::of(&error))
}

fn cache(
    settings: &Settings,
    pools: &PoolManager,
    registry: &Registry,
) -> anyhow::Result<CacheManager> {
    let mut cache = CacheManager::builder()
        .prefix(&settings.cache.prefix)
        .l1_max_bytes(settings.cache.l1_max_bytes)
        .load_timeout(settings.http.request_timeout)
        .metrics(CacheMetrics::register(registry)?);
    if let Some(redis) = pools.redis() {
        cache = cache.redis(redis);
    }
    Ok(cache.build().map_err(|error| Faults::of(&error))?)
}

fn compression(settings: &Settings, registry: &Registry) -> anyhow::Result<CompressionMiddleware> {
    let middleware = CompressionMiddleware::builder()
        .config(settings.compression.clone())
        .metrics(CompressionMetrics::register(registry)?)
        .build();
    middleware.context("failed to set compression up")
}

/// What carries the position of a client's writes. Its keys are made of those of the access tokens, which
/// all instances have.
fn causal_tokens(settings: &Settings, registry: &Registry) -> anyhow::Result<CausalTokens> {
    let keys = settings.auth.jwt_keys.expose_secret();
    let secrets = keys.split(',').filter_map(|it| it.split_once(':'));
    let secrets = secrets.map(|(_, key)| key.trim().as_bytes());
    let tokens = CausalTokens::new(secrets, settings.environment == Environment::Production);
    tokens.register(registry)?;
    Ok(tokens)
}

fn app(settings: &Settings, pools: PoolManager, cache: CacheManager) -> Result<App, Faults> {
    let auth = &settings.auth;
    let tokens = Tokens::new(&auth.jwt_keys, auth.access_token_ttl);
    let metrics_token = &settings.monitoring.metrics_token;
    Ok(App {
        pools,
        cache,
        tokens: tokens.map_err(|error| Faults::of(&error))?,
        refresh_token_ttl: auth.refresh_token_ttl,
        passwords: Passwords::new(),
        login_limit: LoginLimit::new(auth.login_attempts_per_minute),
        metrics_token: metrics_token
            .clone()
            .filter(|_| settings.monitoring.enabled),
        draining: false.into(),
    })
}

fn n_plus_one(settings: &Settings, registry: &Registry) -> anyhow::Result<NPlusOne> {
    let settings = settings.n_plus_one;
    let metrics = NPlusOneMetrics::register(registry)?;
    let detector = Detector::new(settings.threshold);
    Ok(NPlusOne::with(settings.mode, detector, metrics))
}

/// Whom the endpoints are open to, what they look at, and what they may change.
fn watched(
    mut performance: Builder,
    settings: &Settings,
    monitor: Option<&PoolManager>,
    admin: Option<&PoolManager>,
) -> Builder {
    if let Some(monitor) = monitor {
        performance = performance.monitor(monitor.clone());
    }
    if let Some(admin) = admin {
        performance = performance.maintenance(admin.clone());
    }
    performance
        .slow_threshold(settings.monitoring.slow_request_threshold)
        .benchmark(match settings.monitoring.benchmark {
            true => Benchmark::new(ruleiq_cases()),
            false => {
                Benchmark::disabled("set ENABLE_BENCHMARK_ENDPOINT=true and start the server again")
            }
        })
        .admin(|request| Ok(Identity::admin_of(request).map(drop)?))
}
