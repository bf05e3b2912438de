//! Our pool with everything on, read without a checkout: over the connections that callers share.

use std::future::Future;

use ruleiq_bench::Fault;
use ruleiq_pools::Reader;
use ruleiq_query::Read as _;
use tokio_postgres::Row;

use super::{Ours, Params, PoolSettings, Pooled};

/// Our pool's reader.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Ours);

impl Pooled for Shared {
    type Connection = Reader;

    fn new(url: &str, settings: &PoolSettings) -> Result<Shared, Fault> {
        Ours::new(url, settings).map(Shared)
    }

    fn request<T: Send>(
        &self,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        self.0.request(work)
    }

    async fn checkout(&self) -> Result<Reader, Fault> {
        Ok(self.0.pools().reader())
    }

    async fn query(
        reader: &Reader,
        statement: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        reader.query(statement, params).await.map_err(Fault::failed)
    }

    async fn query_one(reader: &Reader, statement: &str, params: Params<'_>) -> Result<Row, Fault> {
        let row = reader.query_one(statement, params).await;
        row.map_err(Fault::failed)
    }

    async fn execute(_: &Reader, _: &str, _: Params<'_>) -> Result<u64, Fault> {
        Err(Fault::Failed("a reader does not write".to_owned()))
    }

    fn utilization(&self) -> f64 {
        self.0.utilization()
    }
}
