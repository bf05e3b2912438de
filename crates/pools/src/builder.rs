//! Putting a manager together. Nothing here talks to a server.

use std::path::PathBuf;

use tokio::runtime::Handle;

#[cfg(feature = "postgres")]
use crate::postgres::{Pool, PostgresConfig};
#[cfg(feature = "redis")]
use crate::redis::{Redis, RedisConfig};
use crate::{PoolManager, PoolMetrics};

/// Options of a [`PoolManager`].
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    #[cfg(feature = "postgres")]
    postgres: Option<PostgresConfig>,
    #[cfg(feature = "redis")]
    redis: Option<RedisConfig>,
    metrics: PoolMetrics,
    runtime: Option<Handle>,
}

/// Why a manager could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The database's URL cannot be read. The reason is not told: it may quote the password.
    #[error(
        "the database URL cannot be read: expected `postgres://user:password@host:port/database`, \
         with special characters of the password percent-encoded and `sslmode` one of `disable`, \
         `prefer` and `require`"
    )]
    DatabaseUrl,

    /// The URL of Redis cannot be read. The reason is not told: it may quote the password.
    #[error(
        "the Redis URL cannot be read: expected `redis://user:password@host:port/database`, with \
         special characters of the password percent-encoded, `rediss://` for TLS, \
         `redis-cluster://` with `?node=host:port`, or `redis-sentinel://` with \
         `?node=host:port&sentinelServiceName=name`"
    )]
    RedisUrl,

    /// The pool would hold more connections than can be counted.
    #[error(
        "a pool of {size} + {max_overflow} connections is too large: lower `size` or `max_overflow`"
    )]
    TooLarge {
        /// The base size, after autosizing.
        size: usize,
        /// The connections beyond it.
        max_overflow: usize,
    },

    /// A share that cannot be given.
    #[error(
        "the bulkhead `{name}` cannot be had: each needs a name of its own and a share above 0, and all \
         shares together are at most 1"
    )]
    Bulkhead {
        /// The name of the first that does not fit.
        name: String,
    },

    /// Standbys cannot be told apart behind a pooler, and one host has none.
    #[error(
        "`replicas` needs a URL with several hosts and no `transaction_pooling`, and a `share` from 0 to 1"
    )]
    Replicas,

    /// The file with certificates cannot be used.
    #[error("the certificates in `{}` cannot be used: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// There is no certificate to check a server's against.
    #[error(
        "the system has no root certificates: install them (`ca-certificates`) or set `ca_file`"
    )]
    NoRootCertificates,

    /// There is no runtime for the connections to live on.
    #[error("no tokio runtime: build inside one, or give its handle to `runtime`")]
    NoRuntime,
}

impl Builder {
    /// The PostgreSQL to use. Default: none.
    #[cfg(feature = "postgres")]
    pub fn postgres(mut self, config: PostgresConfig) -> Builder {
        self.postgres = Some(config);
        self
    }

    /// The Redis to use. Default: none.
    #[cfg(feature = "redis")]
    pub fn redis(mut self, config: RedisConfig) -> Builder {
        self.redis = Some(config);
        self
    }

    /// Where to count. Default: nowhere.
    pub fn metrics(mut self, metrics: PoolMetrics) -> Builder {
        self.metrics = metrics;
        self
    }

    /// The runtime that connections live on. Default: the one that `build` is called in.
    ///
    /// A socket dies with the runtime that opened it. Sessions may be used on any runtime, such as
    /// actix's one per worker; the connections belong on one that outlives them all.
    pub fn runtime(mut self, runtime: Handle) -> Builder {
        self.runtime = Some(runtime);
        self
    }

    /// Builds the manager. It opens no connection, so that a service starts while its servers are
    /// away.
    ///
    /// # Errors
    ///
    /// A setting that cannot work, or no runtime.
    pub fn build(self) -> Result<PoolManager, BuildError> {
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Handle::try_current().map_err(|_| BuildError::NoRuntime)?,
        };
        PoolManager::new(
            #[cfg(feature = "postgres")]
            self.postgres
                .map(|config| Pool::new(&config, self.metrics.counters.clone(), &runtime))
                .transpose()?,
            #[cfg(feature = "redis")]
            self.redis
                .map(|config| Redis::new(&config, runtime.clone()))
                .transpose()?,
            runtime,
            &self.metrics,
        )
    }
}
