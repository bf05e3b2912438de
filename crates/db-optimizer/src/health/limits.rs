//! From where on something is worth reporting.

use std::time::Duration;

/// What a health report takes for too much or too little.
///
/// A lower limit reports more. Each has a default that suits a service with a database of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthLimits {
    /// The least share of blocks that should be found in shared memory. Default: 0.95.
    pub cache_hit_ratio: f64,
    /// So many blocks must have been asked for before that share means anything. Default: 100,000.
    pub cache_blocks: u64,
    /// How long an index must have gone without use, and statistics must have been kept, before it
    /// is called unused. Default: 30 days.
    pub unused_for: Duration,
    /// Indexes below this size in bytes are not called unused. Default: 1 MiB.
    pub unused_index_bytes: u64,
    /// By how many times the dead rows of a table, or its changes since it was analyzed, may
    /// exceed what autovacuum was told to act upon. Default: 2.
    pub vacuum_lag: f64,
    /// The share of all transaction ids that may be in use. Default: 0.4; from twice that on it is
    /// critical. Autovacuum begins at 0.1 by default.
    pub wraparound: f64,
    /// How long a transaction may be open. Default: 5 min.
    pub long_transaction: Duration,
    /// How long a session may sit in a transaction and do nothing. Default: 1 min.
    pub idle_in_transaction: Duration,
    /// How long a session may wait for another's lock. Default: 5 s; from 60 s on it is critical.
    pub lock_wait: Duration,
    /// By how many bytes of log a standby may be behind. Default: 64 MiB.
    pub replication_lag_bytes: u64,
    /// By how long a standby may be behind. Default: 30 s.
    pub replication_lag: Duration,
    /// How many bytes of log a slot may keep for somebody who is not there. Default: 1 GiB.
    pub slot_bytes: u64,
    /// The share of a sequence that may be used up. Default: 0.75; from 0.9 on it is critical.
    pub sequence_used: f64,
    /// The share of connections that may be in use. Default: 0.8; from 0.95 on it is critical.
    pub connections_used: f64,
    /// The least share of updates that should need no entry in any index. Default: 0.5.
    pub hot_updates: f64,
    /// So many updates must have happened to a table before that share means anything.
    /// Default: 10,000.
    pub hot_update_count: u64,
    /// How many bytes of temporary files may have been written. Default: 1 GiB.
    pub temporary_bytes: u64,
}

const MIB: u64 = 1024 * 1024;

impl Default for HealthLimits {
    fn default() -> HealthLimits {
        HealthLimits {
            cache_hit_ratio: 0.95,
            cache_blocks: 100_000,
            unused_for: Duration::from_secs(30 * 86_400),
            unused_index_bytes: MIB,
            vacuum_lag: 2.0,
            wraparound: 0.4,
            long_transaction: Duration::from_secs(300),
            idle_in_transaction: Duration::from_secs(60),
            lock_wait: Duration::from_secs(5),
            replication_lag_bytes: 64 * MIB,
            replication_lag: Duration::from_secs(30),
            slot_bytes: 1024 * MIB,
            sequence_used: 0.75,
            connections_used: 0.8,
            hot_updates: 0.5,
            hot_update_count: 10_000,
            temporary_bytes: 1024 * MIB,
        }
    }
}
