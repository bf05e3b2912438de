//! Servers of a test's own, which it may kill.
//!
//! The program named by `RULEIQ_XTASK` starts them and holds them; they end when this process
//! does, however that happens.

use std::{
    env, fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use ruleiq_servers::{Addresses, Error, Spec, Supervised, Which, XTASK_VARIABLE};

use crate::{
    background,
    error::{SetupError, or_panic},
};

/// Servers for one test alone: a PostgreSQL, a Redis, or what stands beside them. They end with
/// this value.
///
/// Their addresses stay the same when they are started again.
pub struct OwnServers {
    /// A command waits for its answer, so that one at a time is all that is possible.
    supervised: Arc<Mutex<Supervised>>,
    addresses: Addresses,
}

impl OwnServers {
    /// Starts them and waits until they are ready.
    ///
    /// # Panics
    ///
    /// When they do not start; the message says why.
    pub async fn start(spec: Spec) -> OwnServers {
        or_panic(OwnServers::try_start(spec).await)
    }

    async fn try_start(spec: Spec) -> Result<OwnServers, SetupError> {
        let program = env::var_os(XTASK_VARIABLE).map(PathBuf::from);
        let program = program.ok_or(SetupError::Unset {
            variable: XTASK_VARIABLE,
        })?;
        let started = background::run_sync(move || Supervised::start(&program, &spec)).await;
        let supervised = started.map_err(|source| SetupError::OwnServers {
            task: "start",
            source,
        })?;
        Ok(OwnServers {
            addresses: supervised.addresses().clone(),
            supervised: Arc::new(Mutex::new(supervised)),
        })
    }

    /// The superuser's address of PostgreSQL.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn postgres_url(&self) -> &str {
        self.url(Which::Postgres)
    }

    /// The superuser's address of PostgreSQL through `PgBouncer`, which pools by transaction.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn pgbouncer_url(&self) -> &str {
        self.url(Which::PgBouncer)
    }

    /// The superuser's address of the physical standby of PostgreSQL, which refuses to write.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn standby_url(&self) -> &str {
        self.url(Which::PostgresStandby)
    }

    /// The address of Redis, with its password.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn redis_url(&self) -> &str {
        self.url(Which::Redis)
    }

    /// The address by which the sentinels of Redis say who is the primary, with the passwords.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn sentinel_url(&self) -> &str {
        let url = self.addresses.sentinels();
        url.expect("the spec of these servers asks for sentinels")
    }

    /// The address of the Redis Cluster, with its password and all its nodes.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn cluster_url(&self) -> &str {
        let url = self.addresses.cluster();
        url.expect("the spec of these servers asks for a Redis Cluster")
    }

    /// The address of one server, with its password.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn url(&self, which: Which) -> &str {
        let url = self.addresses.of(which);
        url.unwrap_or_else(|| {
            panic!(
                "the spec of these servers does not ask for {}",
                which.name()
            )
        })
    }

    /// Kills a server: it flushes nothing and tells nobody.
    ///
    /// # Panics
    ///
    /// When the server does not run.
    pub async fn kill(&self, which: Which) {
        self.command("be killed", move |it| it.kill(which)).await;
    }

    /// Stops a server in good order.
    ///
    /// # Panics
    ///
    /// When the server does not run.
    pub async fn stop(&self, which: Which) {
        self.command("stop", move |it| it.stop(which)).await;
    }

    /// Starts a killed or stopped server again, with the same data.
    ///
    /// # Panics
    ///
    /// When it runs already or does not start.
    pub async fn start_again(&self, which: Which) {
        self.command("start again", move |it| it.start_again(which))
            .await;
    }

    /// Halts a server where it is: connections stay open and nothing is answered.
    ///
    /// # Panics
    ///
    /// When the server does not run.
    pub async fn pause(&self, which: Which) {
        self.command("be halted", move |it| it.pause(which)).await;
    }

    /// Lets a halted server go on.
    ///
    /// # Panics
    ///
    /// When the server does not run.
    pub async fn resume(&self, which: Which) {
        self.command("go on", move |it| it.resume(which)).await;
    }

    async fn command(
        &self,
        task: &'static str,
        command: impl FnOnce(&mut Supervised) -> Result<(), Error> + Send + 'static,
    ) {
        let supervised = Arc::clone(&self.supervised);
        let done = background::run_sync(move || {
            command(&mut supervised.lock().unwrap_or_else(PoisonError::into_inner))
        });
        or_panic(
            done.await
                .map_err(|source| SetupError::OwnServers { task, source }),
        );
    }
}

impl fmt::Debug for OwnServers {
    /// Names the servers; their addresses hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnServers")
            .field("servers", &self.addresses)
            .finish_non_exhaustive()
    }
}
