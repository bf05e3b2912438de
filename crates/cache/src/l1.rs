//! The first tier: decoded values in the process.
//!
//! Bounded by the encoded sizes of its values, their keys and what an entry costs beside them. Its
//! eviction is `quick_cache`'s Clock-PRO: a scan of keys that are read once does not drive out those
//! that are read often.

use std::{any::Any, borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};
use tokio::time::Instant;

use crate::{
    names::{Identities, is_hashed},
    prefixes::{PrefixId, Prefixes},
    tags::Noted,
};

/// What an entry takes beside its key and value: the slot, two reference counts, the ghost.
const ENTRY_BYTES: u64 = 256;
/// For the number of shards, of which each holds its part of the bytes.
const ESTIMATED_ENTRY_BYTES: usize = 2_048;
/// A value larger than a shard is not kept, so they should not get small.
const MIN_SHARD_BYTES: usize = 4 * 1024 * 1024;
const MAX_SHARDS: usize = 64;

#[derive(Debug)]
pub(crate) struct L1 {
    /// By identity.
    entries: Cache<Arc<str>, Entry, EntryWeight, DefaultHashBuilder, CountEvictions>,
    identities: Identities,
    prefixes: Arc<Prefixes>,
    keeps: bool,
}

/// A value and how long it may be served.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    /// The whole key, where the identity is a part of it.
    long_key: Option<Arc<str>>,
    encoded_bytes: u32,
    prefix: PrefixId,
    span: Span,
    /// It is gone when one of them has been invalidated.
    tags: Noted,
}

/// From when to when an entry may be served, and what its value's [life](crate::envelope::Life) says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Until then it is served as fresh, by this process.
    pub(crate) served_until: Instant,
    /// Until then the value is fresh, which may be longer, and longer ago.
    pub(crate) fresh_until: Instant,
    /// When the entry goes.
    pub(crate) expires: Instant,
    /// A load has failed: none is tried before.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) load_time: Duration,
    pub(crate) mark: [u8; 8],
}

impl Span {
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now < self.served_until
    }

    /// Whether a load has failed just now.
    pub(crate) fn is_put_off(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|it| now < it)
    }
}

/// An entry, as it was found.
#[derive(Debug)]
pub(crate) struct Copied<T> {
    pub(crate) value: Arc<T>,
    pub(crate) encoded_bytes: usize,
    pub(crate) prefix: PrefixId,
    pub(crate) span: Span,
    pub(crate) tags: Noted,
}

#[derive(Clone, Debug)]
struct EntryWeight;

#[derive(Clone, Debug)]
struct CountEvictions(Arc<Prefixes>);

impl Entry {
    pub(crate) fn new<T: Send + Sync + 'static>(
        value: Arc<T>,
        encoded_bytes: usize,
        span: Span,
        tags: Noted,
    ) -> Entry {
        Entry {
            value,
            long_key: None,
            encoded_bytes: encoded_bytes.try_into().unwrap_or(u32::MAX),
            prefix: PrefixId::default(),
            span,
            tags,
        }
    }
}

impl Entry {
    pub(crate) fn tags(&self) -> &Noted {
        &self.tags
    }

    fn is_alive(&self, now: Instant) -> bool {
        now < self.span.expires && self.tags.are_current()
    }
}

