//! Reads settings one by one, noting each one's origin and every fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Config, File, FileFormat};
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::{Environment, Listing};

/// The longest time that a setting may name: one year.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where values come from, strongest first.
#[derive(Debug)]
pub(crate) struct Sources {
    environment: BTreeMap<String, String>,
    file: Option<(PathBuf, BTreeMap<String, String>)>,
    dotenv: Option<(PathBuf, BTreeMap<String, String>)>,
}

/// All that is wrong with the settings.
#[derive(Debug)]
pub(crate) struct Faults(Vec<String>);

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) usize);

/// A time that cannot be nothing: what has it would be over before it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime(pub(super) Duration);

/// What is logged, in the words of `tracing`'s filters.
#[derive(Clone, Debug)]
pub(super) struct LogFilter(pub(super) String);

/// A value, or the word `off`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Off<T> {
    Off,
    On(T),
}

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What is expected, for the message about what is not.
    const EXPECTED: &'static str;

    fn parse(text: &str) -> Option<Self>;

    fn shown(&self) -> String;
}

pub(super) struct Reader<'a> {
    sources: &'a Sources,
    listings: Vec<Listing>,
    faults: Vec<String>,
}

impl Sources {
    /// The environment of the process, the file that it names and, in development, `.env.local`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not what its name says.
    pub(crate) fn of_process() -> Result<Sources, Faults> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources::new(environment, Path::new("."))
    }

    /// The given environment, the file that it names and, in development, `.env.local` of the
    /// folder.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not what its name says.
    pub(crate) fn new(
        environment: BTreeMap<String, String>,
        folder: &Path,
    ) -> Result<Sources, Faults> {
        let file = match environment.get("RULEIQ_CONFIG") {
            Some(path) => Some((path.into(), read_toml(Path::new(path))?)),
            None => None,
        };
        let development = environment
            .get("RULEIQ_ENV")
            .is_some_and(|it| it == "development");
        let path = folder.join(".env.local");
        let dotenv = match development && path.exists() {
            true => Some((path.clone(), read_dotenv(&path)?)),
            false => None,
        };
        Ok(Sources {
            environment,
            file,
            dotenv,
        })
    }

    /// The password of the user that `user create` makes.
    pub(crate) fn user_password(&self) -> Option<SecretString> {
        self.secret("RULEIQ_USER_PASSWORD")
    }

    /// The password of the user that `seed` makes.
    pub(crate) fn demo_password(&self) -> Option<SecretString> {
        self.secret("RULEIQ_DEMO_PASSWORD")
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        let (text, _) = self.get(name).filter(|(text, _)| !text.is_empty())?;
        Some(SecretString::from(text))
    }

    /// A value and its origin.
    fn get(&self, name: &str) -> Option<(&str, String)> {
        if let Some(value) = self.environment.get(name) {
            return Some((value, "environment".to_owned()));
        }
        [&self.file, &self.dotenv]
            .into_iter()
            .flatten()
            .find_map(|(path, values)| {
                Some((values.get(name)?.as_str(), path.display().to_string()))
            })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Reader<'a> {
        Reader {
            sources,
            listings: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// A setting with a default. A value that cannot be read is a fault; the default stands in, so
    /// that reading goes on.
    pub(super) fn value<T: Setting>(
        &mut self,
        name: &'static str,
        default: T,
        meaning: &'static str,
    ) -> T {
        let (value, origin) = match self.parsed(name) {
            Some((value, origin)) => (value, origin),
            None => (default, "default".to_owned()),
        };
        self.list(name, value.shown(), origin, meaning);
        value
    }

    /// A setting that may be missing.
    pub(super) fn optional<T: Setting>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
    ) -> Option<T> {
        let parsed = self.parsed::<T>(name);
        let (shown, origin) = match &parsed {
            Some((value, origin)) => (value.shown(), origin.clone()),
            None => (String::new(), "default".to_owned()),
        };
        self.list(name, shown, origin, meaning);
        parsed.map(|(value, _)| value)
    }

    /// A secret that must be there.
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        meaning: &'static str,
    ) -> Option<SecretString> {
        let secret = self.optional_secret(name, meaning);
        if secret.is_none() {
            self.faults.push(format!("{name} is not set ({meaning})"));
        }
        secret
    }

    /// A secret that may be missing. Set and empty counts as missing.
    pub(super) fn optional_secret(
        &mut self,
        name: &'static str,
        meaning: &'static str,
    ) -> Option<SecretString> {
        let found = self.sources.get(name).filter(|(text, _)| !text.is_empty());
        let (shown, origin) = match &found {
            Some((_, origin)) => ("(secret)".to_owned(), origin.clone()),
            None => (String::new(), "default".to_owned()),
        };
        let secret = found.map(|(text, _)| SecretString::from(text));
        self.list(name, shown, origin, meaning);
        secret
    }

    /// Counts an error that shows only when a value is put to use as a fault.
    pub(super) fn check<T>(&mut self, outcome: Result<T, impl fmt::Display>) {
        if let Err(error) = outcome {
            self.faults.push(error.to_string());
        }
    }

    /// Counts what the file sets and nobody has read as faults. Belongs after all have been read.
    pub(super) fn refuse_unknown(&mut self) {
        let known: BTreeSet<&str> = self.listings.iter().map(|it| it.name).collect();
        if let Some((path, values)) = &self.sources.file {
            for name in values.keys().filter(|it| !known.contains(it.as_str())) {
                let (name, path) = (name.to_lowercase(), path.display());
                self.faults.push(format!(
                    "{path} sets `{name}`, which is no setting; `ruleiq-server settings` lists them"
                ));
            }
        }
    }

    /// The settings, unless there were faults.
    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, Faults> {
        match settings {
            Some(settings) if self.faults.is_empty() => Ok(settings),
            _ => Err(Faults(self.faults)),
        }
    }

    pub(super) fn into_listings(self) -> Vec<Listing> {
        self.listings
    }

    fn parsed<T: Setting>(&mut self, name: &'static str) -> Option<(T, String)> {
        let (text, origin) = self.sources.get(name)?;
        let value = T::parse(text.trim());
        if value.is_none() {
            let expected = T::EXPECTED;
            self.faults.push(format!(
                "{name} is `{text}`, expected {expected} (from {origin})"
            ));
        }
        Some((value?, origin))
    }

    fn list(&mut self, name: &'static str, value: String, origin: String, meaning: &'static str) {
        self.listings.push(Listing {
            name,
            value,
            origin,
            meaning,
        });
    }
}

