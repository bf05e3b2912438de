//! The settings of the database's pool.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

/// How PostgreSQL is reached, and by how many connections.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database`, with the parameters of the driver: several
    /// hosts, `target_session_attrs`, `sslmode` (`disable`; `prefer`, the default, takes TLS where
    /// it is offered and believes any certificate; `require` checks the certificate).
    pub url: SecretString,
    /// Connections that stay open. Default 10. Too many make the server slower, not faster: the
    /// best size is a few per processor of the database. Too few make callers wait.
    pub size: NonZeroUsize,
    /// Connections beyond these, opened under load. Default 20.
    /// `size + max_overflow`, times the instances of the service, must stay below the server's
    /// `max_connections`.
    pub max_overflow: usize,
    /// How long a connection beyond `size` stays open when nobody uses it. Default 10 s. Zero closes
    /// it as it comes back, and makes each burst of load pay for logins again.
    pub overflow_linger: Duration,
    /// How many connections may be opened at a time. Default 4. The server forks a process for each.
    pub max_connecting: NonZeroUsize,
    /// How long a connection may be idle before it is asked for an answer when it is checked out,
    /// which costs a round trip. Default 1 s.
    pub idle_check: Duration,
    /// How long a caller waits for a connection. Default 30 s; longer than `connect_timeout`, or callers
    /// never hear why none can be opened. A deadline of the scope shortens it.
    pub timeout: Duration,
    /// How many callers of each bulkhead may wait for others, besides those for whom a connection is
    /// being opened. Default 10,000. Beyond it they are refused at once.
    pub max_waiting: usize,
    /// The age at which a connection is replaced, less a random part of up to a tenth, so that not
    /// all are replaced at once; of those that fill up the pool after a start or an outage, up to nine
    /// tenths. The new one is open before the old one is closed, where there is room. Default 3600 s.
    pub recycle: Duration,
    /// Whether `size` is raised on large machines, by [`autosized`](crate::autosized). Default yes.
    pub autosize: bool,
    /// How long opening a connection may take, TLS and login included. Default 5 s. Of
    /// several hosts each has its share to be reached in.
    pub connect_timeout: Duration,
    /// The longest that a statement may run, set once at connect and kept by the server. Default
    /// 60 s; `None` or zero is no limit. With `transaction_pooling` it is kept by this side alone; use `ALTER ROLE` there. An option
    /// of the URL may change what the server keeps; this side gives up 5 s after the time that stands here.
    pub statement_timeout: Option<Duration>,
    /// How many statements each connection keeps prepared. Default 256. Each costs the server a
    /// few kilobytes per connection.
    pub prepared_statements: NonZeroUsize,
    /// Whether a pooler in transaction mode stands between, such as `PgBouncer` with
    /// `pool_mode = transaction`. Default no. Then nothing is kept prepared, since each transaction may
    /// meet another server process: statements are sent as text, in one round trip, once the types of
    /// their parameters were asked for. Wrongly off, `PgBouncer` refuses the login or statements fail with the
    /// `SQLSTATE`s 26000 and 42P05; needlessly on, the server plans each statement anew.
    pub transaction_pooling: bool,
    /// How long a connection may be checked out before the log tells by whom. Default 60 s. `None`
    /// never tells.
    pub leak_after: Option<Duration>,
    /// How long a transaction may be open before the log tells whose it is. Default 30 s: it keeps its
    /// locks, and the server from cleaning up. `None` never tells.
    pub long_transaction: Option<Duration>,
    /// Callers with a share of the connections that is theirs when they need it. Default: none, and
    /// everybody is equal. What they do not use is for all.
    pub bulkheads: Vec<BulkheadConfig>,
    /// Certificates to trust besides the system's, in PEM. With it, `prefer` checks too.
    pub ca_file: Option<PathBuf>,
    /// What `pg_stat_activity` shows. Default: what the URL says, else `ruleiq`.
    pub application_name: Option<String>,
}

/// A kind of callers, and their share of the connections.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct BulkheadConfig {
    /// What [`PoolManager::bulkhead`](crate::PoolManager::bulkhead) asks for.
    pub name: String,
    /// Of `size + max_overflow`, above 0 and at most 1; all shares together are at most 1. While these
    /// callers have fewer connections than that, what comes free is theirs first.
    pub share: f64,
}

impl PostgresConfig {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<SecretString>) -> PostgresConfig {
        PostgresConfig {
            url: url.into(),
            ..PostgresConfig::default()
        }
    }
}

impl PostgresConfig {
    /// Zero is none, as PostgreSQL has it.
    pub(crate) fn statement_limit(&self) -> Option<Duration> {
        self.statement_timeout.filter(|limit| !limit.is_zero())
    }
}

impl Default for PostgresConfig {
    /// Everything but the URL.
    fn default() -> PostgresConfig {
        PostgresConfig {
            url: SecretString::default(),
            size: nonzero(10),
            max_overflow: 20,
            overflow_linger: Duration::from_secs(10),
            max_connecting: nonzero(4),
            idle_check: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            max_waiting: 10_000,
            recycle: Duration::from_secs(3600),
            autosize: true,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Some(Duration::from_secs(60)),
            prepared_statements: nonzero(256),
            transaction_pooling: false,
            leak_after: Some(Duration::from_secs(60)),
            long_transaction: Some(Duration::from_secs(30)),
            bulkheads: Vec::new(),
            ca_file: None,
            application_name: None,
        }
    }
}

fn nonzero(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("the defaults are not zero")
}
