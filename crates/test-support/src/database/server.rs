//! The shared server, as its superuser.

use std::time::Duration;

use ruleiq_servers::DATABASE_URL_VARIABLE;
use tokio::time::{self, Instant};
use tokio_postgres::{Client, Config, NoTls};
use url::Url;

use super::owner_of;
use crate::{address, error::SetupError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server under the load of many tests takes seconds to copy a database; it never takes minutes.
const STATEMENT_TIMEOUT: &str = "-c statement_timeout=60s";
const LOCK_LIMIT: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// From here on a copy of the template's files can be asked for; before, there was no other way.
const HAS_STRATEGIES: i32 = 150_000;

pub(crate) struct Server {
    pub(crate) client: Client,
    url: Url,
}

/// Exclusive among all tests of the server.
#[derive(Clone, Copy)]
pub(crate) enum Lock {
    Template,
    Logins,
    Sweep,
}

impl Server {
    pub(crate) async fn connect() -> Result<Server, SetupError> {
        let url = address::of_variable(DATABASE_URL_VARIABLE)?;
        let client = connect(&url, "ruleiq-test").await?;
        Ok(Server { client, url })
    }

    pub(crate) fn url_of(&self, database: &str) -> Url {
        address::with_database(&self.url, database)
    }

    /// Runs statements that are built from names of ours.
    pub(crate) async fn run(&self, task: &'static str, sql: &str) -> Result<(), SetupError> {
        let outcome = self.client.batch_execute(sql).await;
        outcome.map_err(|source| SetupError::Refused { task, source })
    }

    /// Takes a lock, which is given back by [`unlock`](Server::unlock) or the connection's end.
    ///
    /// It is polled: who waits inside a statement holds a snapshot, and with it up whoever builds
    /// an index concurrently.
    pub(crate) async fn lock(&self, lock: Lock) -> Result<(), SetupError> {
        let start = Instant::now();
        while !self.try_lock(lock).await? {
            if start.elapsed() >= LOCK_LIMIT {
                return Err(SetupError::Locked {
                    task: lock.task(),
                    after: LOCK_LIMIT,
                });
            }
            time::sleep(LOCK_POLL).await;
        }
        Ok(())
    }

    pub(crate) async fn try_lock(&self, lock: Lock) -> Result<bool, SetupError> {
        let sql = "SELECT pg_try_advisory_lock($1)";
        let row = self.client.query_one(sql, &[&lock.key()]).await;
        let task = lock.task();
        Ok(row
            .map_err(|source| SetupError::Refused { task, source })?
            .get(0))
    }

    pub(crate) async fn unlock(&self, lock: Lock) -> Result<(), SetupError> {
        let sql = format!("SELECT pg_advisory_unlock({})", lock.key());
        self.run(lock.task(), &sql).await
    }

    pub(crate) async fn clone_database(
        &self,
        template: &str,
        name: &str,
    ) -> Result<(), SetupError> {
        let strategy = match self.version().await? {
            HAS_STRATEGIES.. => "STRATEGY FILE_COPY",
            _ => "",
        };
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}");
        self.run("make a database", &sql).await
    }

    /// Drops a database, whoever is connected, and its ordinary owner.
    pub(crate) async fn drop_database(&self, name: &str) -> Result<(), SetupError> {
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        self.run("drop a database", &sql).await?;
        let sql = format!("DROP ROLE IF EXISTS {}", owner_of(name));
        self.run("drop an ordinary owner", &sql).await
    }

    async fn version(&self) -> Result<i32, SetupError> {
        let sql = "SELECT current_setting('server_version_num')::integer";
        let row = self.client.query_one(sql, &[]).await;
        let task = "tell its version";
        Ok(row
            .map_err(|source| SetupError::Refused { task, source })?
            .get(0))
    }
}

impl Lock {
    /// "RULEIQ T" in ASCII and a number; the migrator's own lock has another.
    fn key(self) -> i64 {
        0x5255_4c45_4951_5400
            | match self {
                Lock::Template => 1,
                Lock::Logins => 2,
                Lock::Sweep => 3,
            }
    }

    fn task(self) -> &'static str {
        match self {
            Lock::Template => "make a template",
            Lock::Logins => "make the logins of tests",
            Lock::Sweep => "sweep what is left over",
        }
    }
}

/// Connects, and drives the connection on the current runtime until the client is dropped.
#[expect(
    clippy::disallowed_methods,
    reason = "this is one of the places where connections are made"
)]
pub(crate) async fn connect(url: &Url, application: &str) -> Result<Client, SetupError> {
    let server = address::host_and_port(url).unwrap_or_else(|| "its socket".to_owned());
    let failed = |source| SetupError::Connect {
        server: server.clone(),
        source,
    };
    let mut config: Config = url.as_str().parse().map_err(failed)?;
    config
        .application_name(application)
        .options(STATEMENT_TIMEOUT);
    let connected = time::timeout(CONNECT_TIMEOUT, config.connect(NoTls)).await;
    let (client, connection) = connected
        .map_err(|_| SetupError::TimedOut {
            server: server.clone(),
            after: CONNECT_TIMEOUT,
        })?
        .map_err(failed)?;
    // It ends with an error when its database is dropped under it, which whoever uses the client
    // is told as well.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
}
