//! The manager: what a service holds of its database and its Redis.

use std::{fmt, sync::Arc};

use tokio::runtime::Handle;

#[cfg(feature = "postgres")]
use crate::postgres::{
    Bulkhead, BulkheadStats, CheckoutError, Cluster, DEFAULT_CLASS, HeldConnection, OptimizeError,
    Pool, PoolOptimization, PoolStep, ReadSession, Reader, ResizeError, Session, read_session,
};
#[cfg(feature = "redis")]
use crate::redis::Redis;
use crate::{BuildError, Builder, Health, PoolMetrics, PoolStats};

/// The connections of a service. Clones are the same one.
#[derive(Clone)]
pub struct PoolManager {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    runtime: Handle,
    #[cfg(feature = "postgres")]
    postgres: Option<Arc<Pool>>,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
}

impl PoolManager {
    /// The options of a manager.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        #[cfg(feature = "postgres")] postgres: Option<Arc<Pool>>,
        #[cfg(feature = "redis")] redis: Option<Redis>,
        runtime: Handle,
        metrics: &PoolMetrics,
    ) -> Result<PoolManager, BuildError> {
        let inner = Arc::new(Inner {
            runtime,
            #[cfg(feature = "postgres")]
            postgres,
            #[cfg(feature = "redis")]
            redis,
        });
        metrics.watch(&inner);
        Ok(PoolManager { inner })
    }

    /// Checks a connection to the database out.
    ///
    /// It waits while all are in use: up to the pool's time-out, and never past the deadline of
    /// the current scope. A connection that cannot be opened is an error at once.
    ///
    /// # Errors
    ///
    /// Those of [`CheckoutError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in the queue, or the connection, back.
    #[cfg(feature = "postgres")]
    #[track_caller]
    pub fn session(&self) -> impl Future<Output = Result<Session, CheckoutError>> + Send + use<> {
        let call_site = std::panic::Location::caller();
        let pool = self.inner.postgres.clone();
        async move {
            let pool = pool.ok_or(CheckoutError::NotConfigured)?;
            pool.checkout(DEFAULT_CLASS, call_site).await
        }
    }

    /// Checks a connection out to read from: to a standby, where there are
    /// [replicas](crate::PostgresConfig::replicas), and to the primary else, or where the scope reads the
    /// primary.
    ///
    /// It sees what was written in the current scope, and what its causal token stands for: a standby that
    /// has not come so far is waited for, for at most `causal_wait`, and then the primary is read.
    ///
    /// # Errors
    ///
    /// Those of [`session`](PoolManager::session), and [`CheckoutError::TokenLost`].
    ///
    /// # Cancel safety
    ///
    /// That of [`session`](PoolManager::session).
    #[cfg(feature = "postgres")]
    #[track_caller]
    pub fn read_session(
        &self,
    ) -> impl Future<Output = Result<ReadSession, CheckoutError>> + Send + use<> {
        self.read(None, std::panic::Location::caller())
    }

    /// The same for a position of the caller's, in place of the scope's.
    ///
    /// # Errors
    ///
    /// # Cancel safety
    ///
    /// Those of [`read_session`](PoolManager::read_session).
    #[cfg(feature = "postgres")]
    #[track_caller]
    pub fn read_session_after(
        &self,
        token: ruleiq_scope::CausalToken,
    ) -> impl Future<Output = Result<ReadSession, CheckoutError>> + Send + use<> {
        self.read(Some(token), std::panic::Location::caller())
    }

    #[cfg(feature = "postgres")]
    fn read(
        &self,
        after: Option<ruleiq_scope::CausalToken>,
        call_site: &'static std::panic::Location<'static>,
    ) -> impl Future<Output = Result<ReadSession, CheckoutError>> + Send + use<> {
        let pool = self.inner.postgres.clone();
        async move {
            let pool = pool.ok_or(CheckoutError::NotConfigured)?;
            read_session(pool, after, call_site).await
        }
    }

    /// The way to the database for reads that need no session: quick ones share connections, whatever
    /// takes longer checks one out. It is a handle, and costs nothing to make.
    #[cfg(feature = "postgres")]
    pub fn reader(&self) -> Reader {
        Reader::new(self.inner.postgres.clone())
    }

    /// The way to the database for one kind of callers, of those that the settings name.
    #[cfg(feature = "postgres")]
    pub fn bulkhead(&self, name: &str) -> Option<Bulkhead> {
        self.inner.postgres.as_ref()?.bulkhead(name)
    }

    /// What the callers of each bulkhead have now.
    #[cfg(feature = "postgres")]
    pub fn bulkheads(&self) -> Vec<BulkheadStats> {
        self.inner.bulkheads()
    }

    /// Who holds connections to the database, the longest first.
    #[cfg(feature = "postgres")]
    pub fn held(&self) -> Vec<HeldConnection> {
        let pool = self.inner.postgres.as_ref();
        pool.map_or_else(Vec::new, |pool| pool.held())
    }

    /// Sets how many connections to the database stay open, and how many there may be beyond these.
    ///
    /// Where there are more than may be, idle ones are closed at once and others as they come back.
    ///
    /// # Errors
    ///
    /// No connection at all, more than the pool was built for, or no database.
    #[cfg(feature = "postgres")]
    pub fn resize(&self, size: usize, max_overflow: usize) -> Result<(), ResizeError> {
        match &self.inner.postgres {
            Some(pool) => pool.resize(size, max_overflow),
            None => Err(ResizeError {
                size,
                max_overflow,
                built_for: 0,
            }),
        }
    }

    /// Tells what the settings of the database's pool should be: by how it was used for the last
    /// [`window`](crate::TuningConfig::window), what earlier steps have shown, and how many connections the
    /// server has for all.
    ///
    /// It asks the server on a connection of the pool, for at most two seconds, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::NotConfigured`] and [`OptimizeError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any point.
    #[cfg(feature = "postgres")]
    #[track_caller]
    pub fn optimize_pools(
        &self,
    ) -> impl Future<Output = Result<PoolOptimization, OptimizeError>> + Send + use<> {
        let call_site = std::panic::Location::caller();
        let pool = self.inner.postgres.clone();
        async move {
            let pool = pool.ok_or(OptimizeError::NotConfigured)?;
            pool.optimize(call_site).await
        }
    }

    /// Measures anew and applies the first recommendation that can be applied, if there is one: one step, to twice
    /// or half of the connections, or to four times as many where twice were about as good, and never to more than the server's fair share as it is now. What is more than
    /// that share is given up in one step.
    ///
    /// A step is on trial: it is measured for a window, and undone if the pool does no better with it. Until
    /// then no other one is applied. A step to fewer connections stays if the pool does as well. It answers none
    /// where nothing is to be done, and also while too little was seen to tell: wait for
    /// [`is_measured`](PoolOptimization::is_measured) first. It lasts until the process ends.
    ///
    /// # Errors
    ///
    /// Those of [`OptimizeError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it ends, it has applied nothing.
    #[cfg(feature = "postgres")]
    #[track_caller]
    pub fn apply_optimization(
        &self,
    ) -> impl Future<Output = Result<Option<PoolStep>, OptimizeError>> + Send + use<> {
        let call_site = std::panic::Location::caller();
        let pool = self.inner.postgres.clone();
        async move {
            let pool = pool.ok_or(OptimizeError::NotConfigured)?;
            pool.apply_optimization(call_site).await
        }
    }

    /// A client of Redis, if there is one.
    ///
    /// It is connected in the background when this is first called, and reconnects for ever. Each
    /// command is answered or fails within the command time-out; with
    /// [`fail_fast`](fred::types::config::Options::fail_fast) it fails at once while Redis is
    /// away.
    #[cfg(feature = "redis")]
    pub fn redis(&self) -> Option<fred::clients::Client> {
        self.inner.redis.as_ref().map(Redis::client)
    }

    /// What Redis says of itself; `None` where there is none, or it does not answer within two
    /// seconds.
    #[cfg(feature = "redis")]
    pub async fn redis_info(&self) -> Option<crate::RedisInfo> {
        self.inner.redis.as_ref()?.info().await
    }

    /// The runtime that the connections live on: the nearest one to them for work that uses them a lot.
    pub fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    /// What the pools hold now.
    pub fn stats(&self) -> PoolStats {
        self.inner.stats()
    }

    /// Asks each server for an answer, all at once and for at most two seconds.
    ///
    /// A database that is merely busy is healthy: where no connection comes free in time, an
    /// answer to anybody's statement counts, or to a stranger who asks whether there is TLS. One that has fewer connections than the pool may open is
    /// healthy as well; the [`budget`](Health::budget) tells, and so does the log.
    pub async fn health_check(&self) -> Health {
        #[cfg(feature = "postgres")]
        let database = async {
            match &self.inner.postgres {
                Some(pool) => pool.health().await,
                None => (None, None),
            }
        };
        #[cfg(not(feature = "postgres"))]
        let database = std::future::ready((None, None));
        #[cfg(feature = "redis")]
        let redis = async {
            match &self.inner.redis {
                Some(redis) => Some(redis.is_healthy().await),
                None => None,
            }
        };
        #[cfg(not(feature = "redis"))]
        let redis = std::future::ready(None);
        let ((database, budget), redis) = futures_util::join!(database, redis);
        Health {
            database,
            redis,
            budget,
        }
    }

    /// Refuses checkouts from now on and closes what nobody uses. Sessions in use go on; their
    /// connections are closed when they come back.
    pub async fn close(&self) {
        #[cfg(feature = "postgres")]
        if let Some(pool) = &self.inner.postgres {
            pool.close().await;
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.inner.redis {
            redis.close().await;
        }
    }
}

