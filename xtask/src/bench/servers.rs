//! The servers that cases run on, with data that stay in `target/bench`.

use std::{io::stderr, path::PathBuf, process::Command, time::Duration};

use anyhow::Context as _;
use ruleiq_servers::{PostgresSpec, RedisSpec, Spec, Supervised};

use crate::{database::Database, home::Home, process, process::Interrupt, progress};

/// The data that cases are about. One scale, so that stored runs compare.
pub(super) const SCALE: &str = "demo";
/// As a small production server has it, beside what every one of our servers has. All data of the
/// scale fit into the shared buffers. Commits are durable, autovacuum is on, and what is not named
/// is as PostgreSQL has it.
const POSTGRES: &[(&str, &str)] = &[
    ("shared_buffers", "1GB"),
    ("effective_cache_size", "2GB"),
    ("work_mem", "16MB"),
    ("maintenance_work_mem", "256MB"),
    ("random_page_cost", "1.1"),
    // A checkpoint in the middle of a run would fall on one side.
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "30min"),
    // A scale study opens a thousand.
    ("max_connections", "1200"),
    // For parallel plans, instead of files in the data folder.
    ("min_dynamic_shared_memory", "64MB"),
];
/// A cache that holds what it has in memory, and fails rather than throw keys away unseen.
const REDIS: &[(&str, &str)] = &[("maxmemory", "2gb"), ("maxmemory-policy", "noeviction")];
/// Longer than a million questions take on a slow disk.
const SETTLE_LIMIT: Duration = Duration::from_secs(600);
/// So that no case pays for what happened before it: statistics, visibility, dirty pages.
const SETTLE: &str = "SET client_min_messages = warning; VACUUM (ANALYZE); CHECKPOINT;";
/// What the environment may say of servers that are none of ours.
const NOT_OURS: &[&str] = &[
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "DATABASE_MONITOR_URL",
    "DATABASE_ADMIN_URL",
    "REDIS_URL",
    "RULEIQ_CONFIG",
    DATABASE_URL,
    OWNER_URL,
    REDIS_URL,
    SERVER,
    SCALE_NAME,
    // A run draws its inputs from its own seed, and moves stacks by its own padding.
    "RULEIQ_BENCH_SEED",
    "RULEIQ_BENCH_PADDING",
];
const DATABASE_URL: &str = "RULEIQ_BENCH_DATABASE_URL";
const OWNER_URL: &str = "RULEIQ_BENCH_OWNER_URL";
const REDIS_URL: &str = "RULEIQ_BENCH_REDIS_URL";
const SERVER: &str = "RULEIQ_BENCH_SERVER";
const SCALE_NAME: &str = "RULEIQ_BENCH_SCALE";

/// What the chosen cases need.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Needs {
    /// PostgreSQL with the data, which `ruleiq-server` puts there.
    pub(super) postgres: bool,
    pub(super) redis: bool,
}

/// Servers that end with this value.
#[derive(Debug)]
pub(super) enum Servers {
    /// None is needed.
    None,
    Redis(Supervised),
    Database(Box<Database>),
}

impl Needs {
    pub(super) const NOTHING: Needs = Needs {
        postgres: false,
        redis: false,
    };
    pub(super) const BOTH: Needs = Needs {
        postgres: true,
        redis: true,
    };

    /// What the cases of a component need. One that is not known here gets everything.
    fn of(component: &str) -> Needs {
        match component {
            "compression" => Needs::NOTHING,
            "cache" => Needs {
                redis: true,
                ..Needs::NOTHING
            },
            "database" | "optimizer" => Needs {
                postgres: true,
                ..Needs::NOTHING
            },
            _ => Needs::BOTH,
        }
    }

    /// What these cases need, which are named `component/case`.
    pub(super) fn of_cases(cases: &[String]) -> Needs {
        let components = cases
            .iter()
            .filter_map(|it| it.split_once('/').map(|(component, _)| component));
        components.map(Needs::of).fold(Needs::NOTHING, Needs::and)
    }

    /// What both need.
    fn and(self, other: Needs) -> Needs {
        Needs {
            postgres: self.postgres || other.postgres,
            redis: self.redis || other.redis,
        }
    }
}

