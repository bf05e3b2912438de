//! Writing values.
//!
//! A write takes two commands: the first puts a lease in the place of the old value, the second the
//! value in the place of the lease. If the second is given up for lost and arrives after all, it
//! finds its lease only where nobody has deleted or written the key since.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    CacheManager, Error, MAX_TTL,
    envelope::{self, Life},
    fence::Generation,
    l1::Entry,
    l2::L2,
    manager::{AT_ONCE, Inner, check_key},
    pending::Mark,
};

/// A value on its way into the cache.
struct Item<T> {
    key: Arc<str>,
    value: Arc<T>,
    bytes: Bytes,
}

/// Values that are written together, each with the generation that its write began.
struct Batch<'a, T> {
    items: &'a [Item<T>],
    generations: &'a [Generation],
}

impl CacheManager {
    /// Sets a value. It is read as the type that it is written as, and so written as what it is: a `String`, say,
    /// and not a `&str`.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded or is too large, or the key or the time to live is out of bounds, and
    /// nothing has changed;
    /// or when Redis did not store it, and the key has no value.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it leaves the key with the new value or none.
    pub async fn set<T>(&self, key: &str, value: T, ttl: Duration) -> Result<(), Error>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.mset([(key, value)], ttl).await
    }

    /// Sets values, all at once.
    ///
    /// # Errors
    ///
    /// The first error, when all have been tried; see [`set`](CacheManager::set).
    pub async fn mset<K, T>(
        &self,
        values: impl IntoIterator<Item = (K, T)>,
        ttl: Duration,
    ) -> Result<(), Error>
    where
        K: AsRef<str>,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        check(ttl)?;
        let (life, limit) = (Life::of(ttl), self.inner.max_value_bytes);
        let items: Vec<Item<T>> = values
            .into_iter()
            .map(|(key, value)| Item::encode(key.as_ref(), value, life, limit))
            .collect::<Result<_, _>>()?;
        match &self.inner.l2 {
            Some(l2) => self.inner.write(l2, &items, life).await,
            None => {
                for item in &items {
                    let insert = || self.inner.insert(item, Instant::now(), life);
                    self.inner.fences.invalidate(&item.key, insert);
                }
                Ok(())
            }
        }
    }

    /// Sets how long a key's value lives from now on. Answers whether there is one.
    ///
    /// # Errors
    ///
    /// When the key or the time to live is out of bounds, or Redis did not answer; it may have done it all the
    /// same.
    pub async fn expire(&self, key: &str, ttl: Duration) -> Result<bool, Error> {
        check(ttl)?;
        check_key(key)?;
        let inner = &self.inner;
        let Some(l2) = &inner.l2 else {
            let mut is_there = false;
            inner.fences.invalidate(key, || {
                is_there = inner.l1.expire(key, Instant::now() + ttl);
            });
            return Ok(is_there);
        };
        if inner.pending.covers(key) {
            return Ok(false);
        }
        let result = l2.expire(key, ttl).await;
        // The copy here, and those on their way here, have the old time to live.
        inner.fences.invalidate(key, || inner.l1.remove(key));
        result
    }
}

impl<T: Serialize> Item<T> {
    fn encode(key: &str, value: T, life: Life, limit: usize) -> Result<Item<T>, Error> {
        check_key(key)?;
        let bytes = envelope::encode(key, &value, life).map_err(|source| Error::Encode {
            key: key.to_owned(),
            source,
        })?;
        if bytes.len() > limit {
            return Err(Error::ValueTooLarge {
                key: key.to_owned(),
                bytes: bytes.len(),
                limit,
            });
        }
        Ok(Item {
            key: key.into(),
            value: Arc::new(value),
            bytes: bytes.into(),
        })
    }
}

impl Inner {
    async fn write<T: Send + Sync + 'static>(
        self: &Arc<Inner>,
        l2: &L2,
        items: &[Item<T>],
        life: Life,
    ) -> Result<(), Error> {
        let keys: Vec<Arc<str>> = items.iter().map(|it| Arc::clone(&it.key)).collect();
        // Until Redis has dropped the old values, nobody here may read them.
        let marked = self.mark(&keys);
        let generations: Vec<Generation> = keys
            .iter()
            .map(|key| self.fences.invalidate(key, || self.l1.remove(key)))
            .collect();

        let mut failure = None;
        for (items, generations) in items.chunks(AT_ONCE).zip(generations.chunks(AT_ONCE)) {
            let batch = Batch { items, generations };
            let written = self.write_batch(l2, batch, marked.mark(), life).await;
            failure = failure.or(written.err());
        }
        if failure.is_none() {
            marked.told();
        }
        failure.map_or(Ok(()), Err)
    }

    /// Writes so many values that they can be on their way at once: a lease does not wait for long.
    async fn write_batch<T: Send + Sync + 'static>(
        &self,
        l2: &L2,
        batch: Batch<'_, T>,
        mark: Mark,
        life: Life,
    ) -> Result<(), Error> {
        let leases = join_all(batch.items.iter().map(|it| l2.lease_for_write(&it.key))).await;
        let mut failure = None;
        let mut leased = Vec::with_capacity(batch.items.len());
        for ((item, generation), lease) in batch.items.iter().zip(batch.generations).zip(leases) {
            match lease {
                Ok(lease) => {
                    self.pending.settle(&item.key, mark);
                    leased.push((item, *generation, lease));
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let sent = Instant::now();
        let fills = leased.iter().map(|(item, _, lease)| {
            l2.fill(&item.key, lease.clone(), item.bytes.clone(), life.kept)
        });
        for ((item, generation, _), filled) in leased.iter().zip(join_all(fills).await) {
            // A load that began during the write may have found what was there before.
            let forget = || self.l1.remove(&item.key);
            match filled {
                Ok(true) => {
                    let insert = || {
                        // Redis tells of this as well, and the first tier would let go of it: whoever
                        // asks next keeps it.
                        if !self.tracking.is_armed() {
                            self.insert(item, sent, life);
                        }
                    };
                    self.fences.settle(&item.key, *generation, forget, insert);
                    continue;
                }
                // Somebody else has written or deleted it in the meantime.
                Ok(false) => self.metrics.refused_fills.inc(),
                Err(error) => failure = failure.or(Some(error)),
            }
            self.fences.invalidate(&item.key, forget);
        }
        failure.map_or(Ok(()), Err)
    }

    fn insert<T: Send + Sync + 'static>(&self, item: &Item<T>, seen: Instant, life: Life) {
        let value = Arc::clone(&item.value);
        let entry = Entry::new(value, item.bytes.len(), self.span(seen, life));
        self.l1.insert(Arc::clone(&item.key), entry);
    }
}

fn check(ttl: Duration) -> Result<(), Error> {
    if ttl.is_zero() || ttl > MAX_TTL {
        return Err(Error::TtlOutOfBounds { ttl });
    }
    Ok(())
}
