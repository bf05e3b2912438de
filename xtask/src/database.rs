//! Servers with data that stay, and the database in them.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use ruleiq_servers::{Spec, Supervised, Which};

use crate::{cargo, home::Home, process, progress, random};

const DATABASE: &str = "ruleiq";
/// Longer than a busy machine takes to copy an empty database.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

/// The running servers, with the database and its logins made.
#[derive(Debug)]
pub(crate) struct Database {
    supervised: Supervised,
    home: Home,
    program: PathBuf,
    superuser: Address,
}

/// Where a server is and who may log in.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Address {
    user: String,
    password: String,
    host: String,
    port: u16,
}

impl Database {
    /// Starts the servers, of which PostgreSQL has to be one. The program is `ruleiq-server`.
    pub(crate) fn start(home: Home, program: PathBuf, spec: &Spec) -> anyhow::Result<Database> {
        let xtask = std::env::current_exe().context("failed to find this program's own file")?;
        let what = match spec.redis {
            Some(_) => "starting PostgreSQL and Redis",
            None => "starting PostgreSQL",
        };
        let supervised = progress::during(what, || {
            Supervised::start(&xtask, spec).context("failed to start the servers")
        })?;
        let url = supervised
            .postgres_url()
            .context("PostgreSQL has no address")?;
        let database = Database {
            superuser: Address::parse(url)?,
            supervised,
            home,
            program,
        };
        database.make()?;
        database.home.note_owner_url(&database.owner_url())?;
        Ok(database)
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The address for whoever changes the schema.
    pub(crate) fn owner_url(&self) -> String {
        let Address { user, password, .. } = &self.superuser;
        self.superuser.url(user, password, DATABASE)
    }

    /// The address for the application.
    pub(crate) fn app_url(&self) -> anyhow::Result<String> {
        let password = self.home.secret("app-password", random::password)?;
        Ok(self.superuser.url(&self.login("app"), &password, DATABASE))
    }

    /// The address for the application's view on statistics.
    pub(crate) fn monitor_url(&self) -> anyhow::Result<String> {
        let password = self.home.secret("monitor-password", random::password)?;
        Ok(self
            .superuser
            .url(&self.login("monitor"), &password, DATABASE))
    }

    /// The name of a login, such as `ruleiq_dev_app`.
    fn login(&self, kind: &str) -> String {
        format!("ruleiq_{}_{kind}", self.home.name())
    }

    /// The password of the login that the seed makes.
    pub(crate) fn demo_password(&self) -> anyhow::Result<String> {
        self.home.secret("demo-password", random::password)
    }

    pub(crate) fn redis_url(&self) -> anyhow::Result<&str> {
        self.supervised.redis_url().context("Redis has no address")
    }

    /// Host and port of a server.
    pub(crate) fn endpoint(&self, which: Which) -> Option<(String, u16)> {
        let address = Address::parse(self.supervised.url(which)?).ok()?;
        Some((address.host, address.port))
    }

    /// Starts a server again that has ended.
    pub(crate) fn start_again(&mut self, which: Which) -> Result<(), ruleiq_servers::Error> {
        self.supervised.start_again(which)
    }

    /// `ruleiq-server` as the owner of the database.
    pub(crate) fn owner_command(&self) -> Command {
        let mut command = owner_command(&self.program, &self.owner_url());
        process::without_postgres_settings(&mut command);
        command
    }

    /// `ruleiq-server seed`.
    pub(crate) fn seed_command(&self, scale: &str) -> anyhow::Result<Command> {
        let mut command = self.owner_command();
        command
            .args(["seed", "--scale", scale])
            .env("RULEIQ_DEMO_PASSWORD", self.demo_password()?);
        Ok(command)
    }

    /// Runs statements in the database as its owner.
    pub(crate) fn run_script(&self, script: &str, limit: Duration) -> anyhow::Result<()> {
        self.superuser.run_script(DATABASE, script, limit)
    }

    /// Makes the database and the logins where they are missing. The groups that these belong to
    /// are made by the first migration if they are not there.
    fn make(&self) -> anyhow::Result<()> {
        let (app, monitor) = (
            self.home.secret("app-password", random::password)?,
            self.home.secret("monitor-password", random::password)?,
        );
        let mut script = String::from(
            "SET client_min_messages = warning;\n\
             -- It would keep the passwords below.\n\
             SET pg_stat_statements.track_utility = off;\n",
        );
        for (login, group, password) in [
            (self.login("app"), "ruleiq_app", app),
            (self.login("monitor"), "ruleiq_monitor", monitor),
        ] {
            let missing = |role: &str| {
                format!(
                    "WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec\n"
                )
            };
            script += &format!("SELECT 'CREATE ROLE {group} NOLOGIN' {}", missing(group));
            script += &format!(
                "SELECT 'CREATE ROLE {login} LOGIN IN ROLE {group}' {}",
                missing(&login)
            );
            script += &format!("ALTER ROLE {login} PASSWORD '{password}';\n");
        }
        script += &format!(
            "SELECT 'CREATE DATABASE {DATABASE}' \
             WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec\n"
        );
        self.superuser
            .run_script("postgres", &script, SCRIPT_LIMIT)?;
        // With it, advice on indexes is tried out by the planner, and not only estimated.
        let hypopg = "SELECT 'CREATE EXTENSION hypopg' FROM pg_available_extensions \
                      WHERE name = 'hypopg' AND installed_version IS NULL \\gexec\n";
        self.superuser.run_script(DATABASE, hypopg, SCRIPT_LIMIT)
    }
}

/// `ruleiq-server` as the owner of a database, for whoever works on this machine.
pub(crate) fn owner_command(program: &Path, owner_url: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(cargo::root())
        .env_remove("DATABASE_URL")
        .env_remove("RULEIQ_CONFIG")
        .env("DATABASE_OWNER_URL", owner_url)
        .env("RULEIQ_ENV", "development");
    command
}

impl Address {
    /// Reads `scheme://user:password@host:port…`, as our own servers' addresses are.
    fn parse(url: &str) -> anyhow::Result<Address> {
        let parts = || {
            let (_, rest) = url.split_once("://")?;
            let (login, place) = rest.split_once('@')?;
            let (user, password) = login.split_once(':')?;
            let place = place.split(['/', '?']).next()?;
            let (host, port) = place.rsplit_once(':')?;
            Some(Address {
                user: user.to_owned(),
                password: password.to_owned(),
                host: host.to_owned(),
                port: port.parse().ok()?,
            })
        };
        parts().context("the address of a server is not `scheme://user:password@host:port`")
    }

