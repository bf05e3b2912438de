//! The settings of the connections to Redis.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

/// How Redis is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://user:password@host:port/database`; `rediss://` for TLS; `redis-cluster://` and
    /// `redis-sentinel://` with further nodes as `?node=host:port`, and for Sentinel
    /// `sentinelServiceName=name` and, where it asks for one, `sentinelPassword=password`.
    pub url: SecretString,
    /// The most connections. Default 10. Commands share them without waiting for each other's
    /// answers, so that no more than two are opened: more bring nothing.
    pub max_connections: NonZeroUsize,
    /// How long connecting may take, TLS and login included. Default 500 ms.
    pub connect_timeout: Duration,
    /// How long a command may take, its time in the queue included. Default 250 ms. Too low turns
    /// slow answers into errors; too high makes an outage felt.
    pub command_timeout: Duration,
    /// How many commands may wait to be sent. Default 4,096. Beyond it they fail at once.
    pub max_waiting: NonZeroUsize,
    /// Certificates to trust besides the system's, in PEM. For `rediss://`.
    pub ca_file: Option<PathBuf>,
}

impl RedisConfig {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<SecretString>) -> RedisConfig {
        RedisConfig {
            url: url.into(),
            ..RedisConfig::default()
        }
    }
}

impl Default for RedisConfig {
    /// Everything but the URL.
    fn default() -> RedisConfig {
        RedisConfig {
            url: SecretString::default(),
            max_connections: nonzero(10),
            connect_timeout: Duration::from_millis(500),
            command_timeout: Duration::from_millis(250),
            max_waiting: nonzero(4096),
            ca_file: None,
        }
    }
}

fn nonzero(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("the defaults are not zero")
}
