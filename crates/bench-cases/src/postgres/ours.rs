//! Our pool with everything on: metrics registered, and each operation in a scope of its own with
//! a deadline and a log of its statements, as a request has them.

use std::{future::Future, num::NonZeroUsize, time::Duration};

use prometheus::Registry;
use ruleiq_bench::Fault;
use ruleiq_pools::{PoolManager, PoolMetrics, PostgresConfig, Session};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_scope::Scope;
use tokio::time::Instant;
use tokio_postgres::Row;

use super::{Params, PoolSettings, Pooled};

/// Its name and version, as reports show them.
pub(crate) const OURS: (&str, &str) = ("ruleiq-pools", env!("CARGO_PKG_VERSION"));

/// As long as a request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Our pool.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pools: PoolManager,
    /// What a service would be scraped by.
    _metrics: Registry,
}

impl Ours {
    pub(crate) fn pools(&self) -> &PoolManager {
        &self.pools
    }
}

impl Pooled for Ours {
    type Connection = Session;

    fn new(url: &str, settings: &PoolSettings) -> Result<Ours, Fault> {
        let size = NonZeroUsize::new(settings.connections)
            .ok_or_else(|| Fault::Failed("a pool of no connections".to_owned()))?;
        let config = PostgresConfig {
            size,
            max_overflow: 0,
            autosize: false,
            statement_timeout: Some(settings.statement_timeout()),
            application_name: Some("ruleiq-bench".to_owned()),
            ..PostgresConfig::new(url)
        };
        let registry = Registry::new();
        let metrics = PoolMetrics::register(&registry).map_err(Fault::failed)?;
        let pools = PoolManager::builder().postgres(config).metrics(metrics);
        Ok(Ours {
            pools: pools.build().map_err(Fault::failed)?,
            _metrics: registry,
        })
    }

    fn request<T: Send>(
        &self,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        let deadline = Instant::now() + DEADLINE;
        let scope = Scope::builder().route("/bench").deadline(deadline);
        scope.build().run(work)
    }

    async fn checkout(&self) -> Result<Session, Fault> {
        self.pools.session().await.map_err(Fault::failed)
    }

    async fn query(
        connection: &Session,
        statement: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        connection
            .query(statement, params)
            .await
            .map_err(Fault::failed)
    }

    async fn query_one(
        connection: &Session,
        statement: &str,
        params: Params<'_>,
    ) -> Result<Row, Fault> {
        connection
            .query_one(statement, params)
            .await
            .map_err(Fault::failed)
    }

    async fn execute(
        connection: &Session,
        statement: &str,
        params: Params<'_>,
    ) -> Result<u64, Fault> {
        connection
            .execute(statement, params)
            .await
            .map_err(Fault::failed)
    }

    fn utilization(&self) -> f64 {
        let database = self.pools.stats().database;
        database.map_or(0.0, |it| it.utilization)
    }
}
