//! What both sides of a case are set up from.

use std::time::Duration;

use ruleiq_performance::benchmark::{CACHE_KEYS, CACHE_VALUE_BYTES};
use serde::Serialize;

use crate::Options;

/// The settings of a case.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Settings {
    /// Keys that are asked for.
    pub(super) keys: u32,
    /// How they are drawn.
    pub(super) draws: Draws,
    /// Size of a value as JSON.
    pub(super) value_bytes: usize,
    /// Operations under way at once.
    pub(super) at_once: usize,
    /// Keys of one operation.
    pub(super) per_operation: u32,
    /// How long values live.
    pub(super) ttl_s: u64,
    /// The most that is held in the process; zero: nothing.
    pub(super) l1_max_bytes: usize,
    /// How Redis is reached, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redis: Option<Connection>,
}

/// How a Redis is reached.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Connection {
    /// Sockets, over which all operations share the way.
    pub(crate) connections: u32,
    /// Whether small packets go at once.
    pub(crate) nodelay: bool,
    /// The longest that connecting takes.
    pub(crate) connect_timeout_ms: u64,
    /// The longest that a command takes.
    pub(crate) command_timeout_ms: u64,
    /// How often a command is sent.
    pub(crate) max_attempts: u32,
    /// Commands that may wait to be sent.
    pub(crate) max_waiting: usize,
    /// How long an answer may be owed until the socket is opened anew.
    pub(crate) unresponsive_ms: u64,
    /// How often that is looked for, which costs a timer for each turn of the client.
    pub(crate) look_every_ms: u64,
    /// The most commands on the way on one socket.
    pub(crate) pipeline: usize,
}

/// How keys are drawn.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Draws {
    /// All are equally likely.
    #[serde(rename = "uniform")]
    Uniform,
    /// A few are drawn often, and most seldom.
    #[serde(rename = "zipf(0.99)")]
    Zipf,
    /// Every one once, in a drawn order, and then all of them again.
    #[serde(rename = "shuffled")]
    Shuffled,
}

impl Default for Settings {
    /// The keys and values that a running service is measured by, too, in Redis alone.
    fn default() -> Settings {
        Settings {
            keys: CACHE_KEYS,
            draws: Draws::Uniform,
            value_bytes: CACHE_VALUE_BYTES,
            at_once: 1,
            per_operation: 1,
            ttl_s: 3_600,
            l1_max_bytes: 0,
            redis: None,
        }
    }
}

impl Settings {
    /// Values in the process alone.
    pub(super) fn local(options: &Options, threads: usize) -> Settings {
        Settings {
            keys: if options.tiny { 100 } else { 10_000 },
            draws: Draws::Zipf,
            at_once: threads,
            l1_max_bytes: 64 * 1024 * 1024,
            ..Settings::default()
        }
    }

    /// Values in Redis, of which the process holds none.
    pub(super) fn remote(options: &Options, at_once: usize, per_operation: u32) -> Settings {
        let mut redis = Connection::new(at_once.saturating_mul(per_operation as usize));
        if options.tiny {
            // An answer is what counts then, however busy the machine that runs the tests.
            redis.command_timeout_ms = 10_000;
            redis.unresponsive_ms = 10_000;
        }
        Settings {
            keys: if options.tiny { 200 } else { CACHE_KEYS },
            at_once,
            per_operation,
            redis: Some(redis),
            ..Settings::default()
        }
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }
}

impl Connection {
    /// As RuleIQ connects, but for one socket in place of two, so that nobody picks the better one.
    pub(crate) fn new(pipeline: usize) -> Connection {
        Connection {
            connections: 1,
            nodelay: true,
            connect_timeout_ms: 500,
            command_timeout_ms: 250,
            max_attempts: 1,
            max_waiting: 4_096,
            unresponsive_ms: 1_000,
            look_every_ms: 300,
            pipeline,
        }
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }
}