    fn url(&self, user: &str, password: &str, database: &str) -> String {
        let Address { host, port, .. } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{database}")
    }

    /// Runs statements in psql. They come by a pipe and the password by the environment, where
    /// other users of the machine do not see them.
    fn run_script(&self, database: &str, script: &str, limit: Duration) -> anyhow::Result<()> {
        let mut command = Command::new(ruleiq_servers::psql()?);
        process::without_postgres_settings(&mut command)
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"])
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", database)
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = process::spawn(&mut command)?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(script.as_bytes())
                .context("psql takes no statements")?;
        }
        let Some(status) = process::ended_within(&mut child, limit)? else {
            process::stop(&mut child)?;
            bail!(
                "PostgreSQL did not end its work on the database within {}",
                progress::seconds(limit)
            );
        };
        ensure!(
            status.success(),
            "failed to work on the database: psql ended with {status}"
        );
        Ok(())
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Address {
            user, host, port, ..
        } = self;
        write!(f, "{user}@{host}:{port}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        let address = Address::parse("postgres://root:secret@127.0.0.1:5433/postgres?a=b").unwrap();
        assert_eq!(format!("{address:?}"), "root@127.0.0.1:5433");
        assert_eq!(
            address.url("a", "b", "c"),
            "postgres://a:b@127.0.0.1:5433/c"
        );
        let redis = Address::parse("redis://:secret@127.0.0.1:6380").unwrap();
        assert_eq!((redis.user.as_str(), redis.port), ("", 6380));
        let error = Address::parse("postgres://secret").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
