//! Which servers to start, and how: to and from the words of a command line.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

use crate::{Error, Which};

const PGBOUNCER: &str = "pgbouncer";
const STANDBY: &str = "standby";
const SENTINELS: &str = "sentinels";
const CLUSTER: &str = "cluster";

/// The servers that one supervisor holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spec {
    /// PostgreSQL, if it is wanted.
    pub postgres: Option<PostgresSpec>,
    /// Redis, if it is wanted.
    pub redis: Option<RedisSpec>,
    /// Whether a `PgBouncer` that pools by transaction stands in front of PostgreSQL.
    pub pgbouncer: bool,
    /// Whether PostgreSQL has a physical standby, which answers what only reads.
    pub standby: bool,
    /// Whether Redis has a replica, and three sentinels that promote it when Redis is gone.
    pub sentinels: bool,
    /// Whether there is a Redis Cluster of three masters with a replica each, apart from `redis`.
    pub cluster: bool,
}

/// How PostgreSQL is to be run. The default is for tests: temporary and fast.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PostgresSpec {
    /// Whether a commit must survive a kill and a power failure. Without it, `fsync`,
    /// `synchronous_commit` and `full_page_writes` are off: a kill may lose the last second, a
    /// power failure everything.
    pub durable: bool,
    /// Where the data are.
    pub data: DataDir,
    /// Further settings by name, such as `("max_connections", "20")`. They win over ours.
    pub settings: Vec<(String, String)>,
}

/// How Redis is to be run. The default is for tests: temporary and fast.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RedisSpec {
    /// Whether an acknowledged write must survive a kill and a power failure (`appendfsync always`).
    /// Without it, a power failure may lose the last second of kept data, and temporary data are
    /// never written.
    pub durable: bool,
    /// Where the data are.
    pub data: DataDir,
    /// Further settings by name, such as `("maxmemory", "16mb")`. They win over ours.
    pub settings: Vec<(String, String)>,
}

/// Where a server's data are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum DataDir {
    /// In a folder that is removed with the server.
    #[default]
    Temporary,
    /// In this folder, which stays and is found again. One supervisor at a time may hold it.
    Kept(PathBuf),
}

impl Spec {
    /// A temporary PostgreSQL and a temporary Redis.
    pub fn temporary() -> Spec {
        Spec {
            postgres: Some(PostgresSpec::default()),
            redis: Some(RedisSpec::default()),
            ..Spec::default()
        }
    }

    /// Leaves out the servers whose addresses are given, such as by the environment. An empty
    /// address counts as none.
    #[must_use]
    pub fn unless_given(mut self, database_url: Option<&OsStr>, redis_url: Option<&OsStr>) -> Spec {
        let is_given = |url: Option<&OsStr>| url.is_some_and(|url| !url.is_empty());
        if is_given(database_url) {
            self.postgres = None;
        }
        if is_given(redis_url) {
            self.redis = None;
        }
        self
    }

    /// The words of which [`from_words`](Spec::from_words) makes the same again.
    pub fn to_words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        if let Some(spec) = &self.postgres {
            push_words(
                &mut words,
                Which::Postgres,
                spec.durable,
                &spec.data,
                &spec.settings,
            );
        }
        if let Some(spec) = &self.redis {
            push_words(
                &mut words,
                Which::Redis,
                spec.durable,
                &spec.data,
                &spec.settings,
            );
        }
        for (is_wanted, word) in [
            (self.pgbouncer, PGBOUNCER),
            (self.standby, STANDBY),
            (self.sentinels, SENTINELS),
            (self.cluster, CLUSTER),
        ] {
            words.extend(is_wanted.then(|| word.into()));
        }
        words
    }

    /// Reads what [`to_words`](Spec::to_words) writes: `postgres` or `postgres=FOLDER`,
    /// then `postgres:durable` and any number of `postgres:NAME=VALUE`; the same for `redis`;
    /// `pgbouncer`, `standby`, `sentinels`, `cluster`.
    ///
    /// # Errors
    ///
    /// [`Error::Word`] for a word that is none of these, or that speaks of a server not yet named.
    pub fn from_words<W: Into<OsString>>(
        words: impl IntoIterator<Item = W>,
    ) -> Result<Spec, Error> {
        let mut spec = Spec::default();
        for word in words {
            let word = word.into();
            spec.read_word(&word)
                .ok_or_else(|| Error::Word(word.to_string_lossy().into_owned()))?;
        }
        Ok(spec)
    }

    /// Refuses what cannot be started, such as a pooler in front of nothing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (is_wanted, word, is_met, needs) in [
            (
                self.pgbouncer,
                PGBOUNCER,
                self.postgres.is_some(),
                Which::Postgres,
            ),
            (
                self.standby,
                STANDBY,
                self.postgres.is_some(),
                Which::Postgres,
            ),
            (
                self.sentinels,
                SENTINELS,
                self.redis.is_some(),
                Which::Redis,
            ),
        ] {
            if is_wanted && !is_met {
                return Err(Error::Unmet { word, needs });
            }
        }
        Ok(())
    }

    fn read_word(&mut self, word: &OsStr) -> Option<()> {
        match word.to_str() {
            Some(PGBOUNCER) => self.pgbouncer = true,
            Some(STANDBY) => self.standby = true,
            Some(SENTINELS) => self.sentinels = true,
            Some(CLUSTER) => self.cluster = true,
            _ => return self.read_server_word(word),
        }
        Some(())
    }

    fn read_server_word(&mut self, word: &OsStr) -> Option<()> {
        let bytes = word.as_bytes();
        let end = bytes
            .iter()
            .position(|byte| matches!(byte, b'=' | b':'))
            .unwrap_or(bytes.len());
        let which: Which = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
        let Some((&separator, rest)) = bytes[end..].split_first() else {
            return self.add(which, DataDir::Temporary);
        };
        if separator == b'=' {
            let folder = PathBuf::from(OsString::from_vec(rest.to_vec()));
            if !folder.is_absolute() {
                return None;
            }
            return self.add(which, DataDir::Kept(folder));
        }
        let (durable, settings) = self.options(which)?;
        let rest = std::str::from_utf8(rest).ok()?;
        match rest.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                settings.push((name.to_owned(), value.to_owned()));
            }
            None if rest == "durable" => *durable = true,
            _ => return None,
        }
        Some(())
    }

    fn add(&mut self, which: Which, data: DataDir) -> Option<()> {
        match which {
            Which::Postgres => {
                self.postgres = Some(PostgresSpec {
                    data,
                    ..PostgresSpec::default()
                });
            }
            Which::Redis => {
                self.redis = Some(RedisSpec {
                    data,
                    ..RedisSpec::default()
                });
            }
            _ => return None,
        }
        Some(())
    }

    fn options(&mut self, which: Which) -> Option<(&mut bool, &mut Vec<(String, String)>)> {
        match which {
            Which::Postgres => {
                let spec = self.postgres.as_mut()?;
                Some((&mut spec.durable, &mut spec.settings))
            }
            Which::Redis => {
                let spec = self.redis.as_mut()?;
                Some((&mut spec.durable, &mut spec.settings))
            }
            _ => None,
        }
    }
}