impl L1 {
    pub(crate) fn new(max_bytes: usize, identities: Identities, prefixes: Arc<Prefixes>) -> L1 {
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes as u64)
            .estimated_items_capacity((max_bytes / ESTIMATED_ENTRY_BYTES).max(1))
            .shards((max_bytes / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS))
            .build()
            .expect("all options that are needed are set");
        L1 {
            entries: Cache::with_options(
                options,
                EntryWeight,
                DefaultHashBuilder::default(),
                CountEvictions(Arc::clone(&prefixes)),
            ),
            identities,
            prefixes,
            keeps: max_bytes > 0,
        }
    }

    /// Whether it keeps anything at all.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// The value, if it is there, is fresh, and is a `T`, and the key's prefix.
    pub(crate) fn get<T: Send + Sync + 'static>(&self, key: &str) -> Option<(Arc<T>, PrefixId)> {
        let now = Instant::now();
        let entry = self.live(key, now)?;
        if !entry.span.is_fresh(now) {
            return None;
        }
        Some((entry.value.downcast().ok()?, entry.prefix))
    }

    /// The value, if it is there and is a `T`, fresh or not.
    pub(crate) fn look<T: Send + Sync + 'static>(
        &self,
        key: &str,
        now: Instant,
    ) -> Option<Copied<T>> {
        let entry = self.live(key, now)?;
        Some(Copied {
            value: entry.value.downcast().ok()?,
            encoded_bytes: entry.encoded_bytes.try_into().unwrap_or(usize::MAX),
            prefix: entry.prefix,
            span: entry.span,
            tags: entry.tags,
        })
    }

    /// How long the key's value is fresh.
    pub(crate) fn ttl(&self, key: &str) -> Option<Duration> {
        let now = Instant::now();
        let entry = self.live(key, now)?;
        let left = entry.span.served_until.saturating_duration_since(now);
        Some(left).filter(|it| !it.is_zero())
    }

    pub(crate) fn insert(&self, key: Arc<str>, mut entry: Entry) {
        if !self.keeps {
            return;
        }
        entry.prefix = self.prefixes.of(&key);
        let identity = match self.identities.of(&key) {
            Cow::Borrowed(_) => key,
            Cow::Owned(identity) => {
                entry.long_key = Some(key);
                identity.into()
            }
        };
        // One that has expired already would take a better one's place; the one before it is old.
        if entry.span.expires > Instant::now() {
            self.entries.insert(identity, entry);
        } else {
            self.entries.remove(&identity);
        }
    }

    pub(crate) fn remove(&self, key: &str) {
        self.remove_identity(&self.identities.of(key));
    }

    pub(crate) fn remove_identity(&self, identity: &str) {
        self.entries.remove(identity);
    }

    /// Sets when the key's value expires. Answers whether there is one. It is taken out and put back:
    /// nobody may remove or insert the key in the meantime.
    pub(crate) fn expire(&self, key: &str, expires: Instant) -> bool {
        let now = Instant::now();
        match self.live(key, now) {
            Some(entry) if entry.span.is_fresh(now) => {
                let span = Span {
                    served_until: expires,
                    fresh_until: expires,
                    expires,
                    ..entry.span
                };
                self.insert(key.into(), Entry { span, ..entry });
                true
            }
            _ => false,
        }
    }

    /// Removes every key that `doomed` names, and counts them.
    pub(crate) fn remove_all(&self, doomed: impl Fn(&str) -> bool) -> u64 {
        let count = std::cell::Cell::new(0);
        self.entries.retain(|identity, entry| {
            let doomed = doomed(entry.long_key.as_ref().unwrap_or(identity));
            count.set(count.get() + u64::from(doomed));
            !doomed
        });
        count.get()
    }

    /// How many entries each prefix has, and what they weigh. It goes through all of them.
    pub(crate) fn by_prefix(&self) -> HashMap<PrefixId, (u64, u64)> {
        let mut by_prefix = HashMap::new();
        for (identity, entry) in self.entries.iter() {
            let (entries, bytes) = by_prefix.entry(entry.prefix).or_default();
            *entries += 1;
            *bytes += EntryWeight.weight(&identity, &entry);
        }
        by_prefix
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    fn live(&self, key: &str, now: Instant) -> Option<Entry> {
        if !self.keeps {
            return None;
        }
        let identity = self.identities.of(key);
        let entry = self.entries.get(&*identity)?;
        if entry.long_key.as_deref() != is_hashed(key).then_some(key) {
            return None;
        }
        if entry.is_alive(now) {
            return Some(entry);
        }
        self.entries.remove_if(&*identity, |it| !it.is_alive(now));
        None
    }
}

