//! What all connections of a pool share.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{PostgresConfig, connect::Connector, counters::Counters, ledger::Ledger};

/// The server stops a statement at its own limit. Where its answer is not here this much later, it
/// will not come.
const STATEMENT_GRACE: Duration = Duration::from_secs(5);
/// A longer time-out counts as this: no clock goes on for ever.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How connections are made, counted and limited.
pub(crate) struct Engine {
    pub(crate) connector: Connector,
    pub(crate) counters: Counters,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) prepared_statements: NonZeroUsize,
    /// The longest that a statement is waited for.
    pub(crate) statement_limit: Option<Duration>,
    recycle: Duration,
    random: RandomState,
    started: Instant,
    /// When the server last answered anything, in milliseconds since the start.
    answered_ms: AtomicU64,
}

impl Engine {
    pub(crate) fn new(
        config: &PostgresConfig,
        connector: Connector,
        counters: Counters,
        ledger: Arc<Ledger>,
    ) -> Engine {
        Engine {
            connector,
            counters,
            ledger,
            prepared_statements: config.prepared_statements,
            statement_limit: config
                .statement_timeout
                .map(|limit| limit.min(LONGEST) + STATEMENT_GRACE),
            recycle: config.recycle.min(LONGEST),
            random: RandomState::new(),
            started: Instant::now(),
            answered_ms: AtomicU64::new(0),
        }
    }

    /// Notes that the server answered.
    pub(crate) fn answered(&self) {
        self.answered_ms.store(self.now_ms(), Relaxed);
    }

    /// Whether the server has answered anything since a time told by [`now_ms`](Engine::now_ms).
    pub(crate) fn has_answered_since(&self, ms: u64) -> bool {
        self.answered_ms.load(Relaxed) > ms
    }

    /// Milliseconds since the start.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The age at which a connection is replaced: the setting less a random part of up to a tenth.
    pub(crate) fn age_limit(&self) -> Duration {
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.counters.connects.get());
        let part = u32::try_from(hasher.finish() % 1024).expect("it is less than 1024");
        self.recycle - self.recycle / 10 * part / 1024
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("server", &self.connector.server())
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}
