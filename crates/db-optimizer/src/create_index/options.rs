//! How an index is made.

use std::{fmt, sync::Arc, time::Duration};

use super::Progress;

type Listener = dyn Fn(&Progress) + Send + Sync;

/// How an index is made. The default suits a database that others work with meanwhile.
#[derive(Clone)]
#[must_use]
pub struct CreateIndexOptions {
    pub(crate) time_limit: Duration,
    pub(crate) wait_limit: Duration,
    pub(crate) old_transaction: Duration,
    pub(crate) estimated_bytes: Option<u64>,
    pub(crate) free_bytes: Option<u64>,
    pub(crate) listener: Option<Arc<Listener>>,
}

impl Default for CreateIndexOptions {
    fn default() -> CreateIndexOptions {
        CreateIndexOptions {
            time_limit: Duration::from_secs(3600),
            wait_limit: Duration::from_secs(60),
            old_transaction: Duration::from_secs(60),
            estimated_bytes: None,
            free_bytes: None,
            listener: None,
        }
    }
}

impl CreateIndexOptions {
    /// How long building may take in all, over all partitions. Default: an hour.
    ///
    /// Too short: large indexes are built for nothing. Too long: a build that will not end is seen
    /// late. The server enforces it, so that it holds when nobody watches.
    pub fn time_limit(mut self, limit: Duration) -> CreateIndexOptions {
        self.time_limit = limit;
        self
    }

    /// How long any one thing in the way is waited for: another session's turn, old transactions
    /// before the build, a lock or a transaction during it. Default: a minute.
    pub fn wait_limit(mut self, limit: Duration) -> CreateIndexOptions {
        self.wait_limit = limit;
        self
    }

    /// From which age on a transaction that would be waited for counts as in the way before the
    /// build. Default: a minute.
    pub fn old_transaction(mut self, age: Duration) -> CreateIndexOptions {
        self.old_transaction = age;
        self
    }

    /// How large the index will be. Default: an upper estimate from the table's statistics.
    pub fn estimated_bytes(mut self, bytes: u64) -> CreateIndexOptions {
        self.estimated_bytes = Some(bytes);
        self
    }

    /// How many bytes are free where the index goes. Default: unknown, and not checked: PostgreSQL
    /// has no view that tells.
    pub fn free_bytes(mut self, bytes: u64) -> CreateIndexOptions {
        self.free_bytes = Some(bytes);
        self
    }

    /// Who is told of progress, at most four times a second, where there is an observer. It must
    /// not block: the build's own answer waits for it.
    pub fn on_progress(
        mut self,
        listener: impl Fn(&Progress) + Send + Sync + 'static,
    ) -> CreateIndexOptions {
        self.listener = Some(Arc::new(listener));
        self
    }
}

impl fmt::Debug for CreateIndexOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateIndexOptions")
            .field("time_limit", &self.time_limit)
            .field("wait_limit", &self.wait_limit)
            .field("old_transaction", &self.old_transaction)
            .field("estimated_bytes", &self.estimated_bytes)
            .field("free_bytes", &self.free_bytes)
            .finish_non_exhaustive()
    }
}
