//! What is counted for each prefix of keys: what stands before the first colon.
//!
//! A prefix has a number, which stands in the entries of the first tier, so that a hit need not look for it. Their
//! number is bounded: the names of keys may come from users.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use prometheus::{Counter, IntCounter};

use crate::{CacheMetrics, PrefixStats, history::Judgement};

/// Later ones are counted as one.
const MAX_PREFIXES: usize = 100;
/// As many as have a number; twice as many as are taken, so that one is soon found.
const PLACES: usize = 256;
/// Longer ones are counted as one, too.
const MAX_PREFIX_BYTES: usize = 64;
/// What stands for those.
const OTHER: &str = "(other)";

/// The number of a prefix.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct PrefixId(u8);

#[derive(Debug)]
pub(crate) struct Prefixes {
    metrics: CacheMetrics,
    /// By a hash of the prefix: each stands where that points to, or in the first place after it that was free, and
    /// stays there. The first place stands for all others.
    places: Box<[OnceLock<Counts>]>,
    /// How many have one. Changes under the lock alone.
    known: AtomicUsize,
    beginning: Mutex<()>,
}

/// The counters of a prefix.
#[derive(Debug)]
pub(crate) struct Counts {
    name: Box<str>,
    pub(crate) l1_hits: IntCounter,
    pub(crate) l2_hits: IntCounter,
    pub(crate) stale: IntCounter,
    pub(crate) misses: IntCounter,
    pub(crate) loaded: IntCounter,
    pub(crate) load_failed: IntCounter,
    pub(crate) load_timed_out: IntCounter,
    pub(crate) load_panicked: IntCounter,
    pub(crate) load_time: Counter,
    pub(crate) refused_fills: IntCounter,
    pub(crate) evictions: IntCounter,
    unchanged: AtomicU64,
    unchanged_micros: AtomicU64,
    ttls_raised: AtomicU64,
    ttls_lowered: AtomicU64,
    last_ttl_millis: AtomicU64,
}

impl Prefixes {
    pub(crate) fn new(metrics: CacheMetrics) -> Prefixes {
        let places: Box<[OnceLock<Counts>]> = (0..PLACES).map(|_| OnceLock::new()).collect();
        places[0].get_or_init(|| metrics.of_prefix(OTHER));
        Prefixes {
            metrics,
            places,
            known: AtomicUsize::new(0),
            beginning: Mutex::default(),
        }
    }

    /// The number of a key's prefix. A key of more than [`MAX_PREFIX_BYTES`] in which no colon is soon found has none.
    pub(crate) fn of(&self, key: &str) -> PrefixId {
        // FNV-1a on the way to the colon. Whoever makes many collide only makes them collide with a hundred.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let colon = key.bytes().take(MAX_PREFIX_BYTES + 1).position(|it| {
            hash = (hash ^ u64::from(it)).wrapping_mul(0x0100_0000_01b3);
            it == b':'
        });
        let (name, hash) = match colon {
            // Also where nothing stands before it.
            Some(colon @ 1..) => (&key[..colon], hash),
            Some(_) => ("", 0),
            None if key.len() <= MAX_PREFIX_BYTES => ("", 0),
            None => return PrefixId(0),
        };
        if name == OTHER {
            return PrefixId(0);
        }
        // Not the first one.
        let first = hash % (PLACES as u64 - 1) + 1;
        let from = u8::try_from(first).unwrap_or(1);
        let mut places = (from..=u8::MAX).chain(1..from);
        let found = places.find_map(|place| match self.places[usize::from(place)].get() {
            Some(counts) => (*counts.name == *name).then_some(PrefixId(place)),
            None => Some(self.begin(place, name).unwrap_or_else(|| self.of(key))),
        });
        // There are more places than prefixes: one is found, or a free one.
        found.unwrap_or_default()
    }

    pub(crate) fn counts(&self, id: PrefixId) -> &Counts {
        let counts = &self.places[usize::from(id.0)];
        // A number is given when its counters are there.
        counts.get_or_init(|| self.metrics.of_prefix(OTHER))
    }

    /// Those of all prefixes that there are.
    pub(crate) fn all(&self) -> impl Iterator<Item = (PrefixId, &Counts)> {
        let counts = (0..=u8::MAX).zip(&self.places);
        counts.filter_map(|(id, counts)| Some((PrefixId(id), counts.get()?)))
    }

    /// Gives a place that was free to a prefix, if there are not too many. `None` if somebody else has it by now.
    fn begin(&self, place: u8, name: &str) -> Option<PrefixId> {
        let other = Some(PrefixId(0));
        if self.known.load(SeqCst) >= MAX_PREFIXES {
            return other;
        }
        let beginning = self.beginning.lock();
        let _beginning = beginning.unwrap_or_else(PoisonError::into_inner);
        let free = &self.places[usize::from(place)];
        let known = self.known.load(SeqCst);
        match free.get() {
            Some(_) => None,
            None if known >= MAX_PREFIXES => other,
            None => {
                free.get_or_init(|| self.metrics.of_prefix(name));
                self.known.store(known + 1, SeqCst);
                Some(PrefixId(place))
            }
        }
    }
}

