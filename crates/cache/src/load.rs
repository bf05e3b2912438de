//! Loading what neither tier has, once for all who ask.
//!
//! The first caller of a key leads: it asks Redis, and loads if Redis has nothing. The others wait. A
//! leader that is dropped, or runs into a deadline of its own, hands over to one of them, which begins
//! anew with its own load.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use crate::{
    CacheManager, LoadError, MAX_TTL, envelope,
    fence::{Leader, Role},
    l2::Read,
    manager::Inner,
};

/// How a load ended, for all who waited for it.
enum Outcome<T, E> {
    /// Somebody had it already.
    Found(Arc<T>),
    Loaded(Arc<T>),
    Failed(Arc<E>),
    Panicked(Arc<str>),
}

/// How long a caller wants to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    asked: Instant,
    /// For somebody else's load.
    wait: Instant,
    /// For its own.
    load: Option<Instant>,
}

impl CacheManager {
    /// The value of a key, from the first tier that has it, else from `load`, whose value is then
    /// kept for `ttl`.
    ///
    /// Callers who come while a load runs wait for its value. An error goes to all of them and is not
    /// kept. A value that an invalidation has overtaken goes to those who wait for it and is not kept;
    /// who comes after the invalidation starts another load.
    ///
    /// A `ttl` of zero keeps nothing; one above [`MAX_TTL`](crate::MAX_TTL) counts as that.
    ///
    /// # Errors
    ///
    /// When the load fails, panics, or does not end before the scope's deadline or
    /// [`load_timeout`](crate::Builder::load_timeout). Never because of Redis.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops its load. If others wait for it, one of them begins its own.
    pub async fn get_or_load<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: Duration,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let asked = Instant::now();
        let end = asked + self.inner.load_timeout;
        let end = ruleiq_scope::deadline().map_or(end, |deadline| deadline.min(end));
        let limits = Limits {
            asked,
            wait: end,
            load: Some(end),
        };
        self.inner.get_or_load(key, ttl, limits, load).await
    }

    /// Like [`get_or_load`](CacheManager::get_or_load), for a load that has its own limits: it is
    /// waited for as long as it takes, if this caller leads.
    pub(crate) async fn get_or_load_unlimited<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: Duration,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let asked = Instant::now();
        let limits = Limits {
            asked,
            wait: asked + self.inner.load_timeout,
            load: None,
        };
        self.inner.get_or_load(key, ttl, limits, load).await
    }
}

impl Inner {
    async fn get_or_load<T, E, F, Fut>(
        self: &Arc<Inner>,
        key: &str,
        ttl: Duration,
        limits: Limits,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.l1.get(key) {
            self.count_l1_hit();
            return Ok(value);
        }
        let key: Arc<str> = key.into();
        // On the heap, so that a hit does not carry the load around.
        Box::pin(async move {
            loop {
                let mut waiting = match self.fences.join::<Outcome<T, E>>(&key) {
                    Role::Lead(leader) => return self.lead(&leader, &key, ttl, limits, load).await,
                    Role::Follow(waiting) => waiting,
                };
                let outcome = timeout_at(limits.wait, waiting.wait_for(Option::is_some)).await;
                match outcome {
                    Ok(Ok(outcome)) => {
                        if let Some(outcome) = &*outcome {
                            return self.follow(outcome);
                        }
                    }
                    // The leader has given up: somebody else leads.
                    Ok(Err(_)) => {}
                    Err(_) => return Err(limits.timed_out()),
                }
            }
        })
        .await
    }

    fn follow<T, E>(&self, outcome: &Outcome<T, E>) -> Result<Arc<T>, LoadError<E>> {
        match outcome {
            Outcome::Found(_) => self.count_l2_hit(),
            _ => self.count_miss(),
        }
        outcome.clone().into_result()
    }

