//! What all connections of a pool share.

use std::{fmt, num::NonZeroUsize, time::Duration};

use super::{PostgresConfig, connect::Connector, counters::Counters, holders::Links};

/// The server stops a statement at its own limit. Where its answer is not here this much later, it
/// will not come.
const STATEMENT_GRACE: Duration = Duration::from_secs(5);
/// A longer time-out counts as this: no clock goes on for ever.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How connections are made, counted and limited.
pub(crate) struct Engine {
    pub(crate) connector: Connector,
    pub(crate) counters: Counters,
    pub(crate) links: Links,
    pub(crate) prepared_statements: NonZeroUsize,
    pub(crate) transaction_pooling: bool,
    /// The longest that a statement is waited for.
    pub(crate) statement_limit: Duration,
    /// The age at which a connection is replaced.
    pub(crate) recycle: Duration,
}

impl Engine {
    pub(crate) fn new(config: &PostgresConfig, connector: Connector, counters: Counters) -> Engine {
        Engine {
            connector,
            counters,
            links: Links::default(),
            prepared_statements: config.prepared_statements,
            transaction_pooling: config.transaction_pooling,
            statement_limit: config
                .statement_limit()
                .map_or(LONGEST, |limit| limit.min(LONGEST) + STATEMENT_GRACE),
            recycle: config.recycle.min(LONGEST),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("server", &self.connector.server())
            .finish_non_exhaustive()
    }
}
