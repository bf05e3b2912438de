//! Storing what has been loaded.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    Policy, envelope,
    fence::{Leader, Source},
    history::Judgement,
    l1::Entry,
    l2::L2,
    load::Outcome,
    look::Right,
    manager::{Inner, check_key},
    nothing::is_nothing,
    only::Only,
    payload::Payload,
};

/// What is to be known of a load when it has ended.
pub(crate) struct Loading {
    pub(crate) right: Option<Right>,
    pub(crate) begun: Instant,
    /// Whether there was a value, fresh or not.
    pub(crate) had_one: bool,
    /// Whether an invalidation has caused it.
    pub(crate) is_invalidated: bool,
}

impl Inner {
    fn encode<T>(&self, key: &str, value: &T) -> Option<Payload>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        match Payload::encode(value, self.codec) {
            Ok(payload) if payload.encoded_bytes() > self.max_value_bytes => {
                self.metrics.rejected_values.inc();
                let (bytes, limit) = (payload.encoded_bytes(), self.max_value_bytes);
                tracing::debug!(
                    key,
                    bytes,
                    limit,
                    "a loaded value is too large and is not kept"
                );
                None
            }
            Ok(payload) => Some(payload),
            Err(error) => {
                self.metrics.unencodable.inc();
                tracing::warn!(key, %error, "a loaded value cannot be encoded and is not kept");
                None
            }
        }
    }

    /// Lets go of what was there before a load whose value is not kept.
    async fn let_go<T, E>(
        &self,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        right: Option<Right>,
    ) {
        let generation = leader.generation();
        let forget = || self.l1.remove(key);
        self.fences.fill(key, generation, Source::Redis, forget);
        if let (Some(l2), Some(right)) = (&self.l2, right) {
            // Why Redis did not do it is counted; the value goes when its time comes.
            drop(l2.drop_value(key, right.lease).await);
        }
    }

    /// Stores a value in Redis. Answers whether its lease was still there; `None` where that is not known: it failed, or,
    /// where Redis is slow, goes on in the background, among the loads there.
    async fn fill(
        self: &Arc<Inner>,
        l2: &L2,
        key: &Arc<str>,
        (lease, only): (Bytes, Option<Only>),
        bytes: Bytes,
        kept: Duration,
    ) -> Option<bool> {
        let (inner, key) = (Arc::clone(self), Arc::clone(key));
        let filling = async move {
            let filled = inner.l2.as_ref()?.fill(&key, lease, bytes, kept).await;
            if let (Ok(_), Some(only)) = (&filled, only) {
                only.end();
            }
            // Why it failed has been counted.
            filled.ok()
        };
        if l2.is_slow()
            && let Ok(permit) = Arc::clone(&self.refreshes).try_acquire_owned()
        {
            tokio::spawn(async move {
                filling.await;
                drop(permit);
            });
            return None;
        }
        filling.await
    }

    /// Keeps a loaded value, unless an invalidation has overtaken it.
    pub(crate) async fn store<T, E>(
        self: &Arc<Inner>,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        policy: &Policy,
        value: &Arc<T>,
        loading: Loading,
    ) where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        if check_key(key).is_err() {
            return;
        }
        let load_time = loading.begun.elapsed();
        let is_negative = is_nothing(value.as_ref());
        let ttl = policy.ttl(is_negative);
        let ttl = ttl.filter(|_| self.may_have_tags(key, policy));
        let encoded = ttl.and_then(|ttl| Some((ttl, self.encode(key, value.as_ref())?)));
        let Some((ttl, payload)) = encoded else {
            if loading.had_one {
                self.let_go(leader, key, loading.right).await;
            }
            return;
        };
        let bounds = policy.adaptive_ttl.filter(|_| !is_negative);
        let judgement = self.history.note(key, payload.hash(), ttl, bounds);
        self.count_judgement(key, judgement, &loading, load_time, bounds.is_some());
        let life = policy.life(judgement.ttl, load_time);
        let Loading { right, begun, .. } = loading;
        let mut seen = begun;
        if let (Some(l2), Some(right)) = (&self.l2, right) {
            let is_overtaken = self.fences.is_overtaken(key, leader.generation());
            if is_overtaken || !self.are_current(l2, leader.tags()).await {
                self.counts(key).refused_fills.inc();
                return;
            }
            let sent = Instant::now();
            let filled = match right.stamps {
                Some(stamps) => {
                    let bytes = envelope::seal::<T>(key, life, &stamps, &payload);
                    let right = (right.lease, right.only);
                    self.fill(l2, key, right, bytes, life.kept).await
                }
                // Why they are not known has been counted.
                None => None,
            };
            match filled {
                // Redis tells of this as well, and the first tier would let go of it: whoever asks next
                // keeps it.
                Some(true) if self.tracking.is_armed() => return,
                // Nobody had deleted it anywhere by then.
                Some(true) => seen = sent,
                Some(false) => {
                    self.counts(key).refused_fills.inc();
                    return;
                }
                None => {}
            }
        } else if self.l2.is_none() {
            seen = Instant::now();
        }
        let (span, tags) = (self.span(seen, life), leader.tags().clone());
        let entry = Entry::new(Arc::clone(value), payload.encoded_bytes(), span, tags);
        self.keep(key, leader.generation(), Source::Load, entry);
    }

    fn count_judgement(
        &self,
        key: &str,
        judgement: Judgement,
        loading: &Loading,
        load_time: Duration,
        is_adaptive: bool,
    ) {
        let counts = self.counts(key);
        if judgement.is_unchanged == Some(true) && !loading.is_invalidated {
            counts.count_unchanged(load_time);
        }
        if is_adaptive {
            counts.count_adapted(judgement);
        }
    }

    fn may_have_tags(&self, key: &str, policy: &Policy) -> bool {
        let Err(error) = policy.check_tags() else {
            return true;
        };
        self.metrics.rejected_values.inc();
        tracing::warn!(key, %error, "a loaded value is not kept");
        false
    }
}
