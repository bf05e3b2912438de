//! What stands against making an index.

use std::fmt;

use serde::Serialize;

use super::Blocker;

/// Something that has to change before an index can be made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// The connection is in a transaction.
    InTransaction,
    /// The connection goes through a pooler that hands each transaction to another server process.
    TransactionPooler,
    /// The server is a standby, or still recovers.
    InRecovery,
    /// The connection may only read.
    ReadOnly,
    /// No index can be made on what the name names.
    NotIndexable {
        /// What it is called.
        table: String,
        /// What it is.
        what: &'static str,
    },
    /// The role of the connection does not own the table, or may not create in its schema.
    MissingRight {
        /// The table.
        table: String,
        /// Who owns it, as it is written in SQL.
        owner: String,
    },
    /// The disk is too small.
    DiskTooSmall {
        /// What the build may need: twice the index, for what it sorts and what it writes.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// Transactions that the build would wait for.
    OldTransactions {
        /// The oldest of them.
        blockers: Vec<Blocker>,
    },
    /// Somebody else makes an index in this database in the same way.
    Busy,
}

impl Obstacle {
    /// Whether it may go away by itself.
    pub fn is_for_now(&self) -> bool {
        matches!(self, Obstacle::OldTransactions { .. } | Obstacle::Busy)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::InTransaction => f.write_str(
                "the connection is in a transaction, where nothing can be built concurrently: \
                 end it, or use another connection",
            ),
            Obstacle::TransactionPooler => f.write_str(
                "the connection goes through a pooler in transaction mode, where neither settings \
                 nor locks last: connect to the server itself",
            ),
            Obstacle::InRecovery => {
                f.write_str("the server is in recovery and takes no writes: connect to the primary")
            }
            Obstacle::ReadOnly => f.write_str(
                "the connection may only read: turn `default_transaction_read_only` off",
            ),
            Obstacle::NotIndexable { table, what } => {
                write!(f, "`{table}` {what}, on which this cannot be done")
            }
            Obstacle::MissingRight { table, owner } => write!(
                f,
                "the role of the connection may not do this to `{table}`: connect as {owner} or a \
                 member of it, with CREATE on the schema"
            ),
            Obstacle::DiskTooSmall {
                needed_bytes,
                free_bytes,
            } => write!(
                f,
                "the build may need {needed_bytes} bytes and {free_bytes} are free"
            ),
            Obstacle::OldTransactions { blockers } => {
                let texts: Vec<String> = blockers.iter().map(Blocker::to_string).collect();
                let texts = texts.join(", ");
                write!(f, "the build would wait for old transactions: {texts}")
            }
            Obstacle::Busy => {
                f.write_str("an index of this database is being made by another session")
            }
        }
    }
}
