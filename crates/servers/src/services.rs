//! Servers for tests that outlive the command that starts them.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    DATABASE_URL_VARIABLE, Error, PostgresSpec, REDIS_URL_VARIABLE, RedisSpec, Which,
    XTASK_VARIABLE,
    instance::{self, lock_home, remove_kept, resolve},
    server::Server,
};

const BOTH: [Which; 2] = [Which::Postgres, Which::Redis];

/// The shared test servers of one checkout.
///
/// Their data are for tests: fast, not durable, and gone when the servers stop.
#[derive(Debug)]
pub struct Services {
    home: PathBuf,
}

/// The addresses of the running servers.
#[derive(Clone, Eq, PartialEq)]
pub struct Running {
    /// The superuser's address of PostgreSQL.
    pub database_url: String,
    /// The address of Redis, password included.
    pub redis_url: String,
}

/// How one of the servers is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// It was not started, or has ended.
    Down,
    /// It runs.
    Up {
        /// Its process id.
        pid: u32,
        /// Its port on 127.0.0.1.
        port: u16,
    },
}

impl Services {
    /// The servers whose data are in `home`, one folder per checkout.
    pub fn new(home: impl Into<PathBuf>) -> Services {
        Services { home: home.into() }
    }

    /// Starts what does not run yet. What takes long is told on `notices`.
    ///
    /// # Errors
    ///
    /// When a server cannot be started.
    pub fn up(&self, notices: &mut dyn Write) -> Result<Running, Error> {
        let _lock = lock_home(&self.all())?;
        instance::sweep(&self.home)?;
        if let Some(folder) = self.cleared(Which::Postgres)? {
            Server::postgres(&self.home, &PostgresSpec::kept(folder), notices)?.leave();
        }
        if let Some(folder) = self.cleared(Which::Redis)? {
            Server::redis(&self.home, &RedisSpec::kept(folder), notices)?.leave();
        }
        self.running()
    }

    /// Stops what runs and removes the data. Answers whether anything ran.
    ///
    /// # Errors
    ///
    /// When the data cannot be removed.
    pub fn down(&self) -> Result<bool, Error> {
        let _lock = lock_home(&self.all())?;
        let mut any = false;
        for which in BOTH {
            let folder = self.folder(which);
            if let Some(process) = instance::running(&resolve(&folder)) {
                any = true;
                process.ask_to_end(which.discard_signals());
            }
            remove_kept(&folder)?;
        }
        Ok(any)
    }

    /// How each server is.
    pub fn status(&self) -> [(Which, State); 2] {
        BOTH.map(|which| (which, self.state(which)))
    }

    /// The addresses of the servers.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when one of them does not run.
    pub fn running(&self) -> Result<Running, Error> {
        Ok(Running {
            database_url: self.url(Which::Postgres)?,
            redis_url: self.url(Which::Redis)?,
        })
    }

    /// The variables that tests need, by name: the addresses, and `program`, the one that has the
    /// subcommand `supervise`.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when one of the servers does not run.
    pub fn env(&self, program: &Path) -> Result<[(&'static str, String); 3], Error> {
        let running = self.running()?;
        Ok([
            (DATABASE_URL_VARIABLE, running.database_url),
            (REDIS_URL_VARIABLE, running.redis_url),
            (XTASK_VARIABLE, program.display().to_string()),
        ])
    }

    fn all(&self) -> PathBuf {
        self.home.join("services")
    }

    fn folder(&self, which: Which) -> PathBuf {
        self.all().join(which.to_string())
    }

    /// The folder of a server that does not run, without data: without `fsync`, nobody knows how
    /// whole those of the last time are.
    fn cleared(&self, which: Which) -> Result<Option<PathBuf>, Error> {
        if self.state(which) != State::Down {
            return Ok(None);
        }
        let folder = self.folder(which);
        remove_kept(&folder)?;
        Ok(Some(folder))
    }

    fn state(&self, which: Which) -> State {
        let folder = resolve(&self.folder(which));
        match (instance::running(&folder), instance::port(&folder)) {
            (Some(process), Some(port)) => State::Up {
                pid: process.pid(),
                port,
            },
            _ => State::Down,
        }
    }

    fn url(&self, which: Which) -> Result<String, Error> {
        let State::Up { port, .. } = self.state(which) else {
            return Err(Error::NotRunning(which));
        };
        let path = resolve(&self.folder(which)).join("password");
        let password = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        Ok(which.product().url(&password, port))
    }
}

/// Without the passwords.
impl fmt::Debug for Running {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Running").finish_non_exhaustive()
    }
}