    async fn lead<T, E, F, Fut>(
        self: &Arc<Inner>,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        ttl: Duration,
        limits: Limits,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        // The load before this one may have ended between the first look and the election.
        if let Some(value) = self.l1.get(key) {
            self.count_l1_hit();
            leader.publish(Outcome::Found(Arc::clone(&value)));
            return Ok(value);
        }
        let mut lease = None;
        if let Some(l2) = self.usable_l2(key) {
            let asked = Instant::now();
            match l2.get_or_lease(key).await {
                Ok(Read::Hit(found)) => {
                    self.count_l2_hit();
                    let value = self.keep_found(key, leader.generation(), found, asked);
                    leader.publish(Outcome::Found(Arc::clone(&value)));
                    return Ok(value);
                }
                Ok(Read::Lease(granted)) => lease = Some(granted),
                // Counted; the value is loaded, and Redis is not given it.
                Ok(Read::Nothing) | Err(_) => {}
            }
        }
        self.count_miss();
        let begun = Instant::now();
        let outcome = self.run(limits, load).await?;
        // Nobody waits for Redis to take it. An error of a leader that had less time than others have
        // is its own.
        let is_late = matches!(outcome, Outcome::Failed(_))
            && limits.load.is_some_and(|end| end <= Instant::now());
        if !is_late {
            leader.publish(outcome.clone());
        }
        if let Outcome::Loaded(value) = &outcome {
            self.store(leader, key, ttl.min(MAX_TTL), value, lease, begun)
                .await;
        }
        outcome.into_result()
    }

    /// Runs the load within its limit.
    async fn run<T, E, F, Fut>(
        &self,
        limits: Limits,
        load: F,
    ) -> Result<Outcome<T, E>, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let timer = self.metrics.load_duration.start_timer();
        // What the load has touched is not looked at after a panic: the future is dropped.
        let load = AssertUnwindSafe(async { load().await }).catch_unwind();
        let ended = match limits.load {
            Some(end) => timeout_at(end, load).await,
            None => Ok(load.await),
        };
        timer.observe_duration();
        match ended {
            Ok(Ok(Ok(value))) => {
                self.metrics.loaded.inc();
                Ok(Outcome::Loaded(Arc::new(value)))
            }
            Ok(Ok(Err(error))) => {
                self.metrics.load_failed.inc();
                Ok(Outcome::Failed(Arc::new(error)))
            }
            Ok(Err(panic)) => {
                self.metrics.load_panicked.inc();
                Ok(Outcome::Panicked(message(panic.as_ref())))
            }
            Err(_) => {
                self.metrics.load_timed_out.inc();
                Err(limits.timed_out())
            }
        }
    }

    /// Keeps a loaded value, unless an invalidation has overtaken it.
    async fn store<T, E>(
        &self,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        ttl: Duration,
        value: &Arc<T>,
        lease: Option<Bytes>,
        begun: Instant,
    ) where
        T: Serialize + Send + Sync + 'static,
    {
        if ttl.is_zero() {
            return;
        }
        let bytes: Bytes = match envelope::encode(key, value.as_ref(), ttl) {
            Ok(bytes) => bytes.into(),
            Err(error) => {
                self.metrics.unencodable.inc();
                tracing::warn!(key = &**key, %error, "a loaded value is no JSON and is not kept");
                return;
            }
        };
        let encoded_bytes = bytes.len();
        let mut seen = begun;
        if let (Some(l2), Some(lease)) = (&self.l2, lease) {
            if self.fences.is_overtaken(key, leader.generation()) {
                self.metrics.refused_fills.inc();
                return;
            }
            let sent = Instant::now();
            match l2.fill(key, lease, bytes, ttl).await {
                // Redis tells of this as well, and the first tier would let go of it: whoever asks next
                // keeps it.
                Ok(true) if self.tracking.is_armed() => return,
                // Nobody had deleted it anywhere by then.
                Ok(true) => seen = sent,
                Ok(false) => {
                    self.metrics.refused_fills.inc();
                    return;
                }
                Err(_) => {}
            }
        } else if self.l2.is_none() {
            seen = Instant::now();
        }
        let expires = self.expiry(seen, ttl);
        self.keep(key, leader.generation(), value, encoded_bytes, expires);
    }
}

impl Limits {
    fn timed_out<E>(self) -> LoadError<E> {
        LoadError::TimedOut {
            after: self.asked.elapsed(),
        }
    }
}

impl<T, E> Outcome<T, E> {
    fn into_result(self) -> Result<Arc<T>, LoadError<E>> {
        match self {
            Outcome::Found(value) | Outcome::Loaded(value) => Ok(value),
            Outcome::Failed(error) => Err(LoadError::Failed(error)),
            Outcome::Panicked(message) => Err(LoadError::Panicked { message }),
        }
    }
}

impl<T, E> Clone for Outcome<T, E> {
    fn clone(&self) -> Outcome<T, E> {
        match self {
            Outcome::Found(value) => Outcome::Found(Arc::clone(value)),
            Outcome::Loaded(value) => Outcome::Loaded(Arc::clone(value)),
            Outcome::Failed(error) => Outcome::Failed(Arc::clone(error)),
            Outcome::Panicked(message) => Outcome::Panicked(Arc::clone(message)),
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> Arc<str> {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("nothing that is text").into()
}
