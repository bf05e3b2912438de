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

/// What an entry takes beside its key and value: the slot, reference counts, what few entries have, the ghost.
const ENTRY_BYTES: u64 = 256;
/// For the number of shards, of which each holds its part of the bytes.
const ESTIMATED_ENTRY_BYTES: usize = 2_048;
/// A value larger than a shard is not kept, so they should not get small.
const MIN_SHARD_BYTES: usize = 4 * 1024 * 1024;
const MAX_SHARDS: usize = 64;

#[derive(Debug)]
pub(crate) struct L1 {
    /// By identity.
    entries: Cache<Arc<str>, Kept, EntryWeight, DefaultHashBuilder, CountEvictions>,
    identities: Identities,
    prefixes: Arc<Prefixes>,
    keeps: bool,
    /// From when [moments](Moment) are counted.
    begun: Instant,
}

/// A value and how long it may be served.
#[derive(Debug)]
pub(crate) struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    encoded_bytes: usize,
    span: Span,
    /// It is gone when one of them has been invalidated.
    tags: Noted,
}

/// An [`Entry`] as it is kept. A hit copies it, so it is small: what few entries have stands elsewhere.
#[derive(Clone, Debug)]
struct Kept {
    value: Arc<dyn Any + Send + Sync>,
    rare: Option<Arc<Rare>>,
    served_until: Moment,
    fresh_until: Moment,
    expires: Moment,
    mark: [u8; 8],
    load_micros: u32,
    encoded_bytes: u32,
    prefix: PrefixId,
}

#[derive(Debug, Default)]
struct Rare {
    /// The whole key, where the identity is a part of it.
    long_key: Option<Arc<str>>,
    tags: Noted,
    retry_at: Option<Instant>,
}

/// Nanoseconds since the tier began, or before it: half the size of an [`Instant`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Moment(i64);

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
            encoded_bytes,
            span,
            tags,
        }
    }

    pub(crate) fn tags(&self) -> &Noted {
        &self.tags
    }
}

impl Kept {
    fn is_alive(&self, now: Moment) -> bool {
        now < self.expires && self.rare().is_none_or(|it| it.tags.are_current())
    }

    fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// Most have none.
    fn tags(&self) -> Noted {
        self.rare().map(|it| it.tags.clone()).unwrap_or_default()
    }

    fn long_key(&self) -> Option<&Arc<str>> {
        self.rare()?.long_key.as_ref()
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
            begun: Instant::now(),
        }
    }

    /// Whether it keeps anything at all.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// The value, if it is there, is fresh, and is a `T`, and the key's prefix.
    pub(crate) fn get<T: Send + Sync + 'static>(&self, key: &str) -> Option<(Arc<T>, PrefixId)> {
        if !self.keeps {
            return None;
        }
        let now = self.moment(Instant::now());
        let kept = self.live(key, now)?;
        if now >= kept.served_until {
            return None;
        }
        Some((kept.value.downcast().ok()?, kept.prefix))
    }

    /// The value, if it is there and is a `T`, fresh or not.
    pub(crate) fn look<T: Send + Sync + 'static>(
        &self,
        key: &str,
        now: Instant,
    ) -> Option<Copied<T>> {
        let kept = self.live(key, self.moment(now))?;
        Some(Copied {
            span: self.span(&kept),
            encoded_bytes: kept.encoded_bytes.try_into().unwrap_or(usize::MAX),
            prefix: kept.prefix,
            tags: kept.tags(),
            value: kept.value.downcast().ok()?,
        })
    }

    /// How long the key's value is fresh.
    pub(crate) fn ttl(&self, key: &str) -> Option<Duration> {
        let now = Instant::now();
        let kept = self.live(key, self.moment(now))?;
        let left = self.instant(kept.served_until);
        Some(left.saturating_duration_since(now)).filter(|it| !it.is_zero())
    }

    pub(crate) fn insert(&self, key: Arc<str>, entry: Entry) {
        if !self.keeps {
            return;
        }
        let prefix = self.prefixes.of(&key);
        let (identity, long_key) = match self.identities.of(&key) {
            Cow::Borrowed(_) => (key, None),
            Cow::Owned(identity) => (identity.into(), Some(key)),
        };
        // One that has expired already would take a better one's place; the one before it is old.
        if entry.span.expires > Instant::now() {
            self.entries
                .insert(identity, self.kept(entry, prefix, long_key));
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
        let now = self.moment(now);
        match self.live(key, now) {
            Some(kept) if now < kept.served_until => {
                let span = Span {
                    served_until: expires,
                    fresh_until: expires,
                    expires,
                    ..self.span(&kept)
                };
                let entry = Entry {
                    encoded_bytes: kept.encoded_bytes.try_into().unwrap_or(usize::MAX),
                    tags: kept.tags(),
                    value: kept.value,
                    span,
                };
                self.insert(key.into(), entry);
                true
            }
            _ => false,
        }
    }

    /// Removes every key that `doomed` names, and counts them.
    pub(crate) fn remove_all(&self, doomed: impl Fn(&str) -> bool) -> u64 {
        let count = std::cell::Cell::new(0);
        self.entries.retain(|identity, kept| {
            let doomed = doomed(kept.long_key().unwrap_or(identity));
            count.set(count.get() + u64::from(doomed));
            !doomed
        });
        count.get()
    }

    /// How many entries each prefix has, and what they weigh. It goes through all of them.
    pub(crate) fn by_prefix(&self) -> HashMap<PrefixId, (u64, u64)> {
        let mut by_prefix = HashMap::new();
        for (identity, kept) in self.entries.iter() {
            let (entries, bytes) = by_prefix.entry(kept.prefix).or_default();
            *entries += 1;
            *bytes += EntryWeight.weight(&identity, &kept);
        }
        by_prefix
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    fn live(&self, key: &str, now: Moment) -> Option<Kept> {
        let identity = self.identities.of(key);
        let kept = self.entries.get(&*identity)?;
        if kept.long_key().map(|it| &**it) != is_hashed(key).then_some(key) {
            return None;
        }
        if kept.is_alive(now) {
            return Some(kept);
        }
        self.entries.remove_if(&*identity, |it| !it.is_alive(now));
        None
    }

    fn kept(&self, entry: Entry, prefix: PrefixId, long_key: Option<Arc<str>>) -> Kept {
        let span = entry.span;
        let rare = Rare {
            long_key,
            tags: entry.tags,
            retry_at: span.retry_at,
        };
        Kept {
            value: entry.value,
            rare: (!rare.is_empty()).then(|| rare.into()),
            served_until: self.moment(span.served_until),
            fresh_until: self.moment(span.fresh_until),
            expires: self.moment(span.expires),
            mark: span.mark,
            load_micros: span.load_time.as_micros().try_into().unwrap_or(u32::MAX),
            encoded_bytes: entry.encoded_bytes.try_into().unwrap_or(u32::MAX),
            prefix,
        }
    }

    fn span(&self, kept: &Kept) -> Span {
        Span {
            served_until: self.instant(kept.served_until),
            fresh_until: self.instant(kept.fresh_until),
            expires: self.instant(kept.expires),
            retry_at: kept.rare().and_then(|it| it.retry_at),
            load_time: Duration::from_micros(kept.load_micros.into()),
            mark: kept.mark,
        }
    }

    fn moment(&self, at: Instant) -> Moment {
        let nanos = |it: Duration| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX);
        Moment(match at.checked_duration_since(self.begun) {
            Some(since) => nanos(since),
            None => -nanos(self.begun - at),
        })
    }

    fn instant(&self, at: Moment) -> Instant {
        let distance = Duration::from_nanos(at.0.unsigned_abs());
        match at.0 {
            0.. => self.begun + distance,
            // Of a time that the clock knew, too.
            _ => self.begun.checked_sub(distance).unwrap_or(self.begun),
        }
    }
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.long_key.is_none() && self.tags.is_empty() && self.retry_at.is_none()
    }
}

