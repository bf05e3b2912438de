//! Which servers to start, and how: to and from the words of a command line.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
    str::FromStr,
};

use crate::Error;

/// The servers that one supervisor holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spec {
    /// PostgreSQL, if it is wanted.
    pub postgres: Option<PostgresSpec>,
    /// Redis, if it is wanted.
    pub redis: Option<RedisSpec>,
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

/// One of the two servers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Which {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
}

impl Spec {
    /// A temporary PostgreSQL and a temporary Redis.
    pub fn temporary() -> Spec {
        Spec {
            postgres: Some(PostgresSpec::default()),
            redis: Some(RedisSpec::default()),
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
        words
    }

    /// Reads what [`to_words`](Spec::to_words) writes: `postgres` or `postgres=FOLDER`,
    /// then `postgres:durable` and any number of `postgres:NAME=VALUE`; the same for `redis`.
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

    fn read_word(&mut self, word: &OsStr) -> Option<()> {
        let bytes = word.as_bytes();
        let end = bytes
            .iter()
            .position(|byte| matches!(byte, b'=' | b':'))
            .unwrap_or(bytes.len());
        let which: Which = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
        let Some((&separator, rest)) = bytes[end..].split_first() else {
            self.add(which, DataDir::Temporary);
            return Some(());
        };
        if separator == b'=' {
            let folder = PathBuf::from(OsString::from_vec(rest.to_vec()));
            if !folder.is_absolute() {
                return None;
            }
            self.add(which, DataDir::Kept(folder));
            return Some(());
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

    fn add(&mut self, which: Which, data: DataDir) {
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
        }
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

impl Which {
    /// The word for it: `postgres` or `redis`.
    pub fn word(self) -> &'static str {
        match self {
            Which::Postgres => "postgres",
            Which::Redis => "redis",
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl FromStr for Which {
    type Err = Error;

    fn from_str(word: &str) -> Result<Which, Error> {
        match word {
            "postgres" => Ok(Which::Postgres),
            "redis" => Ok(Which::Redis),
            _ => Err(Error::Word(word.to_owned())),
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
    let mut first = OsString::from(which.word());
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
        };
        for spec in [spec, Spec::default(), Spec::temporary()] {
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
        ] {
            let error = Spec::from_words(["redis", word]).unwrap_err();
            assert!(matches!(error, Error::Word(told) if told == word), "{word}");
        }
    }

    #[test]
    fn a_given_address_takes_the_place_of_a_server() {
        let url = Some(OsStr::new("redis://somewhere"));
        let spec = Spec::temporary().unless_given(Some(OsStr::new("")), url);
        assert!(spec.postgres.is_some());
        assert!(spec.redis.is_none());
    }
}
