//! Storing what has been loaded.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    Error, Policy, envelope,
    fence::{Leader, Source},
    history::Judgement,
    l1::Entry,
    load::Outcome,
    look::Right,
    manager::{Inner, check_key},
    nothing::is_nothing,
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

    /// Keeps a loaded value, unless an invalidation has overtaken it.
    pub(crate) async fn store<T, E>(
        &self,
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
            let only = right.only;
            let filled = match right.stamps {
                Some(stamps) => {
                    let bytes = envelope::seal::<T>(key, life, &stamps, &payload);
                    l2.fill(key, right.lease, bytes, life.kept).await
                }
                // Why they are not known has been counted.
                None => Err(Error::Unavailable { source: None }),
            };
            if let (Ok(_), Some(only)) = (&filled, only) {
                only.end();
            }
            match filled {
                // Redis tells of this as well, and the first tier would let go of it: whoever asks next
                // keeps it.
                Ok(true) if self.tracking.is_armed() => return,
                // Nobody had deleted it anywhere by then.
                Ok(true) => seen = sent,
                Ok(false) => {
                    self.counts(key).refused_fills.inc();
                    return;
                }
                Err(_) => {}
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