impl Faults {
    /// One that shows only when the settings are put to use.
    pub(crate) fn of(error: &impl fmt::Display) -> Faults {
        Faults(vec![error.to_string()])
    }
}

/// The file has one flat table, whose keys are the names of the settings in lower case.
fn read_toml(path: &Path) -> Result<BTreeMap<String, String>, Faults> {
    let fault = |error: config::ConfigError| {
        Faults(vec![format!(
            "RULEIQ_CONFIG names {}: {error}",
            path.display()
        )])
    };
    let values = Config::builder()
        .add_source(File::from(path).format(FileFormat::Toml))
        .build()
        .and_then(Config::try_deserialize::<BTreeMap<String, config::Value>>)
        .map_err(fault)?;
    values
        .into_iter()
        .map(|(name, value)| Ok((name.to_uppercase(), value.into_string().map_err(fault)?)))
        .collect()
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, Faults> {
    // The library's errors quote the faulty line, which may hold a secret.
    let fault = |_| {
        Faults(vec![format!(
            "{} is not a file of NAME=value lines",
            path.display()
        )])
    };
    dotenvy::from_path_iter(path)
        .map_err(fault)?
        .collect::<Result<_, _>>()
        .map_err(fault)
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Faults(faults) = self;
        let plural = if faults.len() == 1 { "" } else { "s" };
        write!(f, "{} fault{plural} in the settings:", faults.len())?;
        faults.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}

impl std::error::Error for Faults {}

impl<T> From<Off<T>> for Option<T> {
    fn from(value: Off<T>) -> Option<T> {
        match value {
            Off::Off => None,
            Off::On(value) => Some(value),
        }
    }
}

impl<T: Setting> Setting for Off<T> {
    const EXPECTED: &'static str = "`off` or a value";

    fn parse(text: &str) -> Option<Off<T>> {
        match text {
            "off" => Some(Off::Off),
            _ => T::parse(text).map(Off::On),
        }
    }

    fn shown(&self) -> String {
        match self {
            Off::Off => "off".to_owned(),
            Off::On(value) => value.shown(),
        }
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a number of seconds, at most a year";

    fn parse(text: &str) -> Option<Duration> {
        let seconds = text.parse().ok()?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|it| *it <= MAX_DURATION)
    }

    fn shown(&self) -> String {
        self.as_secs_f64().to_string()
    }
}

impl Setting for Lifetime {
    const EXPECTED: &'static str = "a number of seconds above 0, at most a year";

    fn parse(text: &str) -> Option<Lifetime> {
        let time = Duration::parse(text).filter(|it| !it.is_zero());
        time.map(Lifetime)
    }

    fn shown(&self) -> String {
        self.0.shown()
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Setting for Environment {
    const EXPECTED: &'static str = "`development` or `production`";

    fn parse(text: &str) -> Option<Environment> {
        match text {
            "development" => Some(Environment::Development),
            "production" => Some(Environment::Production),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Environment::Development => "development".to_owned(),
            Environment::Production => "production".to_owned(),
        }
    }
}

impl Setting for Bytes {
    const EXPECTED: &'static str = "a number of bytes above 0";

    fn parse(text: &str) -> Option<Bytes> {
        text.parse().ok().filter(|it| *it > 0).map(Bytes)
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for LogFilter {
    const EXPECTED: &'static str = "a level or `target=level,…`";

    fn parse(text: &str) -> Option<LogFilter> {
        let is_filter = EnvFilter::try_new(text).is_ok();
        is_filter.then(|| LogFilter(text.to_owned()))
    }

    fn shown(&self) -> String {
        self.0.clone()
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Option<PathBuf> {
        (!text.is_empty()).then(|| text.into())
    }

    fn shown(&self) -> String {
        self.display().to_string()
    }
}

/// Types that know how to read themselves.
macro_rules! from_str {
    ($($type:ty: $expected:literal),+ $(,)?) => {$(
        impl Setting for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<$type> {
                text.parse().ok()
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

from_str! {
    i32: "a whole number",
    NonZeroU32: "a whole number above 0",
    NonZeroUsize: "a whole number above 0",
    SocketAddr: "an address with a port, such as 127.0.0.1:8080",
    String: "a text",
    usize: "a whole number",
}
