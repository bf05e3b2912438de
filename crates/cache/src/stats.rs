//! What a cache has done so far, for people.

/// Counts of the keys with one prefix, which is what stands before their first colon: see
/// [`CacheManager::prefix_stats`](crate::CacheManager::prefix_stats).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct PrefixStats {
    /// The prefix; empty for keys without one, and `(other)` for those beyond the first hundred and for what has none
    /// within 64 bytes.
    pub prefix: String,
    /// Look-ups that found a value in the process.
    pub l1_hits: u64,
    /// Look-ups that found a value in Redis.
    pub l2_hits: u64,
    /// Look-ups that were given a value whose time was up.
    pub stale: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// The share of look-ups that found a value, 0 to 1.
    pub hit_rate: f64,
    /// Loads that ended, in whatever way.
    pub loads: u64,
    /// Loads that gave no value.
    pub load_failures: u64,
    /// What loads took in all.
    pub load_seconds: f64,
    /// Values that were not stored because an invalidation had overtaken them.
    pub refused_fills: u64,
    /// Values that left the process for lack of room.
    pub evictions: u64,
    /// Values in the process.
    pub l1_entries: u64,
    /// What they weigh.
    pub l1_bytes: u64,
    /// Loads that gave what the key had had before its time was up, as far as this process remembers: a longer time to
    /// live would have saved them,
    pub unchanged_loads: u64,
    /// and what they took.
    pub unchanged_load_seconds: f64,
    /// How often [`adaptive_ttl`](crate::Policy::adaptive_ttl) has made a time to live longer,
    pub ttls_raised: u64,
    /// or shorter,
    pub ttls_lowered: u64,
    /// and the last one that it has found; 0 before the first.
    pub last_adaptive_ttl_seconds: f64,
}

/// Counts since the cache was built, and its present state.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Look-ups that found a value in the process.
    pub l1_hits: u64,
    /// Look-ups that found a value in Redis.
    pub l2_hits: u64,
    /// Look-ups that were given a value whose time was up.
    pub stale: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// The share of look-ups that found a value, 0 to 1; 0 before the first.
    pub hit_rate: f64,
    /// Loads that ended, in whatever way.
    pub loads: u64,
    /// Loads that gave no value.
    pub load_failures: u64,
    /// Loads that were begun in the background, for a value that was there.
    pub refreshes: u64,
    /// Values that were not stored because an invalidation had overtaken them.
    pub refused_fills: u64,
    /// Keys out of bounds that were read, and loaded values that are too large to be kept.
    pub rejected: u64,
    /// Values in Redis whose type has changed since they were written.
    pub schema_misses: u64,
    /// Values in Redis that are not what was written.
    pub damaged: u64,
    /// Values in the process.
    pub l1_entries: u64,
    /// What they weigh: their encoded size, their keys, and 256 bytes each.
    pub l1_bytes: u64,
    /// Values that left the process for lack of room.
    pub evictions: u64,
    /// Commands that Redis did not do.
    pub redis_errors: u64,
    /// Keys and patterns that Redis has not been told of yet.
    pub pending_invalidations: u64,
    /// Changes of values in Redis that this process was told of, its own included.
    pub heard_invalidations: u64,
    /// How often all values left the process because some change may have been missed.
    pub flushes: u64,
    /// Whether Redis has answered lately, as far as it was asked; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_available: Option<bool>,
    /// Whether Redis tells of every change, so that values live in the process for
    /// [`l1_ttl`](crate::Builder::l1_ttl), and not for [`outage_ttl`](crate::Builder::outage_ttl) at most; absent
    /// where there is no Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking: Option<bool>,
}
