//! Every setting of the server: its name, meaning, default and current value.
//!
//! A value comes from the environment, else from the file that `RULEIQ_CONFIG` names, else, in
//! development, from `.env.local`, else it is the default. Nothing else in the program reads the
//! environment. All faults are collected, so that one start reports every one of them.

mod compression;
mod connections;
mod listing;
mod n_plus_one;
mod reader;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use secrecy::SecretString;

use self::reader::{Bytes, Lifetime, LogFilter, Off, Reader};
pub(crate) use self::{
    listing::Listing,
    n_plus_one::NPlusOne,
    reader::{Faults, Sources},
};
use crate::auth::Tokens;

/// Where the process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Environment {
    /// A developer's machine: readable logs, demo data allowed.
    Development,
    /// Everything else.
    Production,
}

/// All settings, typed and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) environment: Environment,
    pub(crate) log_filter: String,
    pub(crate) http: Http,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) cache: Cache,
    pub(crate) auth: Auth,
    pub(crate) monitoring: Monitoring,
    pub(crate) n_plus_one: NPlusOne,
    pub(crate) compression: ruleiq_compression::Config,
}

/// How requests are served and how serving ends.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) bind_address: SocketAddr,
    pub(crate) workers: NonZeroUsize,
    pub(crate) request_timeout: Duration,
    pub(crate) max_body_bytes: usize,
    pub(crate) drain_delay: Duration,
    pub(crate) shutdown_grace: Duration,
}

/// How the database is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) replicas: bool,
    pub(crate) replica_max_lag: Duration,
    pub(crate) reader_connections: usize,
}

/// How PostgreSQL is reached.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: SecretString,
    pub(crate) monitor_url: Option<SecretString>,
    pub(crate) admin_url: Option<SecretString>,
    pub(crate) pool_size: NonZeroUsize,
    pub(crate) max_overflow: usize,
    pub(crate) pool_timeout: Duration,
    pub(crate) pool_recycle: Duration,
    pub(crate) pool_autosize: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) transaction_pooling: bool,
    pub(crate) adaptive: bool,
    pub(crate) reading: Reading,
    pub(crate) ca_file: Option<PathBuf>,
}

/// How Redis is reached.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) url: SecretString,
    pub(crate) max_connections: NonZeroUsize,
}

/// How much is remembered in the process.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) prefix: String,
    pub(crate) l1_max_bytes: usize,
}

/// How callers prove who they are.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) jwt_keys: SecretString,
    pub(crate) access_token_ttl: Duration,
    pub(crate) refresh_token_ttl: Duration,
    pub(crate) login_attempts_per_minute: NonZeroU32,
}

/// What is measured, and who may see it.
#[derive(Debug)]
pub(crate) struct Monitoring {
    pub(crate) enabled: bool,
    pub(crate) benchmark: bool,
    pub(crate) slow_request_threshold: Duration,
    pub(crate) metrics_bind_address: Option<SocketAddr>,
    pub(crate) metrics_token: Option<SecretString>,
}

