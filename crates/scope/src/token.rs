//! A position in the write-ahead log that a later read must have reached.

/// How far a database had written when a transaction committed.
///
/// Tokens of different systems or timelines cannot be compared, hence no `Ord`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CausalToken {
    /// `system_identifier` of `pg_control_system()`: which database cluster.
    pub system: u64,
    /// The timeline, which a promotion changes.
    pub timeline: u32,
    /// `pg_current_wal_insert_lsn()` after the commit, in bytes.
    pub lsn: u64,
}
