//! PostgreSQL as the cases use it: through our pool, through a bare one beside it, as its owner.
//!
//! A case is written once over [`Pooled`] and set up for both pools, so that the two sides run the
//! same code on the same statement and differ in the pool alone.

mod bare;
mod counted;
mod kept;
mod ours;
mod owner;
mod shared;

use std::{future::Future, time::Duration};

use ruleiq_bench::Fault;
use serde::Serialize;
use tokio_postgres::{Row, types::ToSql};

pub(crate) use self::{
    bare::{Bare, DEADPOOL},
    counted::{Statements, counted, grown},
    kept::Kept,
    ours::{OURS, Ours},
    owner::{OwnedDatabase, OwnedSchema, connect, within},
    shared::Shared,
};

/// Five custom plans go before the server may settle on a generic one.
const WARM_RUNS: usize = 6;

/// What both pools are set up from.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct PoolSettings {
    /// Connections, all of them opened before anything is measured.
    pub(crate) connections: usize,
    /// Operations under way at once.
    pub(crate) tasks: usize,
    /// How long the server lets a statement run, which costs it a timer per statement.
    pub(crate) statement_timeout_s: u64,
    /// Whether connections are encrypted.
    pub(crate) tls: bool,
}

impl PoolSettings {
    /// `tasks` operations over `connections`.
    pub(crate) fn new(connections: usize, tasks: usize) -> PoolSettings {
        PoolSettings {
            connections,
            tasks,
            statement_timeout_s: 60,
            tls: false,
        }
    }

    fn statement_timeout(&self) -> Duration {
        Duration::from_secs(self.statement_timeout_s)
    }
}

/// Values of a statement's parameters.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A pool of connections, as its users use it.
pub(crate) trait Pooled: Clone + Send + Sync + 'static {
    /// A connection that is checked out.
    type Connection: Send + Sync;

    /// A pool of connections that are not open yet.
    fn new(url: &str, settings: &PoolSettings) -> Result<Self, Fault>;

    /// What one request does, with all that its pool wants around it.
    fn request<T: Send>(
        &self,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send;

    /// Checks a connection out.
    fn checkout(&self) -> impl Future<Output = Result<Self::Connection, Fault>> + Send;

    /// The rows of a statement, which is prepared once per connection.
    fn query(
        connection: &Self::Connection,
        statement: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Fault>> + Send;

    /// The only row of a statement, which is prepared once per connection.
    fn query_one(
        connection: &Self::Connection,
        statement: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Row, Fault>> + Send;

    /// How many rows a statement touched, which is prepared once per connection.
    fn execute(
        connection: &Self::Connection,
        statement: &str,
        params: Params<'_>,
    ) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// Connections that are in use, as a share of all.
    fn utilization(&self) -> f64;
}

/// A pool whose connections are all open, and have each run the statement often enough for the
/// server to have settled on its plan.
pub(crate) async fn warm<P: Pooled>(
    url: &str,
    settings: &PoolSettings,
    statement: &str,
    params: Params<'_>,
) -> Result<P, Fault> {
    let pool = P::new(&in_clear(url), settings)?;
    let open = async {
        let mut connections = Vec::new();
        for _ in 0..settings.connections {
            connections.push(pool.checkout().await?);
        }
        for connection in &connections {
            for _ in 0..WARM_RUNS {
                P::query(connection, statement, params).await?;
            }
        }
        Ok(())
    };
    within("warming a pool", open).await?;
    Ok(pool)
}

/// The address for connections without TLS, which the bare client cannot do: neither side may.
fn in_clear(url: &str) -> String {
    if url.contains("sslmode=") {
        return url.to_owned();
    }
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}sslmode=disable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_side_encrypts_unless_the_address_says_so() {
        for (url, expect) in [
            ("postgres://h/d", "postgres://h/d?sslmode=disable"),
            ("postgres://h/d?a=b", "postgres://h/d?a=b&sslmode=disable"),
            (
                "postgres://h/d?sslmode=require",
                "postgres://h/d?sslmode=require",
            ),
        ] {
            assert_eq!(in_clear(url), expect);
        }
    }
}