/// The settings that `migrate`, `seed` and `user` need.
#[derive(Debug)]
pub(crate) struct OwnerSettings {
    pub(crate) environment: Environment,
    pub(crate) log_filter: String,
    pub(crate) database_url: SecretString,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Settings {
    /// Reads and checks everything that `serve` needs.
    ///
    /// # Errors
    ///
    /// All faults at once.
    pub(crate) fn load(sources: &Sources) -> Result<Settings, Faults> {
        let mut reader = Reader::new(sources);
        let settings = Settings::read(&mut reader);
        reader.refuse_unknown();
        reader.finish(settings)
    }

    /// Every setting with its value, whether or not the whole is sound.
    pub(crate) fn list(sources: &Sources) -> Vec<Listing> {
        let mut reader = Reader::new(sources);
        Settings::read(&mut reader);
        reader.into_listings()
    }

    fn read(from: &mut Reader<'_>) -> Option<Settings> {
        let environment = environment(from);
        let log_filter = log_filter(from);
        let http = Http::read(from, environment);
        let database = Database::read(from);
        let redis = Redis::read(from);
        let cache = Cache::read(from);
        let auth = Auth::read(from);
        connections::check(from, database.as_ref(), redis.as_ref());
        let monitoring = Monitoring::read(from, environment);
        let n_plus_one = NPlusOne::read(from, environment);
        let compression = compression::read(from);
        Some(Settings {
            environment,
            log_filter,
            http,
            database: database?,
            redis: redis?,
            cache,
            auth: auth?,
            monitoring,
            n_plus_one,
            compression,
        })
    }
}

impl Http {
    fn read(from: &mut Reader<'_>, environment: Environment) -> Http {
        let drain_delay = match environment {
            Environment::Development => Duration::ZERO,
            Environment::Production => Duration::from_secs(5),
        };
        Http {
            bind_address: from.value(
                "BIND_ADDRESS",
                SocketAddr::from(([127, 0, 0, 1], 8080)),
                "Address and port of the API",
            ),
            workers: from.value(
                "WORKERS",
                std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
                "Threads that serve requests; set it in a container without a CPU limit",
            ),
            request_timeout: from
                .value(
                    "REQUEST_TIMEOUT",
                    Lifetime(Duration::from_secs(30)),
                    "Seconds until a request is answered with 504",
                )
                .0,
            max_body_bytes: from
                .value(
                    "MAX_BODY_BYTES",
                    Bytes(1024 * 1024),
                    "The largest request body, in bytes",
                )
                .0,
            drain_delay: from.value(
                "DRAIN_DELAY",
                drain_delay,
                "Seconds between \"not ready\" and the last new connection, at shutdown",
            ),
            shutdown_grace: from.value(
                "SHUTDOWN_GRACE",
                Duration::from_secs(20),
                "Seconds that running requests get to finish, at shutdown",
            ),
        }
    }
}

impl Database {
    fn read(from: &mut Reader<'_>) -> Option<Database> {
        let url = from.secret("DATABASE_URL", "PostgreSQL, as the role `ruleiq_app`");
        // For the commands on the schema: serving knows it and leaves it alone.
        owner_url(from);
        let database = Database {
            monitor_url: from.optional_secret(
                "DATABASE_MONITOR_URL",
                "PostgreSQL, as the role `ruleiq_monitor`; without it the statistics show less",
            ),
            admin_url: from.optional_secret(
                "DATABASE_ADMIN_URL",
                "PostgreSQL itself, as the owner of the tables, to make indexes and vacuum on demand; \
                 without it the endpoint answers with the SQL to run by hand",
            ),
            pool_size: from.value(
                "DATABASE_POOL_SIZE",
                NonZeroUsize::new(10).expect("10 is not 0"),
                "Connections that stay open",
            ),
            max_overflow: from.value(
                "DATABASE_MAX_OVERFLOW",
                20,
                "Connections beyond these, opened under load",
            ),
            pool_timeout: from.value(
                "DATABASE_POOL_TIMEOUT",
                Duration::from_secs(30),
                "Seconds to wait for a connection",
            ),
            pool_recycle: from.value(
                "DATABASE_POOL_RECYCLE",
                Duration::from_secs(3600),
                "Seconds after which a connection is replaced",
            ),
            pool_autosize: from.value(
                "DATABASE_POOL_AUTOSIZE",
                true,
                "Whether the size is raised on large machines: 1.5x or 2x",
            ),
            connect_timeout: from
                .value(
                    "DATABASE_CONNECT_TIMEOUT",
                    Lifetime(Duration::from_secs(5)),
                    "Seconds to wait for a new connection",
                )
                .0,
            statement_timeout: from
                .value(
                    "DATABASE_STATEMENT_TIMEOUT",
                    Off::On(Duration::from_secs(60)),
                    "Seconds until the server stops a statement, or `off`",
                )
                .into(),
            reading: Reading::read(from),
            transaction_pooling: from.value(
                "DATABASE_TRANSACTION_POOLING",
                false,
                "Whether a pooler in transaction mode stands between, such as PgBouncer",
            ),
            adaptive: from.value(
                "DATABASE_ADAPTIVE_CONCURRENCY",
                false,
                "Whether fewer connections are used while the database is slower than it was",
            ),
            ca_file: ca_file(from),
            url: SecretString::default(),
        };
        Some(Database {
            url: url?,
            ..database
        })
    }
}

impl Reading {
    fn read(from: &mut Reader<'_>) -> Reading {
        Reading {
            replicas: from.value(
                "DATABASE_REPLICAS",
                false,
                "Whether the hosts of DATABASE_URL are a primary and its standbys, which are read",
            ),
            replica_max_lag: from.value(
                "DATABASE_REPLICA_MAX_LAG",
                Duration::from_secs(10),
                "Seconds that a standby may be behind to be read",
            ),
            reader_connections: from.value(
                "DATABASE_READER_CONNECTIONS",
                2,
                "Connections that quick reads share, of each worker; 0 checks one out for each read",
            ),
        }
    }
}

impl Redis {
    fn read(from: &mut Reader<'_>) -> Option<Redis> {
        let url = from.secret("REDIS_URL", "Redis, such as redis://127.0.0.1:6379");
        let max_connections = from.value(
            "REDIS_MAX_CONNECTIONS",
            NonZeroUsize::new(10).expect("10 is not 0"),
            "The most connections to Redis; commands share them, so fewer are opened",
        );
        Some(Redis {
            url: url?,
            max_connections,
        })
    }
}

impl Cache {
    fn read(from: &mut Reader<'_>) -> Cache {
        Cache {
            prefix: from.value(
                "CACHE_PREFIX",
                "ruleiq".to_owned(),
                "What every key in Redis begins with",
            ),
            l1_max_bytes: from
                .value(
                    "CACHE_L1_MAX_BYTES",
                    Bytes(64 * 1024 * 1024),
                    "Bytes of values remembered in the process",
                )
                .0,
        }
    }
}

impl Auth {
    fn read(from: &mut Reader<'_>) -> Option<Auth> {
        let jwt_keys = from.secret(
            "JWT_KEYS",
            "Signing keys `kid:key,…`, base64url of 32 bytes each; the first signs, all verify",
        );
        let auth = Auth {
            access_token_ttl: from
                .value(
                    "ACCESS_TOKEN_TTL",
                    Lifetime(Duration::from_secs(15 * 60)),
                    "Seconds that an access token is valid",
                )
                .0,
            refresh_token_ttl: from
                .value(
                    "REFRESH_TOKEN_TTL",
                    Lifetime(Duration::from_secs(14 * 24 * 3600)),
                    "Seconds that a refresh token is valid",
                )
                .0,
            login_attempts_per_minute: from.value(
                "LOGIN_ATTEMPTS_PER_MINUTE",
                NonZeroU32::new(10).expect("10 is not 0"),
                "Logins per minute for one account from one address; ten times as many per address",
            ),
            jwt_keys: jwt_keys?,
        };
        from.check(Tokens::new(&auth.jwt_keys, auth.access_token_ttl));
        Some(auth)
    }
}

impl Monitoring {
    fn read(from: &mut Reader<'_>, environment: Environment) -> Monitoring {
        Monitoring {
            enabled: from.value(
                "ENABLE_PERFORMANCE_MONITORING",
                true,
                "Whether the endpoints under /api/v1/performance and /metrics are there",
            ),
            benchmark: from.value(
                "ENABLE_BENCHMARK_ENDPOINT",
                environment == Environment::Development,
                "Whether /api/v1/performance/benchmark measures; else it says how to turn it on",
            ),
            slow_request_threshold: from.value(
                "SLOW_REQUEST_THRESHOLD",
                Duration::from_secs(1),
                "Seconds from which a request is logged as slow",
            ),
            metrics_bind_address: from
                .value(
                    "METRICS_BIND_ADDRESS",
                    Off::On(SocketAddr::from(([127, 0, 0, 1], 9090))),
                    "Address and port of /metrics alone, or `off`",
                )
                .into(),
            metrics_token: from.optional_secret(
                "METRICS_TOKEN",
                "Bearer token that opens /metrics on the API's address; without it, it is closed",
            ),
        }
    }
}

impl OwnerSettings {
    /// Reads what the commands on the schema and on users need.
    ///
    /// # Errors
    ///
    /// All faults at once.
    pub(crate) fn load(sources: &Sources) -> Result<OwnerSettings, Faults> {
        let mut reader = Reader::new(sources);
        let environment = environment(&mut reader);
        let log_filter = log_filter(&mut reader);
        let database_url = match owner_url(&mut reader) {
            Some(url) => Some(url),
            None => reader.secret("DATABASE_URL", "PostgreSQL, as the owner of the schema"),
        };
        let ca_file = ca_file(&mut reader);
        reader.finish(database_url.map(|database_url| OwnerSettings {
            environment,
            log_filter,
            database_url,
            ca_file,
        }))
    }
}

fn owner_url(from: &mut Reader<'_>) -> Option<SecretString> {
    from.optional_secret(
        "DATABASE_OWNER_URL",
        "PostgreSQL, as the owner of the schema, for the commands; else DATABASE_URL",
    )
}

fn ca_file(from: &mut Reader<'_>) -> Option<PathBuf> {
    from.optional(
        "DATABASE_CA_FILE",
        "Certificates to trust besides the system's, in PEM",
    )
}

fn environment(from: &mut Reader<'_>) -> Environment {
    from.value(
        "RULEIQ_ENV",
        Environment::Production,
        "`development` or `production`",
    )
}

fn log_filter(from: &mut Reader<'_>) -> String {
    from.value(
        "LOG",
        LogFilter("info".to_owned()),
        "What is logged: a level, or `target=level,…`",
    )
    .0
}

#[cfg(test)]
mod tests;
