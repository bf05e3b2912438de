//! What the settings mean to the pools, and whether they can work.

use std::num::NonZeroUsize;

use ruleiq_pools::{
    BuildError, PoolManager, PostgresConfig, ReaderConfig, RedisConfig, ReplicaConfig, TuningConfig,
};

use super::{Database, Redis, reader::Reader};

/// The connections through which the statistics are read.
const MONITOR_CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN;
/// One builds an index, the other watches it.
const ADMIN_CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

impl Database {
    /// The application's connections.
    pub(crate) fn pool(&self) -> PostgresConfig {
        let replicas = || ReplicaConfig {
            max_lag: self.reading.replica_max_lag,
            ..ReplicaConfig::default()
        };
        PostgresConfig {
            replicas: self.reading.replicas.then(replicas),
            reader: ReaderConfig {
                connections: self.reading.reader_connections,
                ..ReaderConfig::default()
            },
            tuning: TuningConfig {
                adaptive: self.adaptive,
                ..TuningConfig::default()
            },
            ..self.connections()
        }
    }

    /// Whatever its roles are.
    fn connections(&self) -> PostgresConfig {
        PostgresConfig {
            size: self.pool_size,
            max_overflow: self.max_overflow,
            timeout: self.pool_timeout,
            recycle: self.pool_recycle,
            autosize: self.pool_autosize,
            connect_timeout: self.connect_timeout,
            statement_timeout: self.statement_timeout,
            transaction_pooling: self.transaction_pooling,
            ca_file: self.ca_file.clone(),
            application_name: Some("ruleiq-server".to_owned()),
            ..PostgresConfig::new(self.url.clone())
        }
    }

    /// The connections through which the statistics are read, where they have a role of their own.
    pub(crate) fn monitor_pool(&self) -> Option<PostgresConfig> {
        let url = self.monitor_url.clone()?;
        Some(PostgresConfig {
            url,
            // Other names: they are no instances of the service.
            application_name: Some("ruleiq-server-monitor".to_owned()),
            size: MONITOR_CONNECTIONS,
            max_overflow: 0,
            autosize: false,
            ..self.connections()
        })
    }

    /// The connections by which indexes are made, where they have a role of their own. Their limits
    /// are those of each statement, and no pooler may stand between.
    pub(crate) fn admin_pool(&self) -> Option<PostgresConfig> {
        let url = self.admin_url.clone()?;
        Some(PostgresConfig {
            url,
            application_name: Some("ruleiq-server-admin".to_owned()),
            size: ADMIN_CONNECTIONS,
            max_overflow: 0,
            autosize: false,
            statement_timeout: None,
            transaction_pooling: false,
            ..self.connections()
        })
    }
}

impl Redis {
    /// The application's connections.
    pub(crate) fn pool(&self) -> RedisConfig {
        RedisConfig {
            max_connections: self.max_connections,
            ..RedisConfig::new(self.url.clone())
        }
    }
}

/// Notes what shows only when the connections are made ready, of those whose settings are there.
pub(super) fn check(from: &mut Reader<'_>, database: Option<&Database>, redis: Option<&Redis>) {
    let named = |name: &'static str| move |error: BuildError| format!("{name}: {error}");
    if let Some(database) = database {
        let pool = PoolManager::builder().postgres(database.pool());
        from.check(pool.build().map_err(named("DATABASE_URL")));
        if let Some(monitor) = database.monitor_pool() {
            let pool = PoolManager::builder().postgres(monitor);
            from.check(pool.build().map_err(named("DATABASE_MONITOR_URL")));
        }
        if let Some(admin) = database.admin_pool() {
            let pool = PoolManager::builder().postgres(admin);
            from.check(pool.build().map_err(named("DATABASE_ADMIN_URL")));
        }
    }
    if let Some(redis) = redis {
        let pool = PoolManager::builder().redis(redis.pool());
        from.check(pool.build().map_err(named("REDIS_URL")));
    }
}
