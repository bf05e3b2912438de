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
    /// `size + max_overflow` and what `reader` and `replicas` add, times the instances of the service, must stay
    /// below the server's `max_connections`.
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
    /// Whether the hosts of the URL are a primary and its standbys, in any order, and how these are read.
    /// Default: none, and the hosts are tried in their order until one answers.
    pub replicas: Option<ReplicaConfig>,
    /// How reads share connections that are not checked out.
    pub reader: ReaderConfig,
    /// How [`optimize_pools`](crate::PoolManager::optimize_pools) measures, and what it may do.
    pub tuning: TuningConfig,
    /// Certificates to trust besides the system's, in PEM. With it, `prefer` checks too.
    pub ca_file: Option<PathBuf>,
    /// What `pg_stat_activity` shows. Default: what the URL says, else `ruleiq`. A slash and six digits follow,
    /// which tell this instance from the others of its service, but with `transaction_pooling`.
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

/// The connections that a [`Reader`](crate::Reader) shares among its callers: besides `size` and
/// `max_overflow`, and opened when something is read first.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderConfig {
    /// Connections of each thread that reads. Default 2: the fewer, the more reads go in one system call;
    /// the server works on as many at a time as there are connections. Zero checks one out for each read, as
    /// does `transaction_pooling`.
    pub connections: usize,
    /// Threads that have connections of their own. Default: the processors. All others share as many
    /// connections as one thread has. There are at most `connections * (threads + 1)`.
    pub threads: Option<NonZeroUsize>,
    /// Reads that one connection may have under way. Default 64. Beyond, connections are checked out.
    pub max_in_flight: NonZeroUsize,
    /// What a statement may take that others wait behind. Default 5 ms. One that takes longer, often a
    /// little or sometimes much, is run on a connection of its own until it does not any more.
    pub slow_after: Duration,
    /// The longest that a statement may run on a shared connection, from 1 ms. Default 250 ms, and at most
    /// `statement_timeout`. The server stops it then, and it is run again on a connection of its own.
    pub statement_timeout: Duration,
}

/// How a pool finds out what its settings should be.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TuningConfig {
    /// For how long the use of the pool is measured, and each step that is applied. Default 10 s, at least
    /// 200 ms. The longer, the less it is misled by chance.
    pub window: Duration,
    /// A bound for `size + max_overflow` besides the fair share, which it never raises. Default: none.
    pub max_connections: Option<NonZeroUsize>,
    /// Whether the number of connections that may be in use follows, between `size` and `size + max_overflow`,
    /// how long they are kept: fewer while the database is slower than it was, so that callers wait here and not
    /// there. Default no. While there are fewer, no other number of connections is advised.
    pub adaptive: bool,
}

impl Default for TuningConfig {
    fn default() -> TuningConfig {
        TuningConfig {
            window: Duration::from_secs(10),
            max_connections: None,
            adaptive: false,
        }
    }
}

/// How standbys are found and read.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicaConfig {
    /// Connections to each server for reading that stay open. Default: `size`. `autosize` raises it as well.
    pub size: Option<NonZeroUsize>,
    /// Connections beyond these. Default: `max_overflow`.
    pub max_overflow: Option<usize>,
    /// The share of reads that go to standbys. Default 1, all; the primary has the rest.
    pub share: f64,
    /// How often each server is asked what it is and how far it has come. Default 250 ms, at least 10 ms.
    pub check_every: Duration,
    /// A standby that is further behind than this is not read. Default 10 s. A token of `ruleiq-web` lasts for a
    /// minute: keep it below.
    pub max_lag: Duration,
    /// A standby that has so many bytes of the log to replay is not read. Default 64 MiB.
    pub max_lag_bytes: u64,
    /// How long a read waits for a standby to have seen what its caller has written. Default 50 ms; then the
    /// primary is read.
    pub causal_wait: Duration,
}

impl Default for ReplicaConfig {
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            size: None,
            max_overflow: None,
            share: 1.0,
            check_every: Duration::from_millis(250),
            max_lag: Duration::from_secs(10),
            max_lag_bytes: 64 << 20,
            causal_wait: Duration::from_millis(50),
        }
    }
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
            replicas: None,
            reader: ReaderConfig::default(),
            tuning: TuningConfig::default(),
            ca_file: None,
            application_name: None,
        }
    }
}

impl Default for ReaderConfig {
    fn default() -> ReaderConfig {
        ReaderConfig {
            connections: 2,
            threads: None,
            max_in_flight: nonzero(64),
            slow_after: Duration::from_millis(5),
            statement_timeout: Duration::from_millis(250),
        }
    }
}

fn nonzero(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("the defaults are not zero")
}