impl Weighter<Arc<str>, Kept> for EntryWeight {
    fn weight(&self, identity: &Arc<str>, kept: &Kept) -> u64 {
        let rare = kept.rare().map_or(0, |it| {
            let long_key = it.long_key.as_ref().map_or(0, |it| it.len());
            long_key + it.tags.size()
        });
        let own = identity.len() + rare;
        ENTRY_BYTES + own as u64 + u64::from(kept.encoded_bytes)
    }
}

impl Lifecycle<Arc<str>, Kept> for CountEvictions {
    /// Evicted values, which are dropped when the shard's lock is free again.
    type RequestState = Vec<Kept>;

    fn on_evict(&self, evicted: &mut Vec<Kept>, _: Arc<str>, kept: Kept) {
        self.0.counts(kept.prefix).evictions.inc();
        evicted.push(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{prefixes, tags::Tags};

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

    #[tokio::test(start_paused = true)]
    async fn what_was_put_in_comes_out_whole() {
        let l1 = l1(1_000_000);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let now = Instant::now();
        let after = |nanos| now + Duration::from_nanos(nanos);
        let span = Span {
            served_until: after(1),
            // It has been stale since before the tier began.
            fresh_until: now - Duration::from_secs(7_200),
            expires: after(1_000_000_007),
            retry_at: Some(after(5)),
            load_time: Duration::from_micros(1_234_567),
            mark: *b"a mark !",
        };
        let tags = Tags::default();
        for key in ["short".to_owned(), "long".repeat(100)] {
            let noted = tags.note(["a", "b"].into_iter());
            l1.insert(
                key.as_str().into(),
                Entry::new(Arc::new(7_u32), 9, span, noted),
            );
            let copied = l1.look::<u32>(&key, now).unwrap();
            assert_eq!((*copied.value, copied.encoded_bytes), (7, 9));
            assert_eq!(format!("{:?}", copied.span), format!("{span:?}"));
            assert_eq!(copied.prefix, l1.prefixes.of(&key));
            assert!(copied.tags.iter().map(|it| it.name()).eq(["a", "b"]));
            // Its tags outlive a new time to live.
            assert!(l1.expire(&key, after(60_000_000_000)));
            assert!(l1.look::<u32>(&key, now).is_some());
            tags.invalidate("b");
            assert!(l1.look::<u32>(&key, now).is_none());
        }
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
