//! Servers of a test's own, which it may kill.
//!
//! The program named by `RULEIQ_XTASK` starts them and holds them; they end when this process
//! does, however that happens.

use std::{
    env, fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use ruleiq_servers::{Error, Spec, Supervised, Which, XTASK_VARIABLE};

use crate::{
    background,
    error::{SetupError, or_panic},
};

/// A PostgreSQL, a Redis, or both, for one test alone. They end with this value.
///
/// Their addresses stay the same when they are started again.
pub struct OwnServers {
    /// A command waits for its answer, so that one at a time is all that is possible.
    supervised: Arc<Mutex<Supervised>>,
    postgres_url: Option<String>,
    redis_url: Option<String>,
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
            postgres_url: supervised.postgres_url().map(str::to_owned),
            redis_url: supervised.redis_url().map(str::to_owned),
            supervised: Arc::new(Mutex::new(supervised)),
        })
    }

    /// The superuser's address of PostgreSQL.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn postgres_url(&self) -> &str {
        let url = self.postgres_url.as_deref();
        url.expect("the spec of these servers asks for a PostgreSQL")
    }

    /// The address of Redis, with its password.
    ///
    /// # Panics
    ///
    /// When the spec asked for none.
    pub fn redis_url(&self) -> &str {
        let url = self.redis_url.as_deref();
        url.expect("the spec of these servers asks for a Redis")
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
    /// Leaves out the addresses, which hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnServers")
            .field("postgres", &self.postgres_url.is_some())
            .field("redis", &self.redis_url.is_some())
            .finish_non_exhaustive()
    }
}
