#![doc = include_str!("../README.md")]

#[cfg(not(any(feature = "postgres", feature = "redis")))]
compile_error!("ruleiq-pools without `postgres` and `redis` has nothing to manage: enable one");

mod builder;
mod manager;
mod metrics;
mod stats;
mod tls;

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "postgres")]
mod retries;

#[cfg(feature = "redis")]
pub use crate::redis::{RedisConfig, RedisInfo};
pub use crate::{
    builder::{BuildError, Builder},
    manager::PoolManager,
    metrics::PoolMetrics,
    stats::{
        ConnectionBudget, Health, PoolStats, ReaderStats, ReplicaRole, ReplicaStats, ResourceStats,
        RoutingStats, StatementCacheStats, Verdict,
    },
};
#[cfg(feature = "postgres")]
pub use crate::{
    postgres::{
        Bulkhead, BulkheadConfig, BulkheadStats, CheckoutError, ConnectError, ConnectionShare,
        HeldConnection, Holders, OptimizeError, PoolOptimization, PoolRecommendation, PoolSetting,
        PoolStep, PoolUsage, PostgresConfig, ReadSession, Reader, ReaderConfig, ReplicaConfig,
        ResizeError, Session, StepOutcome, Transaction, TuningConfig, autosized,
    },
    retries::Retries,
};
