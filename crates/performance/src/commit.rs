//! Committing what cached values are made of.

use std::time::Duration;

use ruleiq_cache::CacheManager;
use ruleiq_pools::Transaction;
use ruleiq_query::Error;
use tokio::{runtime::Handle, time::sleep};

/// When a commit that nobody waited for has ended in one way or the other.
const UNSEEN: Duration = Duration::from_secs(5);

/// Commits a transaction, and then takes away the cached values that were read from these tables: see
/// [`Policy::tables`](ruleiq_cache::Policy::tables). They fall whatever the commit answers, as it can have
/// happened although its answer was lost.
///
/// # Errors
///
/// Those of the commit. The cache has none: what Redis could not be told is told later.
///
/// # Cancel safety
///
/// When the future is dropped half-way, the transaction may be committed or not. The values fall in the
/// background, at once and again five seconds later, as they do after an error.
pub async fn commit_and_invalidate(
    transaction: Transaction<'_>,
    cache: &CacheManager,
    tables: &[&str],
) -> Result<(), Error> {
    let unseen = Unseen {
        cache,
        tables,
        is_seen: false,
    };
    let committed = transaction.commit().await;
    unseen.invalidate(committed.is_ok()).await;
    committed.map(drop)
}

/// A commit whose end has not been seen.
struct Unseen<'a> {
    cache: &'a CacheManager,
    tables: &'a [&'a str],
    is_seen: bool,
}

impl Unseen<'_> {
    async fn invalidate(mut self, is_seen: bool) {
        self.cache.invalidate_tables(self.tables).await;
        self.is_seen = is_seen;
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        if self.is_seen {
            return;
        }
        // Outside a runtime nothing was sent.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let cache = self.cache.clone();
        let tables: Vec<String> = self.tables.iter().map(|&it| it.to_owned()).collect();
        runtime.spawn(async move {
            cache.invalidate_tables(&tables).await;
            sleep(UNSEEN).await;
            cache.invalidate_tables(&tables).await;
        });
    }
}
