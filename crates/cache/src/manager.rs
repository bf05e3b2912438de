//! The cache: its two tiers, and reading from them.

use std::{fmt, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Builder, CacheMetrics, Codec, Coherence, Error, PrefixStats, Stats,
    envelope::{self, Life},
    fence::{Fences, Generation, Source},
    history::History,
    l1::{Entry, L1, Span},
    l2::{L2, Ttl},
    pending::Pending,
    prefixes::{Counts, PrefixId, Prefixes},
    read::Found,
    tags::Tags,
    tracking::Tracking,
};

/// The longest time to live: a year.
pub const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 * 1024;

/// Commands that are on their way at once for one call.
pub(crate) const AT_ONCE: usize = 256;

/// Keys that one command asks for.
const PER_COMMAND: usize = 1_000;

/// A cache in two tiers. Clones share it.
///
/// A value is read as the type that it was written as. Under another type it is not there.
#[derive(Clone)]
pub struct CacheManager {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) l1: L1,
    pub(crate) l2: Option<L2>,
    pub(crate) fences: Arc<Fences>,
    pub(crate) tracking: Tracking,
    pub(crate) coherence: Coherence,
    pub(crate) pending: Pending,
    pub(crate) tags: Tags,
    pub(crate) prefixes: Arc<Prefixes>,
    pub(crate) history: History,
    pub(crate) prefix: String,
    pub(crate) l1_ttl: Duration,
    pub(crate) outage_ttl: Duration,
    pub(crate) load_timeout: Duration,
    pub(crate) max_value_bytes: usize,
    pub(crate) codec: Codec,
    /// Permits to load a value anew in the background, or to store one there,
    pub(crate) refreshes: Arc<Semaphore>,
    /// and to load one that somebody waits for in a task of its own.
    pub(crate) detached_loads: Arc<Semaphore>,
    pub(crate) metrics: CacheMetrics,
}

impl CacheManager {
    /// The options of a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The value of a key. A Redis that is away is a miss, and so is a key out of bounds.
    ///
    /// The future holds the driver's, which is large: where it is moved often before it is awaited, it belongs on the
    /// heap.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn get<T>(&self, key: &str) -> Option<Arc<T>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let inner = &self.inner;
        if let Some((value, prefix)) = inner.l1.get(key) {
            inner.count_l1_hit(prefix);
            return Some(value);
        }
        let value = inner.look_up_in_l2(key).await;
        let prefix = inner.prefixes.of(key);
        match value {
            Some(_) => inner.count_l2_hit(prefix),
            None => inner.count_miss(prefix),
        }
        value
    }

    /// The values of keys, in their order; those that the process does not hold are asked for in one
    /// command per thousand, or in a cluster in one each, all at once.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn mget<T>(&self, keys: &[&str]) -> Vec<Option<Arc<T>>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let inner = &self.inner;
        let held = |key: &&str| {
            let (value, prefix) = inner.l1.get(key)?;
            inner.count_l1_hit(prefix);
            Some(value)
        };
        let mut values: Vec<Option<Arc<T>>> = keys.iter().map(held).collect();
        let absent: Vec<usize> = (0..keys.len()).filter(|at| values[*at].is_none()).collect();
        for absent in absent.chunks(PER_COMMAND) {
            inner.look_up_many(keys, absent, &mut values).await;
        }
        for at in absent {
            let prefix = inner.prefixes.of(keys[at]);
            match values[at] {
                Some(_) => inner.count_l2_hit(prefix),
                None => inner.count_miss(prefix),
            }
        }
        values
    }

    /// Whether a key has a value, of whatever type.
    ///
    /// # Errors
    ///
    /// When Redis does not tell, or the key is out of bounds.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        Ok(self.ttl(key).await?.is_some())
    }

    /// How long a key's value has to live; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When Redis does not tell, or the key is out of bounds.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn ttl(&self, key: &str) -> Result<Option<Duration>, Error> {
        let inner = &self.inner;
        check_key(key)?;
        let Some(l2) = &inner.l2 else {
            return Ok(inner.l1.ttl(key));
        };
        if inner.pending.covers(key) {
            return Ok(None);
        }
        let (ttl, front) = l2.ttl(key).await?;
        let Some((life, stamps)) = envelope::front(&front) else {
            return Ok(None);
        };
        if inner.judged(l2, stamps).await.is_none() {
            return Ok(None);
        }
        Ok(match ttl {
            Ttl::Absent => None,
            Ttl::Endless => Some(Duration::MAX),
            Ttl::Left(left) => envelope::fresh_of_kept(life, left),
        })
    }

    /// Counts since the cache was built, and its present state.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Counts for each prefix of keys; first those for which a longer time to live would have saved most. It goes
    /// through all values in the process.
    pub fn prefix_stats(&self) -> Vec<PrefixStats> {
        let inner = &self.inner;
        let held = inner.l1.by_prefix();
        let mut stats: Vec<PrefixStats> = inner
            .prefixes
            .all()
            .map(|(id, counts)| {
                let (entries, bytes) = held.get(&id).copied().unwrap_or_default();
                counts.stats(entries, bytes)
            })
            .filter(|it| it.l1_hits + it.l2_hits + it.stale + it.misses + it.l1_entries > 0)
            .collect();
        stats.sort_by(|one, other| {
            let saved = |it: &PrefixStats| it.unchanged_load_seconds;
            saved(other).total_cmp(&saved(one))
        });
        stats
    }
}

