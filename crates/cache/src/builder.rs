//! The options of a cache.

use std::{sync::Arc, time::Duration};

use fred::{clients::Client, interfaces::ClientLike as _};
use tokio::sync::Semaphore;

use crate::{
    CacheManager, CacheMetrics, Codec, MAX_TTL,
    detached::{LOADS, REFRESHES},
    fence::Fences,
    history::History,
    l1::L1,
    l2::L2,
    manager::Inner,
    names::{Identities, Names},
    pending::Pending,
    prefixes::Prefixes,
    tags::Tags,
    tracking::Tracking,
};

/// How an instance hears of what others change in Redis.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Coherence {
    /// Redis tells of every change, by whomever, and of expired and evicted values (client-side caching, in
    /// broadcasting mode), on a connection of its own to each master. It takes Redis 6 or later and RESP3.
    #[default]
    Tracking,
    /// Instances tell each other by messages (`PUBLISH`, on a channel that is called like the prefix), for where
    /// tracking cannot serve, such as behind a proxy that passes on `EVAL`, `PUBLISH` and `SUBSCRIBE`.
    /// [`Stats::tracking`](crate::Stats::tracking) says whether it works. What others do by hand is not heard of,
    /// and goes unseen for [`l1_ttl`](Builder::l1_ttl). In a Cluster a message can be lost on its bus.
    PubSub,
    /// It does not: values live in the process for [`outage_ttl`](Builder::outage_ttl).
    None,
}

/// Options of a [`CacheManager`].
#[derive(Clone)]
#[must_use]
pub struct Builder {
    redis: Option<Client>,
    prefix: String,
    version: Option<String>,
    l1_max_bytes: usize,
    l1_ttl: Duration,
    outage_ttl: Duration,
    coherence: Coherence,
    command_timeout: Duration,
    load_timeout: Duration,
    max_value_bytes: usize,
    codec: Codec,
    metrics: CacheMetrics,
}

/// The options make no cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The prefix would not tell this cache's keys from others.
    #[error(
        "`{prefix}` is no prefix: give one of at least one character, without `#`, `!`, `@` and braces"
    )]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// A limit that nothing can keep.
    #[error("`{option}` is zero: give a time that Redis and the loads can keep to")]
    Zero {
        /// The name of the option.
        option: &'static str,
    },
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            redis: None,
            prefix: "ruleiq".to_owned(),
            version: None,
            l1_max_bytes: 64 * 1024 * 1024,
            l1_ttl: Duration::from_secs(60),
            outage_ttl: Duration::from_secs(5),
            coherence: Coherence::default(),
            command_timeout: Duration::from_millis(250),
            load_timeout: Duration::from_secs(30),
            max_value_bytes: 1024 * 1024,
            codec: Codec::default(),
            metrics: CacheMetrics::default(),
        }
    }
}

impl Builder {
    /// The second tier: a client that reconnects by itself. It need not be connected yet. Default:
    /// none, and values live in the process alone.
    pub fn redis(mut self, client: Client) -> Builder {
        self.redis = Some(client);
        self
    }

