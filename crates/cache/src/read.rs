//! Reading from the second tier: what stands there, and whether it is right.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::{join, time::Instant};

use crate::{
    Error,
    envelope::{self, Life, Sealed, Stamps},
    l2::{L2, Leased, Wanted},
    manager::Inner,
    metrics::Flush,
    payload,
    tags::{Judged, Noted, UNHEARD, Version},
};

/// How often generations are read that somebody is heard to have changed meanwhile.
const LOOKS: usize = 2;
/// After a generation could not be read, none is asked for.
const LEFT_ALONE: Duration = Duration::from_millis(500);

/// A value, as it was found.
pub(crate) struct Found<T> {
    pub(crate) value: Arc<T>,
    pub(crate) encoded_bytes: usize,
    /// What is left of it.
    pub(crate) life: Life,
    /// For how long it has not been fresh.
    pub(crate) overdue: Duration,
    pub(crate) tags: Noted,
}

/// What there is for one who would load a value.
pub(crate) enum Read<T> {
    /// A fresh value.
    Hit(Found<T>),
    /// None, and the right to store one, as long as nobody deletes the key.
    /// Whether it is one's own says the flag.
    Lease(Bytes, bool, Option<Found<T>>),
    /// None, and somebody else is storing one.
    Nothing(Option<Found<T>>),
    /// None, and another process loads it alone.
    Loaded(Option<Found<T>>),
}

impl<T> Found<T> {
    pub(crate) fn is_fresh(&self) -> bool {
        !self.life.fresh.is_zero()
    }
}