impl PostgresSpec {
    /// PostgreSQL with its data in a folder that stays.
    pub fn kept(folder: impl Into<PathBuf>) -> PostgresSpec {
        PostgresSpec {
            data: DataDir::Kept(folder.into()),
            ..PostgresSpec::default()
        }
    }

    /// The same with commits that survive a power failure.
    #[must_use]
    pub fn durable(self) -> PostgresSpec {
        PostgresSpec {
            durable: true,
            ..self
        }
    }
}

impl RedisSpec {
    /// Redis with its data in a folder that stays.
    pub fn kept(folder: impl Into<PathBuf>) -> RedisSpec {
        RedisSpec {
            data: DataDir::Kept(folder.into()),
            ..RedisSpec::default()
        }
    }

    /// The same with acknowledged writes that survive a power failure.
    #[must_use]
    pub fn durable(self) -> RedisSpec {
        RedisSpec {
            durable: true,
            ..self
        }
    }
}

fn push_words(
    words: &mut Vec<OsString>,
    which: Which,
    durable: bool,
    data: &DataDir,
    settings: &[(String, String)],
) {
    let mut first = OsString::from(which.to_string());
    if let DataDir::Kept(folder) = data {
        first.push("=");
        first.push(folder);
    }
    words.push(first);
    if durable {
        words.push(format!("{which}:durable").into());
    }
    for (name, value) in settings {
        words.push(format!("{which}:{name}={value}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_comes_back_from_its_words() {
        let spec = Spec {
            postgres: Some(PostgresSpec {
                durable: true,
                data: DataDir::Kept("/srv/a b=c:d".into()),
                settings: vec![("search_path".to_owned(), "a=b, c".to_owned())],
            }),
            redis: Some(RedisSpec::default()),
            pgbouncer: true,
            standby: true,
            sentinels: true,
            cluster: false,
        };
        let cluster = Spec {
            cluster: true,
            ..Spec::default()
        };
        for spec in [spec, cluster, Spec::default(), Spec::temporary()] {
            assert_eq!(Spec::from_words(spec.to_words()).unwrap(), spec);
        }
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for word in [
            "",
            "mysql",
            "postgres=relative",
            "postgres:durable",
            "redis:",
            "redis:=x",
            "redis-replica",
            "sentinel-0",
            "postgres-standby",
            "standby:durable",
            "cluster=/srv",
            "pgbouncer:durable",
        ] {
            let error = Spec::from_words(["redis", word]).unwrap_err();
            assert!(matches!(error, Error::Word(told) if told == word), "{word}");
        }
    }

    #[test]
    fn what_stands_beside_a_server_needs_that_server() {
        let check = |words: &[&str], expect: Option<(&str, Which)>| {
            let unmet = match Spec::from_words(words).unwrap().check() {
                Err(Error::Unmet { word, needs }) => Some((word, needs)),
                _ => None,
            };
            assert_eq!(unmet, expect, "{words:?}");
        };
        check(
            &["pgbouncer", "redis"],
            Some(("pgbouncer", Which::Postgres)),
        );
        check(&["standby", "redis"], Some(("standby", Which::Postgres)));
        check(
            &["sentinels", "postgres"],
            Some(("sentinels", Which::Redis)),
        );
        check(
            &["sentinels", "redis", "pgbouncer", "standby", "postgres"],
            None,
        );
        check(&["cluster"], None);
    }

    #[test]
    fn a_given_address_takes_the_place_of_a_server() {
        let url = Some(OsStr::new("redis://somewhere"));
        let spec = Spec::temporary().unless_given(Some(OsStr::new("")), url);
        assert!(spec.postgres.is_some());
        assert!(spec.redis.is_none());
    }
}