impl Inner {
    #[cfg(feature = "postgres")]
    pub(crate) fn bulkheads(&self) -> Vec<BulkheadStats> {
        let pool = self.postgres.as_ref();
        pool.map_or_else(Vec::new, |pool| pool.bulkheads())
    }

    /// How long the oldest open transaction has been open.
    #[cfg(feature = "postgres")]
    pub(crate) fn oldest_transaction(&self) -> Option<std::time::Duration> {
        self.postgres.as_ref()?.oldest_transaction()
    }

    #[cfg(feature = "postgres")]
    fn replicas(&self) -> Vec<crate::ReplicaStats> {
        self.cluster()
            .map_or_else(Vec::new, |cluster| cluster.stats())
    }

    #[cfg(feature = "postgres")]
    fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.postgres.as_ref()?.cluster()
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            #[cfg(feature = "postgres")]
            database: self.postgres.as_ref().map(|pool| pool.stats()),
            #[cfg(not(feature = "postgres"))]
            database: None,
            #[cfg(feature = "postgres")]
            statements: self.postgres.as_ref().map(|pool| pool.statements()),
            #[cfg(not(feature = "postgres"))]
            statements: None,
            #[cfg(feature = "postgres")]
            replicas: self.replicas(),
            #[cfg(not(feature = "postgres"))]
            replicas: Vec::new(),
            #[cfg(feature = "postgres")]
            routing: self.cluster().map(|it| it.routing()),
            #[cfg(not(feature = "postgres"))]
            routing: None,
            #[cfg(feature = "postgres")]
            reader: self
                .postgres
                .as_ref()
                .map(|pool| pool.multiplexer().stats()),
            #[cfg(not(feature = "postgres"))]
            reader: None,
            #[cfg(feature = "redis")]
            redis: self.redis.as_ref().map(Redis::stats),
            #[cfg(not(feature = "redis"))]
            redis: None,
        }
    }
}

impl fmt::Debug for PoolManager {
    /// Without URLs: they carry passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolManager")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
