//! Why the schema could not be changed or read.

use std::time::Duration;

use crate::InvalidMigration;

/// The error of every operation on a database. It never holds the database's address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be read.
    #[error("the address of the database is not a PostgreSQL URL")]
    Address,

    /// No connection could be made.
    #[error("failed to connect to the database")]
    Connect(#[source] sqlx::Error),

    /// The database did not answer in time: when it was connected to, or asked for the lock.
    #[error("the database did not answer within {} s", after.as_secs())]
    NoAnswer {
        /// How long it was waited for.
        after: Duration,
    },

    /// Another migrator holds the lock.
    #[error(
        "another migrator has been at work for more than {} s; it is the backend {holder}",
        after.as_secs()
    )]
    Locked {
        /// How long this one waited.
        after: Duration,
        /// The other's process id and application name.
        holder: String,
    },

    /// A migration failed. What it did in a transaction is undone.
    #[error("migration {version} (`{name}`) failed")]
    Migration {
        /// Which migration.
        version: i64,
        /// Its name.
        name: String,
        /// The database's reason.
        #[source]
        source: sqlx::migrate::MigrateError,
    },

    /// A concurrent build ended with an index that cannot be used.
    #[error(
        "the index `{index}` of migration {version} is invalid after it was built; run it again when nobody else builds it"
    )]
    InvalidIndex {
        /// Which migration.
        version: i64,
        /// The index.
        index: String,
    },

    /// The file of an applied migration is another one now.
    #[error(
        "migration {version} (`{name}`) was changed after it was applied; add a migration instead"
    )]
    Changed {
        /// Which migration.
        version: i64,
        /// Its name.
        name: String,
    },

    /// The database has a migration, older than the newest known one, that this program lacks.
    #[error("the database has migration {version}, which this program does not know")]
    Unknown {
        /// Which migration.
        version: i64,
    },

    /// The migration that was to be the last one left is none.
    #[error("there is no migration {version} to go back to; ask for the status, which lists them")]
    NoTarget {
        /// What was asked for.
        version: i64,
    },

    /// The database is not marked as ours.
    #[error(
        "the database `{database}` has no row in `ruleiq_marker`, so it may be somebody else's; \
         if it is yours, say `--i-own {database}`"
    )]
    NotOurs {
        /// The database's name.
        database: String,
    },

    /// A migration's files are not as they must be.
    #[error(transparent)]
    Invalid(#[from] InvalidMigration),

    /// A statement of the migrator itself failed.
    #[error("the database refused a statement of the migrator")]
    Database(#[from] sqlx::Error),

    /// The table of applied migrations could not be made or read.
    #[error("the table of applied migrations could not be used")]
    Table(#[source] sqlx::migrate::MigrateError),
}