impl Counts {
    pub(crate) fn new(name: &str, metrics: &CacheMetrics) -> Counts {
        Counts {
            name: name.into(),
            l1_hits: metrics.hits.with_label_values(&["l1", name]),
            l2_hits: metrics.hits.with_label_values(&["l2", name]),
            stale: metrics.stale.with_label_values(&[name]),
            misses: metrics.misses.with_label_values(&[name]),
            loaded: metrics.loads.with_label_values(&["ok", name]),
            load_failed: metrics.loads.with_label_values(&["failed", name]),
            load_timed_out: metrics.loads.with_label_values(&["timed_out", name]),
            load_panicked: metrics.loads.with_label_values(&["panicked", name]),
            load_time: metrics.load_time.with_label_values(&[name]),
            refused_fills: metrics.refused_fills.with_label_values(&[name]),
            evictions: metrics.evictions.with_label_values(&[name]),
            unchanged: AtomicU64::new(0),
            unchanged_micros: AtomicU64::new(0),
            ttls_raised: AtomicU64::new(0),
            ttls_lowered: AtomicU64::new(0),
            last_ttl_millis: AtomicU64::new(0),
        }
    }

    pub(crate) fn load_failures(&self) -> u64 {
        self.load_failed.get() + self.load_timed_out.get() + self.load_panicked.get()
    }

    /// A load has given what its key had before its time was up.
    pub(crate) fn count_unchanged(&self, load_time: Duration) {
        let micros = u64::try_from(load_time.as_micros()).unwrap_or(u64::MAX);
        self.unchanged.fetch_add(1, Relaxed);
        self.unchanged_micros.fetch_add(micros, Relaxed);
    }

    /// A time to live was found by what is seen of values.
    pub(crate) fn count_adapted(&self, judgement: Judgement) {
        match judgement.is_unchanged {
            Some(true) => self.ttls_raised.fetch_add(1, Relaxed),
            Some(false) => self.ttls_lowered.fetch_add(1, Relaxed),
            None => 0,
        };
        let millis = u64::try_from(judgement.ttl.as_millis()).unwrap_or(u64::MAX);
        self.last_ttl_millis.store(millis, Relaxed);
    }

    /// With what it holds in the process.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate need not be exact beyond 2^53 look-ups"
    )]
    pub(crate) fn stats(&self, l1_entries: u64, l1_bytes: u64) -> PrefixStats {
        let (l1_hits, l2_hits) = (self.l1_hits.get(), self.l2_hits.get());
        let (stale, misses) = (self.stale.get(), self.misses.get());
        let hits = l1_hits + l2_hits + stale;
        PrefixStats {
            prefix: self.name.to_string(),
            l1_hits,
            l2_hits,
            stale,
            misses,
            hit_rate: hits as f64 / (hits + misses).max(1) as f64,
            loads: self.loaded.get() + self.load_failures(),
            load_failures: self.load_failures(),
            load_seconds: self.load_time.get(),
            refused_fills: self.refused_fills.get(),
            evictions: self.evictions.get(),
            l1_entries,
            l1_bytes,
            unchanged_loads: self.unchanged.load(Relaxed),
            unchanged_load_seconds: self.unchanged_micros.load(Relaxed) as f64 / 1e6,
            ttls_raised: self.ttls_raised.load(Relaxed),
            ttls_lowered: self.ttls_lowered.load(Relaxed),
            last_adaptive_ttl_seconds: self.last_ttl_millis.load(Relaxed) as f64 / 1e3,
        }
    }
}

/// For tests: counters that nobody shows.
#[cfg(test)]
pub(crate) fn unseen() -> std::sync::Arc<Prefixes> {
    std::sync::Arc::new(Prefixes::new(CacheMetrics::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_counted_apart_up_to_a_bound() {
        let prefixes = unseen();
        let user = prefixes.of("user:1");
        assert_eq!(prefixes.of("user:2:3"), user);
        assert_ne!(prefixes.of("framework:1"), user);
        assert_ne!(prefixes.of("user"), user);
        assert_eq!(prefixes.of("user"), prefixes.of("framework"));
        assert_eq!(prefixes.of(""), prefixes.of("user"));
        assert_eq!(prefixes.of(":1"), prefixes.of("user"));
        assert_eq!(prefixes.of("(other):1"), PrefixId(0));
        for long in [format!("{}:1", "x".repeat(65)), "x".repeat(65)] {
            assert_eq!(prefixes.of(&long), PrefixId(0));
        }
        let longest = format!("{}:1", "x".repeat(64));
        assert_ne!(prefixes.of(&longest), PrefixId(0));
        for n in 0..1_000 {
            prefixes.of(&format!("{n}:1"));
        }
        assert_eq!(prefixes.of("user:3"), user);
        assert_eq!(prefixes.of("a new one:1"), PrefixId(0));
        assert_eq!(prefixes.all().count(), MAX_PREFIXES + 1);
        prefixes.counts(user).misses.inc();
        let misses: Vec<u64> = prefixes.all().map(|(_, it)| it.misses.get()).collect();
        assert_eq!(misses.iter().sum::<u64>(), 1);
    }
}