    /// What every key in Redis begins with, before a colon. One per application, and not the start of
    /// another one's up to a colon: patterns would reach that one's keys. Default: `ruleiq`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Builder {
        self.prefix = prefix.into();
        self
    }

    /// The version of what is stored, which every key in Redis names behind the prefix, as in `shop.v7:user:1`: two
    /// versions of an application that must not read each other's values have different ones. They do not hear of each
    /// other's invalidations either: for as long as both run, each serves what the other has changed until its
    /// time is up. It follows the rules of a prefix. Changed types need none: they are misses, and while two
    /// versions run, each replaces the other's. Default: none.
    pub fn version(mut self, version: impl Into<String>) -> Builder {
        self.version = Some(version.into());
        self
    }

    /// The most bytes of values, as encoded, with their keys and 256 bytes each, in the process.
    /// Decoded, most take up to twice that. Default: 64 MiB. With zero, values live in Redis alone.
    pub fn l1_max_bytes(mut self, bytes: usize) -> Builder {
        self.l1_max_bytes = bytes;
        self
    }

    /// How long a value may be served from the process without asking Redis, while Redis tells of changes;
    /// the only change that goes unseen for so long is a `FLUSHALL` by hand. Without Redis it is of no
    /// effect. Default: 60 s.
    pub fn l1_ttl(mut self, ttl: Duration) -> Builder {
        self.l1_ttl = ttl;
        self
    }

    /// How long a value may be served from the process without asking Redis, while Redis does not tell of
    /// changes, and so how long another instance's write can go unseen then. Without Redis it is of no
    /// effect. Default: 5 s.
    pub fn outage_ttl(mut self, ttl: Duration) -> Builder {
        self.outage_ttl = ttl;
        self
    }

    /// How this instance hears of what others change. All instances of a prefix need the same.
    /// Default: [`Coherence::Tracking`].
    pub fn coherence(mut self, coherence: Coherence) -> Builder {
        self.coherence = coherence;
        self
    }

    /// The longest that one command to Redis is waited for. Default: 250 ms.
    pub fn command_timeout(mut self, timeout: Duration) -> Builder {
        self.command_timeout = timeout;
        self
    }

    /// The longest that a load takes and is waited for, where the scope's deadline is not earlier.
    /// Default: 30 s.
    pub fn load_timeout(mut self, timeout: Duration) -> Builder {
        self.load_timeout = timeout;
        self
    }

    /// The largest value that is kept, as encoded and before it is compressed: a larger one is given to who has loaded it, is counted, and is
    /// kept nowhere. Default: 1 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Builder {
        self.max_value_bytes = bytes;
        self
    }

    /// How values are written in Redis; whatever it is, values of both kinds are read. Default: postcard.
    pub fn codec(mut self, codec: Codec) -> Builder {
        self.codec = codec;
        self
    }

    /// Where to count. Default: counters that no registry shows.
    pub fn metrics(mut self, metrics: CacheMetrics) -> Builder {
        self.metrics = metrics;
        self
    }

    /// The cache.
    ///
    /// # Errors
    ///
    /// When an option has no sense.
    pub fn build(mut self) -> Result<CacheManager, BuildError> {
        // No clock goes on for ever.
        self.command_timeout = self.command_timeout.min(MAX_TTL);
        self.load_timeout = self.load_timeout.min(MAX_TTL);
        let parts = std::iter::once(&self.prefix).chain(&self.version);
        for part in parts {
            if part.is_empty() || part.contains(['#', '!', '@', '{', '}']) {
                let prefix = part.clone();
                return Err(BuildError::Prefix { prefix });
            }
        }
        if let Some(version) = &self.version {
            self.prefix = format!("{}.{version}", self.prefix);
        }
        for (option, limit) in [
            ("command_timeout", self.command_timeout),
            ("load_timeout", self.load_timeout),
        ] {
            if limit.is_zero() {
                return Err(BuildError::Zero { option });
            }
        }
        if let Some(client) = &self.redis
            && client.client_reconnect_policy().is_none()
        {
            tracing::warn!(
                prefix = self.prefix,
                "the client of this cache has no reconnect policy: it stays without redis after the first failure"
            );
        }
        let identities = Identities::new(&self.prefix);
        let l2 = self.redis.map(|client| {
            let limits = (self.command_timeout, self.load_timeout);
            let names = Names::new(&self.prefix, identities.clone());
            let metrics = self.metrics.clone();
            L2::new(&client, names, self.coherence, limits, metrics)
        });
        let prefixes = Arc::new(Prefixes::new(self.metrics.clone()));
        let inner = Arc::new(Inner {
            l1: L1::new(self.l1_max_bytes, identities.clone(), Arc::clone(&prefixes)),
            l2,
            fences: Arc::new(Fences::new(identities)),
            tracking: Tracking::default(),
            coherence: match self.l1_max_bytes {
                // Who holds nothing need not hear of anything.
                0 => Coherence::None,
                _ => self.coherence,
            },
            pending: Pending::default(),
            tags: Tags::default(),
            prefixes,
            history: History::new(),
            prefix: self.prefix,
            l1_ttl: self.l1_ttl,
            outage_ttl: self.outage_ttl,
            load_timeout: self.load_timeout,
            max_value_bytes: self.max_value_bytes,
            codec: self.codec,
            refreshes: Arc::new(Semaphore::new(REFRESHES)),
            detached_loads: Arc::new(Semaphore::new(LOADS)),
            metrics: self.metrics,
        });
        inner.metrics.observe(Arc::downgrade(&inner));
        inner.listen();
        Ok(CacheManager { inner })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("redis", &self.redis.is_some())
            .field("prefix", &self.prefix)
            .field("version", &self.version)
            .field("l1_max_bytes", &self.l1_max_bytes)
            .field("l1_ttl", &self.l1_ttl)
            .field("outage_ttl", &self.outage_ttl)
            .field("coherence", &self.coherence)
            .field("command_timeout", &self.command_timeout)
            .field("load_timeout", &self.load_timeout)
            .field("max_value_bytes", &self.max_value_bytes)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
