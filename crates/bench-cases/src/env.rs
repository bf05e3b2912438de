//! What cases run in: servers, data, programs.

pub(crate) mod facts;
pub(crate) mod pids;

use std::path::{Path, PathBuf};

use ruleiq_bench::Fault;

/// The variables that [`Env::from_variables`] asks for.
pub const DATABASE_URL: &str = "RULEIQ_BENCH_DATABASE_URL";
/// See [`Env::owner_url`].
pub const OWNER_URL: &str = "RULEIQ_BENCH_OWNER_URL";
/// See [`Env::redis_url`].
pub const REDIS_URL: &str = "RULEIQ_BENCH_REDIS_URL";
/// See [`Env::server_program`].
pub const SERVER: &str = "RULEIQ_BENCH_SERVER";
/// See [`Env::scale`].
pub const SCALE: &str = "RULEIQ_BENCH_SCALE";
/// See [`Env::seed`].
pub const SEED: &str = "RULEIQ_BENCH_SEED";

/// The surroundings of cases. What is missing is an error only for the case that asks for it.
#[derive(Clone, Debug, Default)]
pub struct Env {
    database_url: Option<String>,
    owner_url: Option<String>,
    redis_url: Option<String>,
    server_program: Option<PathBuf>,
    scale: String,
    seed: u64,
}

impl Env {
    /// Surroundings with nothing in them.
    pub fn new() -> Env {
        Env {
            seed: 42,
            ..Env::default()
        }
    }

    /// What the variables say that `lookup` finds, such as those of the process.
    ///
    /// # Errors
    ///
    /// When the seed is no number.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Env, Fault> {
        let seed = match lookup(SEED) {
            None => 42,
            Some(text) => text
                .parse()
                .map_err(|_| Fault::Failed(format!("{SEED}=`{text}` is no whole number")))?,
        };
        Ok(Env {
            database_url: lookup(DATABASE_URL),
            owner_url: lookup(OWNER_URL),
            redis_url: lookup(REDIS_URL),
            server_program: lookup(SERVER).map(PathBuf::from),
            scale: lookup(SCALE).unwrap_or_default(),
            seed,
        })
    }

    /// With the database that the application's role uses.
    #[must_use]
    pub fn with_database_url(mut self, url: &str) -> Env {
        self.database_url = Some(url.to_owned());
        self
    }

    /// With the database that its owner uses.
    #[must_use]
    pub fn with_owner_url(mut self, url: &str) -> Env {
        self.owner_url = Some(url.to_owned());
        self
    }

    /// With a Redis.
    #[must_use]
    pub fn with_redis_url(mut self, url: &str) -> Env {
        self.redis_url = Some(url.to_owned());
        self
    }

    /// With a `ruleiq-server` to start.
    #[must_use]
    pub fn with_server_program(mut self, program: &Path) -> Env {
        self.server_program = Some(program.to_owned());
        self
    }

    /// With the name of the data's scale.
    #[must_use]
    pub fn with_scale(mut self, scale: &str) -> Env {
        scale.clone_into(&mut self.scale);
        self
    }

    /// With what all draws of cases come from.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Env {
        self.seed = seed;
        self
    }

    /// The database, as the application's role.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn database_url(&self) -> Result<&str, Fault> {
        self.database_url
            .as_deref()
            .ok_or_else(|| missing("a database", DATABASE_URL))
    }

    /// The database, as its owner.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn owner_url(&self) -> Result<&str, Fault> {
        self.owner_url
            .as_deref()
            .ok_or_else(|| missing("a database, as its owner", OWNER_URL))
    }

    /// The Redis.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn redis_url(&self) -> Result<&str, Fault> {
        self.redis_url
            .as_deref()
            .ok_or_else(|| missing("a Redis", REDIS_URL))
    }

    /// The server's program.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn server_program(&self) -> Result<&Path, Fault> {
        self.server_program
            .as_deref()
            .ok_or_else(|| missing("the server's program", SERVER))
    }

    /// What all draws of cases come from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The name of the data's scale.
    pub fn scale(&self) -> &str {
        &self.scale
    }
}

fn missing(what: &str, variable: &str) -> Fault {
    Fault::Failed(format!(
        "{what} is needed and not there: set {variable}, or start this through `cargo xtask bench`"
    ))
}