impl Inner {
    /// The value of a key from the second tier, which is then in the first one.
    async fn look_up_in_l2<T>(self: &Arc<Inner>, key: &str) -> Option<Arc<T>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        // Noted before anything is read: what overtakes the read keeps it out of the first tier.
        let keeps = self.l1.keeps();
        let noted = keeps.then(|| (self.fences.generation(key), Instant::now()));
        let l2 = self.usable_l2(key)?;
        // Why there was no answer has been counted, and a read makes do without.
        let found = self.find(l2, key).await.ok().flatten();
        let found = found.filter(Found::is_fresh)?;
        Some(match noted {
            Some((generation, asked)) => self.keep_found(&key.into(), generation, found, asked),
            None => found.value,
        })
    }

    /// Puts the values of keys, of which these are absent, in their places.
    async fn look_up_many<T>(
        self: &Arc<Inner>,
        keys: &[&str],
        absent: &[usize],
        values: &mut [Option<Arc<T>>],
    ) where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let Some(l2) = &self.l2 else { return };
        let keeps = self.l1.keeps();
        let asked: Vec<(usize, Option<Generation>)> = absent
            .iter()
            .filter(|at| self.usable_l2(keys[**at]).is_some())
            .map(|at| (*at, keeps.then(|| self.fences.generation(keys[*at]))))
            .collect();
        if asked.is_empty() {
            return;
        }
        let names: Vec<&str> = asked.iter().map(|(at, _)| keys[*at]).collect();
        let since = Instant::now();
        // Why there was no answer has been counted, and a read makes do without.
        let Ok(found) = self.find_many(l2, &names).await else {
            return;
        };
        for ((at, generation), found) in asked.into_iter().zip(found) {
            let Some(found) = found.filter(Found::is_fresh) else {
                continue;
            };
            values[at] = Some(match generation {
                Some(generation) => self.keep_found(&keys[at].into(), generation, found, since),
                None => found.value,
            });
        }
    }

    /// The second tier, unless the key must go around it.
    pub(crate) fn usable_l2(self: &Arc<Inner>, key: &str) -> Option<&L2> {
        let l2 = self.l2.as_ref()?;
        if check_key(key).is_err() {
            self.metrics.rejected_keys.inc();
            return None;
        }
        self.listen();
        if self.pending.covers(key) {
            // Whoever delivered may have been stopped with its runtime.
            self.deliver_what_is_due();
            return None;
        }
        Some(l2)
    }

    /// Keeps in the first tier what the second one had.
    pub(crate) fn keep_found<T: Send + Sync + 'static>(
        &self,
        key: &Arc<str>,
        noted: Generation,
        found: Found<T>,
        asked: Instant,
    ) -> Arc<T> {
        let span = self.span_of_found(asked, found.life);
        let value = Arc::clone(&found.value);
        let entry = Entry::new(value, found.encoded_bytes, span, found.tags);
        self.keep(key, noted, Source::Redis, entry);
        found.value
    }

    /// Keeps a value in the first tier, unless it has been overtaken.
    pub(crate) fn keep(&self, key: &Arc<str>, noted: Generation, source: Source, entry: Entry) {
        let tags = entry.tags().clone();
        let insert = || self.l1.insert(Arc::clone(key), entry);
        if !tags.are_current() || !self.fences.fill(key, noted, source, insert) {
            self.counts(key).refused_fills.inc();
        }
    }

    /// The counters of a key's prefix.
    pub(crate) fn counts(&self, key: &str) -> &Counts {
        self.prefixes.counts(self.prefixes.of(key))
    }

    /// When a value that was right at `seen` must leave the first tier. Counted from then on, and not
    /// from when it was kept, so that what nobody has told of is unseen for that time and no longer.
    pub(crate) fn span(&self, seen: Instant, life: Life) -> Span {
        let shorter = self.outage_ttl.min(self.l1_ttl);
        let most = self.l2.as_ref().map_or(MAX_TTL, |_| shorter);
        spanning(seen, life, most)
    }

    /// The same of a value that Redis had: it tells when that changes, if it is listened to.
    fn span_of_found(&self, seen: Instant, life: Life) -> Span {
        match self.tracking.is_armed() {
            true => spanning(seen, life, self.l1_ttl),
            false => self.span(seen, life),
        }
    }

    pub(crate) fn count_l1_hit(&self, prefix: PrefixId) {
        self.prefixes.counts(prefix).l1_hits.inc();
        ruleiq_scope::record_cache_hit();
    }

    pub(crate) fn count_l2_hit(&self, prefix: PrefixId) {
        self.prefixes.counts(prefix).l2_hits.inc();
        ruleiq_scope::record_cache_hit();
    }

    pub(crate) fn count_stale(&self, prefix: PrefixId) {
        self.prefixes.counts(prefix).stale.inc();
        ruleiq_scope::record_cache_hit();
    }

    pub(crate) fn count_miss(&self, prefix: PrefixId) {
        self.prefixes.counts(prefix).misses.inc();
        ruleiq_scope::record_cache_miss();
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate need not be exact beyond 2^53 look-ups"
    )]
    pub(crate) fn stats(&self) -> Stats {
        let metrics = &self.metrics;
        let sum = |of: fn(&Counts) -> u64| self.prefixes.all().map(|(_, it)| of(it)).sum::<u64>();
        let (l1_hits, l2_hits) = (sum(|it| it.l1_hits.get()), sum(|it| it.l2_hits.get()));
        let (stale, misses) = (sum(|it| it.stale.get()), sum(|it| it.misses.get()));
        let hits = l1_hits + l2_hits + stale;
        let load_failures = sum(Counts::load_failures);
        let [schema_misses, damaged] = metrics.unreadable();
        Stats {
            l1_hits,
            l2_hits,
            stale,
            misses,
            hit_rate: hits as f64 / (hits + misses).max(1) as f64,
            loads: sum(|it| it.loaded.get()) + load_failures,
            load_failures,
            refreshes: metrics.refreshes.get(),
            refused_fills: sum(|it| it.refused_fills.get()),
            rejected: metrics.rejected_keys.get() + metrics.rejected_values.get(),
            schema_misses,
            damaged,
            l1_entries: self.l1.entries() as u64,
            l1_bytes: self.l1.bytes(),
            evictions: sum(|it| it.evictions.get()),
            redis_errors: metrics.redis_errors(),
            pending_invalidations: self.pending.len() as u64,
            heard_invalidations: metrics.heard.get(),
            flushes: metrics.flushes(),
            redis_available: self.l2.as_ref().map(L2::is_available),
            tracking: self.l2.as_ref().map(|_| self.tracking.is_armed()),
        }
    }
}

/// Whether a key is one.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(Error::KeyOutOfBounds { bytes }),
    }
}

fn spanning(seen: Instant, life: Life, most: Duration) -> Span {
    let most = most.min(MAX_TTL);
    Span {
        served_until: seen + life.fresh.min(most),
        fresh_until: seen + life.fresh.min(MAX_TTL),
        expires: seen + life.kept.min(most),
        retry_at: None,
        load_time: life.load_time,
        mark: life.mark(),
    }
}

impl fmt::Debug for CacheManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Inner {
    /// Leaves out the client, whose address can hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheManager")
            .field("prefix", &self.prefix)
            .field("redis", &self.l2.is_some())
            .finish_non_exhaustive()
    }
}
