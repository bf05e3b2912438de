//! The limit: `deadpool-postgres` as its documentation recommends it for speed.
//!
//! `RecyclingMethod::Fast` asks the server nothing when a connection comes back
//! (<https://docs.rs/deadpool-postgres/0.14/deadpool_postgres/enum.RecyclingMethod.html>), and
//! `prepare_cached` prepares each statement once per connection
//! (<https://docs.rs/deadpool-postgres/0.14/deadpool_postgres/struct.ClientWrapper.html>).

use std::{fmt, future::Future};

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod};
use ruleiq_bench::Fault;
use tokio_postgres::{Config, NoTls, Row};

use super::{Params, PoolSettings, Pooled};

/// Its name and version, as reports show them.
pub(crate) const DEADPOOL: (&str, &str) = ("deadpool-postgres fast", "0.14");

/// A pool that does nothing but pool.
#[derive(Clone)]
pub(crate) struct Bare {
    pool: Pool,
}

impl Pooled for Bare {
    type Connection = Client;

    fn new(url: &str, settings: &PoolSettings) -> Result<Bare, Fault> {
        let mut config: Config = url.parse().map_err(Fault::failed)?;
        config.application_name("ruleiq-bench");
        let timeout = settings.statement_timeout().as_millis();
        config.options(format!("-c statement_timeout={timeout}"));
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager).max_size(settings.connections);
        Ok(Bare {
            pool: pool.build().map_err(Fault::failed)?,
        })
    }

    fn request<T: Send>(
        &self,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        work
    }

    async fn checkout(&self) -> Result<Client, Fault> {
        self.pool.get().await.map_err(Fault::failed)
    }

    async fn query(
        connection: &Client,
        statement: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let statement = prepared(connection, statement).await?;
        connection
            .query(&statement, params)
            .await
            .map_err(Fault::failed)
    }

    async fn query_one(
        connection: &Client,
        statement: &str,
        params: Params<'_>,
    ) -> Result<Row, Fault> {
        let statement = prepared(connection, statement).await?;
        connection
            .query_one(&statement, params)
            .await
            .map_err(Fault::failed)
    }

    async fn execute(
        connection: &Client,
        statement: &str,
        params: Params<'_>,
    ) -> Result<u64, Fault> {
        let statement = prepared(connection, statement).await?;
        connection
            .execute(&statement, params)
            .await
            .map_err(Fault::failed)
    }

    fn utilization(&self) -> f64 {
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        let share = (status.size - idle) as f64 / status.max_size.max(1) as f64;
        share
    }
}

async fn prepared(
    connection: &Client,
    statement: &str,
) -> Result<tokio_postgres::Statement, Fault> {
    connection
        .prepare_cached(statement)
        .await
        .map_err(Fault::failed)
}

impl fmt::Debug for Bare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bare").finish_non_exhaustive()
    }
}