impl Servers {
    /// Starts what is needed, and brings the data to where every run begins.
    pub(super) fn up(
        needs: Needs,
        home: Home,
        server: Option<PathBuf>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Servers> {
        interrupt.check()?;
        let owned = |settings: &[(&str, &str)]| -> Vec<(String, String)> {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            settings.iter().map(pair).collect()
        };
        let mut postgres = PostgresSpec::kept(home.postgres()).durable();
        postgres.settings = owned(POSTGRES);
        let redis = RedisSpec {
            settings: owned(REDIS),
            ..RedisSpec::default()
        };
        let spec = Spec {
            postgres: needs.postgres.then_some(postgres),
            redis: needs.redis.then_some(redis),
            ..Spec::default()
        };
        if needs.postgres {
            let server = server.context("the data need `ruleiq-server`")?;
            if !home.postgres().exists() {
                progress::line("making the data takes about a minute, once");
            }
            let database = Database::start(home, server, &spec)?;
            prepare(&database, interrupt)?;
            return Ok(Servers::Database(Box::new(database)));
        }
        if !needs.redis {
            return Ok(Servers::None);
        }
        let xtask = std::env::current_exe().context("failed to find this program's own file")?;
        let supervised = progress::during("starting Redis", || {
            Supervised::start(&xtask, &spec).context("failed to start Redis")
        })?;
        Ok(Servers::Redis(supervised))
    }

    /// Stops them.
    pub(super) fn down(self) -> anyhow::Result<()> {
        match self {
            Servers::None => Ok(()),
            servers => progress::during("stopping servers", || {
                drop(servers);
                Ok(())
            }),
        }
    }

    /// Tells a program where the servers are, in its environment: a command line is for all to see.
    pub(super) fn tell(&self, command: &mut Command) -> anyhow::Result<()> {
        process::without_postgres_settings(command);
        for name in NOT_OURS {
            command.env_remove(name);
        }
        match self {
            Servers::None => {}
            Servers::Redis(supervised) => {
                command.envs(supervised.redis_url().map(|url| (REDIS_URL, url)));
            }
            Servers::Database(database) => {
                command
                    .env(DATABASE_URL, database.app_url()?)
                    .env(OWNER_URL, database.owner_url())
                    .env(SERVER, database.program())
                    .env(SCALE_NAME, SCALE);
                command.envs(database.redis_url().ok().map(|url| (REDIS_URL, url)));
            }
        }
        Ok(())
    }
}

/// Schema and data, each only as far as it is missing. What is said of it is no output of ours.
fn prepare(database: &Database, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut migrate = database.owner_command();
    process::run(migrate.args(["migrate", "up"]).stdout(stderr()), interrupt)?;
    let mut seed = database.seed_command(SCALE)?;
    process::run(seed.stdout(stderr()), interrupt)?;
    progress::during("vacuuming and writing everything to disk", || {
        database.run_script(SETTLE, SETTLE_LIMIT)
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_run_inherits_neither_servers_nor_seed() -> anyhow::Result<()> {
        let mut command = Command::new("true");
        Servers::None.tell(&mut command)?;
        for name in ["DATABASE_URL", "RULEIQ_BENCH_SEED", "RULEIQ_BENCH_PADDING"] {
            let told = command.get_envs().find(|it| it.0 == OsStr::new(name));
            assert_eq!(told, Some((OsStr::new(name), None)), "{name}");
        }
        Ok(())
    }

    #[test]
    fn only_what_the_components_need_is_started() {
        let check = |components: &[&str], postgres: bool, redis: bool| {
            let cases: Vec<String> = components.iter().map(|it| format!("{it}/case")).collect();
            let expect = Needs { postgres, redis };
            assert_eq!(Needs::of_cases(&cases), expect, "{components:?}");
        };
        check(&[], false, false);
        check(&["compression"], false, false);
        check(&["compression", "cache"], false, true);
        check(&["database", "optimizer"], true, false);
        check(&["cache", "database"], true, true);
        check(&["http"], true, true);
        check(&["pools"], true, true);
        check(&["one of tomorrow"], true, true);
    }
}
