//! What Redis did not do while a cache was measured.

use ruleiq_bench::Tally;
use ruleiq_cache::CacheManager;

/// How an error is called that an operation could not tell.
const UNDONE: &str = "Redis did not do what the cache asked of it";

/// The failures of a cache's Redis, from a moment on.
///
/// A cache hides them from its callers: a value that cannot be asked for is a miss, and a deletion is
/// delivered later. Both are very fast, and would count as right answers.
#[derive(Debug)]
pub struct RedisFailures {
    cache: CacheManager,
    errors_before: u64,
    was_available: bool,
}

impl RedisFailures {
    /// Those from now on.
    pub fn since_now(cache: &CacheManager) -> RedisFailures {
        let stats = cache.stats();
        RedisFailures {
            cache: cache.clone(),
            errors_before: stats.redis_errors,
            was_available: stats.redis_available != Some(false),
        }
    }

    /// Counts the failures until now as errors, in place of as many operations. Where Redis was left
    /// alone for a while, no operation counts.
    pub fn tell(&self, tally: &mut Tally) {
        let stats = self.cache.stats();
        let is_available = self.was_available && stats.redis_available != Some(false);
        let failed = stats.redis_errors.saturating_sub(self.errors_before);
        let failed = failed.max(stats.pending_invalidations);
        // Those that an operation has told are counted already.
        let told = tally.errors.values().sum::<u64>() + tally.wrong;
        let failed = match is_available {
            true => failed.saturating_sub(told),
            false => failed.saturating_sub(told).max(tally.operations).max(1),
        };
        if failed > 0 {
            tally.operations = tally.operations.saturating_sub(failed);
            *tally.errors.entry(UNDONE.to_owned()).or_default() += failed;
        }
    }
}