impl Weighter<Arc<str>, Entry> for EntryWeight {
    fn weight(&self, identity: &Arc<str>, entry: &Entry) -> u64 {
        let long_key = entry.long_key.as_ref().map_or(0, |it| it.len());
        let own = identity.len() + long_key + entry.tags.size();
        ENTRY_BYTES + own as u64 + u64::from(entry.encoded_bytes)
    }
}

impl Lifecycle<Arc<str>, Entry> for CountEvictions {
    /// Evicted values, which are dropped when the shard's lock is free again.
    type RequestState = Vec<Entry>;

    fn on_evict(&self, evicted: &mut Vec<Entry>, _: Arc<str>, entry: Entry) {
        self.0.counts(entry.prefix).evictions.inc();
        evicted.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefixes;

    fn l1(max_bytes: usize) -> L1 {
        L1::new(max_bytes, Identities::new("test"), prefixes::unseen())
    }

    fn insert(l1: &L1, key: String, bytes: usize) {
        let expires = Instant::now() + Duration::from_secs(60);
        let span = Span {
            served_until: expires,
            fresh_until: expires,
            expires,
            retry_at: None,
            load_time: Duration::ZERO,
            mark: [0; 8],
        };
        l1.insert(
            key.into(),
            Entry::new(Arc::new(7_u32), bytes, span, Noted::default()),
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_served_until_it_expires_and_only_as_what_it_is() {
        let l1 = l1(1_000_000);
        insert(&l1, "k".to_owned(), 4);
        assert_eq!(l1.get::<u32>("k").map(|(it, _)| *it), Some(7));
        assert!(l1.get::<u64>("k").is_none());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(l1.get::<u32>("k").is_none());
        assert_eq!((l1.entries(), l1.bytes()), (0, 0));
    }

    #[test]
    fn long_keys_are_told_apart_whatever_their_hash() {
        let l1 = l1(1_000_000);
        let long = "k".repeat(500);
        let identity = l1.identities.of(&long).into_owned();
        insert(&l1, long.clone(), 4);
        assert!(l1.get::<u32>(&long).is_some());
        assert!(l1.get::<u32>(&identity).is_none());
        insert(&l1, identity.clone(), 4);
        assert!(l1.get::<u32>(&long).is_none());
        assert!(l1.get::<u32>(&identity).is_some());
        assert_eq!(l1.remove_all(|key| key == long), 0);
        insert(&l1, long.clone(), 4);
        assert_eq!(l1.remove_all(|key| key == long), 1);
    }

    #[test]
    fn its_bytes_are_bounded_and_evictions_are_counted() {
        let l1 = l1(1_000_000);
        for n in 0..10_000 {
            insert(&l1, format!("key:{n}"), 1_000);
            assert!(l1.bytes() <= 1_000_000, "{} bytes after {n}", l1.bytes());
        }
        assert!(l1.bytes() > 900_000, "only {} bytes are used", l1.bytes());
        let counts = l1.prefixes.counts(l1.prefixes.of("key:1"));
        assert_eq!(counts.evictions.get(), 10_000 - l1.entries() as u64);
        let (entries, bytes) = l1.by_prefix()[&l1.prefixes.of("key:1")];
        assert_eq!((entries, bytes), (l1.entries() as u64, l1.bytes()));
    }

    #[test]
    fn a_value_that_is_too_large_is_not_kept() {
        let l1 = l1(1_000_000);
        insert(&l1, "large".to_owned(), 2_000_000);
        assert!(l1.get::<u32>("large").is_none());
        assert_eq!(l1.bytes(), 0);
    }

    #[test]
    fn what_is_read_often_survives_a_scan_of_what_is_read_once() {
        let l1 = l1(1_000_000);
        let hot = |n: usize| format!("hot:{n}");
        for _ in 0..3 {
            for n in 0..400 {
                if l1.get::<u32>(&hot(n)).is_none() {
                    insert(&l1, hot(n), 1_000);
                }
            }
        }
        for n in 0..20_000 {
            insert(&l1, format!("once:{n}"), 1_000);
        }
        let left = (0..400)
            .filter(|&n| l1.get::<u32>(&hot(n)).is_some())
            .count();
        assert!(left >= 380, "{left} of 400 are left");
    }
}