impl Inner {
    /// The value of a key, fresh or not.
    pub(crate) async fn find<T: DeserializeOwned + 'static>(
        &self,
        l2: &L2,
        key: &str,
    ) -> Result<Option<Found<T>>, Error> {
        Ok(match self.get(l2, key).await? {
            Some(bytes) => self.found(l2, key, &bytes).await,
            None => None,
        })
    }

    /// What stands under a key. The epoch is asked for at the same time where it is not known: each answer that is waited
    /// for by itself makes a slow Redis slower.
    async fn get(&self, l2: &L2, key: &str) -> Result<Option<Bytes>, Error> {
        if self.tags.knows_epoch() {
            return l2.get(key).await;
        }
        // On the heap: it is rare.
        let asking = Box::pin(async { join!(l2.get(key), self.learn(l2, [].into_iter())) });
        asking.await.0
    }

    /// The values of keys, fresh or not, in their order.
    pub(crate) async fn find_many<T: DeserializeOwned + 'static>(
        &self,
        l2: &L2,
        keys: &[&str],
    ) -> Result<Vec<Option<Found<T>>>, Error> {
        let answers = l2.mget(keys).await?;
        let mut found: Vec<Option<Found<T>>> = Vec::with_capacity(answers.len());
        let mut unknown = Vec::new();
        let (now, wall) = (Instant::now(), envelope::now());
        for (key, bytes) in keys.iter().zip(&answers) {
            let sealed = bytes.as_ref().and_then(|it| envelope::open::<T>(key, it));
            found.push(
                sealed.and_then(|sealed| match self.judge(sealed.stamps, now) {
                    Judged::Right(tags) => self.decoded(&sealed, tags, wall),
                    Judged::Overtaken => None,
                    Judged::Unknown => {
                        unknown.push((found.len(), sealed));
                        None
                    }
                }),
            );
        }
        if !unknown.is_empty() {
            let names = unknown.iter().flat_map(|(_, it)| it.stamps.tags());
            self.learn(l2, names.map(|(name, _)| name)).await;
            let (now, wall) = (Instant::now(), envelope::now());
            for (at, sealed) in unknown {
                if let Judged::Right(tags) = self.judge(sealed.stamps, now) {
                    found[at] = self.decoded(&sealed, tags, wall);
                }
            }
        }
        Ok(found)
    }

    /// The value of a key, or the right to store one with these tags. A value with this mark is not wanted; one
    /// that is not fresh is given beside the right.
    pub(crate) async fn find_or_lease<T: DeserializeOwned + 'static>(
        &self,
        l2: &L2,
        key: &str,
        tags: &Noted,
        unwanted: Option<[u8; 8]>,
        wanted: Wanted,
    ) -> Result<Read<T>, Error> {
        let is_wanted = |found: &Found<T>| found.is_fresh() && Some(found.life.mark()) != unwanted;
        let mut bytes = None;
        let mut stale = None;
        // Most who ask find it, and for them this costs half of what the script does. Where Redis is slow it is one answer
        // more to wait for, and the script tells what there is as well.
        let mut has_looked = !l2.is_slow();
        if has_looked {
            bytes = self.get(l2, key).await?;
            if let Some(bytes) = &bytes {
                stale = self.found(l2, key, bytes).await;
            }
            if let Some(found) = stale.take_if(|it| is_wanted(it)) {
                return Ok(Read::Hit(found));
            }
        }
        let header = Bytes::copy_from_slice(&envelope::header::<T>());
        let names = || tags.iter().map(Version::name);
        loop {
            // Whatever has been found is not wanted, be it stale, overtaken or unreadable.
            let mark = bytes.as_ref().and_then(envelope::mark).unwrap_or_default();
            let leasing = l2.lease(key, header.clone(), mark, wanted);
            let (answer, is_known) = join!(leasing, self.learn(l2, names()));
            if is_known {
                // What has just been heard of is read once more.
                self.learn(l2, names()).await;
            }
            return Ok(match answer? {
                Leased::Lease(lease, is_own) => Read::Lease(lease, is_own, stale),
                Leased::Written => Read::Nothing(stale),
                Leased::Loaded => Read::Loaded(stale),
                Leased::Value(found) => match self.found(l2, key, &found).await {
                    Some(found) if is_wanted(&found) => Read::Hit(found),
                    other if has_looked => Read::Nothing(other.or(stale)),
                    other => {
                        // Now it is known, and not wanted.
                        has_looked = true;
                        bytes = Some(found);
                        stale = other;
                        continue;
                    }
                },
            });
        }
    }

    /// Whether values with these generations are right now, as far as Redis tells.
    pub(crate) async fn judged(&self, l2: &L2, stamps: Stamps<'_>) -> Option<Noted> {
        for _ in 0..LOOKS {
            match self.judge(stamps, Instant::now()) {
                Judged::Right(tags) => return Some(tags),
                Judged::Overtaken => return None,
                // On the heap: it is rare.
                Judged::Unknown => {
                    let names = stamps.tags().map(|(name, _)| name);
                    if !Box::pin(self.learn(l2, names)).await {
                        return None;
                    }
                }
            }
        }
        match self.judge(stamps, Instant::now()) {
            Judged::Right(tags) => Some(tags),
            Judged::Overtaken | Judged::Unknown => None,
        }
    }

    /// Notes the tags anew for a load or a write that begins now. Answers the generations that its value is
    /// stored with; `None` while they are not known.
    pub(crate) fn stamps(&self, tags: &Noted) -> Option<Vec<u8>> {
        let epoch = self.tags.known_epoch();
        let generations = tags.renew()?;
        Some(envelope::stamps(epoch?, generations.into_iter()))
    }

    /// Whether none of the tags has been invalidated since they were noted, by anybody that Redis knows of.
    pub(crate) async fn are_current(&self, l2: &L2, tags: &Noted) -> bool {
        if tags.are_current() {
            return true;
        }
        self.learn(l2, tags.iter().map(Version::name)).await;
        tags.are_current()
    }

    /// Asks Redis for those of the tags' generations, and of the epoch's, that are not known. Answers whether it has
    /// told; if not, it is left alone for a while, since in a cluster the values may be elsewhere.
    pub(crate) async fn learn<'a>(&self, l2: &L2, names: impl Iterator<Item = &'a str>) -> bool {
        let now = Instant::now();
        let unknown = self.tags.unknown(names, now);
        if unknown.is_empty() {
            return true;
        }
        if self.tags.is_left_alone(now) {
            return false;
        }
        let until = self.believed_until();
        let names: Vec<&str> = unknown.iter().map(Version::name).collect();
        // Why there was no answer has been counted, and they stay unknown.
        let Ok(generations) = l2.generations(&names).await else {
            self.tags.leave_alone(Instant::now() + LEFT_ALONE);
            return false;
        };
        for (version, generation) in unknown.iter().zip(generations) {
            version.learn(generation.number, generation.age, until);
        }
        self.bound_tags();
        true
    }

    /// Until when a generation is believed that is asked for from now on: what Redis says before it tells of changes
    /// may change unheard. Tags are to be noted before.
    pub(crate) fn believed_until(&self) -> Option<Instant> {
        (!self.tracking.is_armed()).then(|| Instant::now() + UNHEARD)
    }

    /// Sees to it that not too many tags are remembered.
    pub(crate) fn bound_tags(&self) {
        if self.tags.bound() {
            // The tags that are left are those of values in the process.
            tracing::warn!(
                prefix = self.prefix,
                "the values in the process have too many tags: all of them leave it"
            );
            self.metrics.flushed(Flush::Tags);
            self.l1.remove_all(|_| true);
            self.tags.bound();
        }
    }

    async fn found<T: DeserializeOwned + 'static>(
        &self,
        l2: &L2,
        key: &str,
        bytes: &Bytes,
    ) -> Option<Found<T>> {
        let sealed = envelope::open::<T>(key, bytes)?;
        let tags = self.judged(l2, sealed.stamps).await?;
        self.decoded(&sealed, tags, envelope::now())
    }

    fn judge(&self, stamps: Stamps<'_>, now: Instant) -> Judged {
        let judged = self.tags.judge(stamps, now);
        // Afterwards: what is marked after this is invalidated after what was noted.
        match self
            .pending
            .covers_tags(stamps.tags().map(|(name, _)| name))
        {
            true => Judged::Overtaken,
            false => judged,
        }
    }

    fn decoded<T: DeserializeOwned + 'static>(
        &self,
        sealed: &Sealed<'_>,
        tags: Noted,
        now: u64,
    ) -> Option<Found<T>> {
        let decoded = payload::decode(sealed.payload, self.max_value_bytes);
        let (value, encoded_bytes) = decoded
            .inspect_err(|why| self.metrics.count_unreadable(*why))
            .ok()?;
        // At once: what is large is moved no more than it must.
        let value = Arc::new(value);
        let (life, overdue) = sealed.life.left(now);
        Some(Found {
            value,
            encoded_bytes,
            life,
            overdue,
            tags,
        })
    }
}
