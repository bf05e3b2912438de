//! The PostgreSQL and the Redis that tests share, and how tests learn of them.

use std::{ffi::OsString, path::PathBuf, process::Command};

use anyhow::Context as _;
use ruleiq_servers::{DATABASE_URL_VARIABLE, REDIS_URL_VARIABLE, Spec, Supervised, XTASK_VARIABLE};

use crate::{process, progress};

/// Addresses that somebody uses for work, and the file that may hold them. No test may find them.
const NOT_FOR_TESTS: &[&str] = &[
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "DATABASE_MONITOR_URL",
    "DATABASE_ADMIN_URL",
    "REDIS_URL",
    "RULEIQ_CONFIG",
];

/// Servers for tests. Those that this process started end with this value.
#[derive(Debug)]
pub(crate) struct TestServers {
    supervised: Option<Supervised>,
    /// What the environment names already.
    given: Vec<(&'static str, OsString)>,
    xtask: PathBuf,
}

impl TestServers {
    /// Starts the servers that the environment does not name.
    pub(crate) fn up() -> anyhow::Result<TestServers> {
        let given: Vec<(&'static str, OsString)> = [DATABASE_URL_VARIABLE, REDIS_URL_VARIABLE]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .filter(|(_, url)| !url.is_empty())
            .collect();
        let url = |name: &str| {
            let found = given.iter().find(|(given, _)| *given == name);
            found.map(|(_, url)| url.as_os_str())
        };
        let spec =
            Spec::temporary().unless_given(url(DATABASE_URL_VARIABLE), url(REDIS_URL_VARIABLE));
        let xtask = std::env::current_exe().context("failed to find this program's own file")?;
        let supervised = match spec == Spec::default() {
            true => None,
            false => Some(progress::during("starting servers for tests", || {
                Supervised::start(&xtask, &spec).context("failed to start servers for tests")
            })?),
        };
        Ok(TestServers {
            supervised,
            given,
            xtask,
        })
    }

    /// Stops those that this process started.
    pub(crate) fn down(self) -> anyhow::Result<()> {
        let Some(supervised) = self.supervised else {
            return Ok(());
        };
        progress::during("stopping servers", || {
            drop(supervised);
            Ok(())
        })
    }

    /// Tells a program where the servers are.
    pub(crate) fn tell(&self, command: &mut Command) {
        process::without_postgres_settings(command);
        for name in NOT_FOR_TESTS {
            command.env_remove(name);
        }
        command.env(XTASK_VARIABLE, &self.xtask);
        command.envs(self.given.iter().map(|(name, url)| (name, url)));
        if let Some(supervised) = &self.supervised {
            let database = supervised.postgres_url();
            command.envs(database.map(|url| (DATABASE_URL_VARIABLE, url)));
            let redis = supervised.redis_url();
            command.envs(redis.map(|url| (REDIS_URL_VARIABLE, url)));
        }
    }
}
