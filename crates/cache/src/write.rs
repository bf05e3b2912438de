//! Writing values.
//!
//! A write takes two commands: the first puts a lease in the place of the old value, the second the
//! value in the place of the lease. If the second is given up for lost and arrives after all, it
//! finds its lease only where nobody has deleted or written the key since.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{join, time::Instant};

use crate::{
    CacheManager, Codec, Error, MAX_TTL, Policy,
    envelope::{self, Life},
    fence::Generation,
    l1::Entry,
    l2::L2,
    manager::{AT_ONCE, Inner, check_key},
    payload::Payload,
    pending::Mark,
    tags::{Noted, Version},
};

/// A value on its way into the cache.
struct Item<T> {
    key: Arc<str>,
    value: Arc<T>,
    payload: Payload,
}

/// Values that are written together, each with the generation that its write began.
struct Batch<'a, T> {
    /// Each with the generation of its key when the batch began.
    items: Vec<(&'a Item<T>, Generation)>,
    mark: Mark,
}

/// What all values of one write have.
struct Common {
    life: Life,
    tags: Noted,
}

impl CacheManager {
    /// Sets a value, for a time to live or by a [`Policy`]: its time to live, which is kept exactly, its windows
    /// and its tags. It is read as the type that it is written as, and so written as what it is: a `String`, say,
    /// and not a `&str`.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded or is too large, or the key, a tag or the time to live is out of bounds,
    /// and nothing has changed;
    /// or when Redis did not store it, and the key has no value.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it leaves the key with the new value or none.
    pub async fn set<T>(&self, key: &str, value: T, policy: impl Into<Policy>) -> Result<(), Error>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.mset([(key, value)], policy).await
    }

    /// Sets values, all at once.
    ///
    /// # Errors
    ///
    /// The first error, when all have been tried; see [`set`](CacheManager::set).
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it leaves each key with the new value or none.
    pub async fn mset<K, T>(
        &self,
        values: impl IntoIterator<Item = (K, T)>,
        policy: impl Into<Policy>,
    ) -> Result<(), Error>
    where
        K: AsRef<str>,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let policy = policy.into();
        policy.check_tags()?;
        let common = Common {
            life: policy.life_of_set()?,
            tags: self.inner.note(&policy),
        };
        let (codec, limit) = (self.inner.codec, self.inner.max_value_bytes);
        let items: Vec<Item<T>> = values
            .into_iter()
            .map(|(key, value)| Item::encode(key.as_ref(), value, codec, limit))
            .collect::<Result<_, _>>()?;
        let items = last_of_each(items);
        match &self.inner.l2 {
            Some(l2) => self.inner.write(l2, &items, &common).await,
            None => {
                for item in &items {
                    let insert = || self.inner.insert(item, Instant::now(), &common);
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
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it may have done it or not.
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
        if self.ttl(key).await?.is_none() {
            return Ok(false);
        }
        let result = l2.expire(key, ttl).await;
        // The copy here, and those on their way here, have the old time to live.
        inner.fences.invalidate(key, || inner.l1.remove(key));
        result
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Item<T> {
    fn encode(key: &str, value: T, codec: Codec, limit: usize) -> Result<Item<T>, Error> {
        check_key(key)?;
        let payload = Payload::encode(&value, codec).map_err(|source| Error::Encode {
            key: key.to_owned(),
            source,
        })?;
        if payload.encoded_bytes() > limit {
            return Err(Error::ValueTooLarge {
                key: key.to_owned(),
                bytes: payload.encoded_bytes(),
                limit,
            });
        }
        Ok(Item {
            key: key.into(),
            value: Arc::new(value),
            payload,
        })
    }
}

impl Inner {
    async fn write<T: Send + Sync + 'static>(
        self: &Arc<Inner>,
        l2: &L2,
        items: &[Item<T>],
        common: &Common,
    ) -> Result<(), Error> {
        let keys: Vec<Arc<str>> = items.iter().map(|it| Arc::clone(&it.key)).collect();
        // Until Redis has dropped the old values, nobody here may read them.
        let marked = self.mark(&keys);
        let invalidated: Vec<Generation> = keys
            .iter()
            .map(|key| self.fences.invalidate(key, || self.l1.remove(key)))
            .collect();

        let (mut failure, mut is_swept) = (None, false);
        for (items, invalidated) in items.chunks(AT_ONCE).zip(invalidated.chunks(AT_ONCE)) {
            // Noted anew, since the fences tell only the last few invalidations apart, and one by one what has been
            // invalidated between then and now is left out.
            let mut batch = Batch {
                items: Vec::with_capacity(items.len()),
                mark: marked.mark(),
            };
            for (item, invalidated) in items.iter().zip(invalidated) {
                let generation = self.fences.generation(&item.key);
                let is_one_of_all = self.fences.is_swept(&item.key, *invalidated);
                is_swept |= is_one_of_all;
                if is_one_of_all || !self.pending.is_marked(&item.key, batch.mark) {
                    self.counts(&item.key).refused_fills.inc();
                } else {
                    batch.items.push((item, generation));
                }
            }
            let written = self.write_batch(l2, batch, common).await;
            failure = failure.or(written.err());
        }
        // What was swept may have been spared by a pattern, and has its old value until Redis is told.
        if failure.is_none() && !is_swept {
            marked.told();
        }
        failure.map_or(Ok(()), Err)
    }

    /// Writes so many values that they can be on their way at once: a lease does not wait for long.
    async fn write_batch<T: Send + Sync + 'static>(
        &self,
        l2: &L2,
        batch: Batch<'_, T>,
        common: &Common,
    ) -> Result<(), Error> {
        let names = || common.tags.iter().map(Version::name);
        let items = batch.items.iter();
        let leases = join_all(items.map(|(item, _)| l2.lease_for_write(&item.key)));
        let (leases, is_known) = join!(leases, self.learn(l2, names()));
        if is_known {
            // What has just been heard of is read once more.
            self.learn(l2, names()).await;
        }
        let is_invalidated = common.tags.are_invalidated_here();
        let stamps = self.stamps(&common.tags);
        let life = common.life;
        let mut failure = None;
        let mut leased = Vec::with_capacity(batch.items.len());
        for ((item, generation), lease) in batch.items.iter().zip(leases) {
            match lease {
                Ok(lease) => {
                    self.pending.settle(&item.key, batch.mark);
                    leased.push((item, *generation, lease));
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let sent = Instant::now();
        let fills = leased.iter().map(|(item, generation, lease)| async {
            if is_invalidated || self.fences.is_overtaken(&item.key, *generation) {
                drop(l2.release(&item.key, lease.clone()).await);
                return Ok(false);
            }
            // Why the generations are not known has been counted.
            let stamps = stamps.as_ref();
            let stamps = stamps.ok_or(Error::Unavailable { source: None })?;
            let bytes = envelope::seal::<T>(&item.key, life, stamps, &item.payload);
            l2.write(&item.key, lease.clone(), bytes, life.kept).await
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
                            self.insert(item, sent, common);
                        }
                    };
                    self.fences.settle(&item.key, *generation, forget, insert);
                    continue;
                }
                // Somebody else has written or deleted it in the meantime.
                Ok(false) => self.counts(&item.key).refused_fills.inc(),
                Err(error) => failure = failure.or(Some(error)),
            }
            self.fences.invalidate(&item.key, forget);
        }
        failure.map_or(Ok(()), Err)
    }

    fn insert<T: Send + Sync + 'static>(&self, item: &Item<T>, seen: Instant, common: &Common) {
        let (value, span) = (Arc::clone(&item.value), self.span(seen, common.life));
        let entry = Entry::new(
            value,
            item.payload.encoded_bytes(),
            span,
            common.tags.clone(),
        );
        self.l1.insert(Arc::clone(&item.key), entry);
    }
}

/// Of values that are set under one key, the last one.
fn last_of_each<T>(mut items: Vec<Item<T>>) -> Vec<Item<T>> {
    if items.len() > 1 {
        let mut last = HashMap::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            last.insert(Arc::clone(&item.key), at);
        }
        let mut at = 0;
        items.retain(|item| {
            at += 1;
            last[&item.key] == at - 1
        });
    }
    items
}

fn check(ttl: Duration) -> Result<(), Error> {
    if ttl.is_zero() || ttl > MAX_TTL {
        return Err(Error::TtlOutOfBounds { ttl });
    }
    Ok(())
}
