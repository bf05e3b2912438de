//! Loading what neither tier has, once for all who ask.
//!
//! The first caller of a key leads: it asks Redis, and loads if Redis has nothing. The others wait. A
//! leader that is dropped, or runs into a deadline of its own, hands over to one of them, which begins
//! anew with its own load.

use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    CacheManager, LoadError, Policy, envelope,
    fence::{Leader, Role},
    l1::{Copied, Span},
    l2::{Found, Read},
    manager::Inner,
    nothing::is_nothing,
};

/// How long a value that is given in the place of an error is given before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a load ended, for all who waited for it.
pub(crate) enum Outcome<T, E> {
    /// Somebody had it already.
    Found(Arc<T>),
    /// Its time is up, and it is better than nothing.
    Stale(Arc<T>),
    Loaded(Arc<T>),
    Failed(Arc<E>),
    Panicked(Arc<str>),
}

/// How long a caller wants to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) asked: Instant,
    /// For somebody else's load.
    pub(crate) wait: Instant,
    /// For its own.
    pub(crate) load: Option<Instant>,
}

/// How a load is led.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leading {
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    /// Whether its leader waits for nobody: those who wait can have a stale value meanwhile.
    pub(crate) is_detached: bool,
    /// The mark of a value that is there and is to be replaced.
    pub(crate) unwanted: Option<[u8; 8]>,
}

/// What there is before a load.
enum Before<T> {
    Found(Arc<T>),
    Absent {
        stale: Option<Copied<T>>,
        lease: Option<Bytes>,
    },
}

impl Leading {
    /// Of a leader that waits for nobody, those who wait count.
    fn count(&self, cache: &Inner, count: fn(&Inner)) {
        if !self.is_detached {
            count(cache);
        }
    }
}

impl CacheManager {
    /// The value of a key, from the first tier that has it, else from `load`, whose value is then
    /// kept by `policy`: a [`Policy`], or a time to live.
    ///
    /// Callers who come while a load runs wait for its value. An error goes to all of them and is not
    /// kept. A value that an invalidation has overtaken goes to those who wait for it and is not kept;
    /// who comes after the invalidation starts another load.
    ///
    /// # Errors
    ///
    /// When the load fails, panics, or does not end before the scope's deadline or
    /// [`load_timeout`](crate::Builder::load_timeout), and there is no value that
    /// [`stale_if_error`](Policy::stale_if_error) allows. Never because of Redis.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops its load. If others wait for it, one of them begins its own.
    pub async fn get_or_load<T, E, F, Fut>(
        &self,
        key: &str,
        policy: impl Into<Policy>,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let limits = self.inner.limits();
        self.inner
            .get_or_load(key, policy.into(), limits, load)
            .await
    }

    /// Like [`get_or_load`](CacheManager::get_or_load), for a load that has its own limits: it is
    /// waited for as long as it takes, if this caller leads.
    pub(crate) async fn get_or_load_unlimited<T, E, F, Fut>(
        &self,
        key: &str,
        policy: impl Into<Policy>,
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
        self.inner
            .get_or_load(key, policy.into(), limits, load)
            .await
    }
}

impl Inner {
    /// Of a caller who comes now.
    pub(crate) fn limits(&self) -> Limits {
        let asked = Instant::now();
        let end = asked + self.load_timeout;
        let end = ruleiq_scope::deadline().map_or(end, |deadline| deadline.min(end));
        Limits {
            asked,
            wait: end,
            load: Some(end),
        }
    }

    async fn get_or_load<T, E, F, Fut>(
        self: &Arc<Inner>,
        key: &str,
        policy: Policy,
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
                    Role::Lead(leader) => {
                        let leading = Leading {
                            policy,
                            limits,
                            is_detached: false,
                            unwanted: None,
                        };
                        return self.lead(&leader, &key, leading, load).await;
                    }
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

    pub(crate) fn follow<T, E>(&self, outcome: &Outcome<T, E>) -> Result<Arc<T>, LoadError<E>> {
        match outcome {
            Outcome::Found(_) => self.count_l2_hit(),
            Outcome::Stale(_) => self.count_stale(),
            _ => self.count_miss(),
        }
        outcome.clone().into_result()
    }

    pub(crate) async fn lead<T, E, F, Fut>(
        self: &Arc<Inner>,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        leading: Leading,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Leading { policy, limits, .. } = leading;
        let (stale, lease) = match self.look_first(leader, key, leading).await {
            Before::Found(value) => {
                leader.publish(Outcome::Found(Arc::clone(&value)));
                return Ok(value);
            }
            Before::Absent { stale, lease } => (stale, lease),
        };
        let begun = Instant::now();
        if leading.is_detached
            && let Some(stale) = &stale
            && policy.covers_revalidation(stale.span.fresh_until, begun)
        {
            leader.publish(Outcome::Stale(Arc::clone(&stale.value)));
        }
        let load = self.run(limits, load);
        let ended = self.in_soft_time(leader, leading, stale.as_ref(), load);
        let ended = ended.await;
        if !matches!(&ended, Ok(Outcome::Loaded(_)))
            && let Some(stale) = stale
            && policy.covers_error(stale.span.fresh_until, Instant::now())
        {
            leading.count(self, Inner::count_stale);
            let value = Arc::clone(&stale.value);
            leader.publish(Outcome::Stale(Arc::clone(&value)));
            self.put_off(leader, key, stale);
            return Ok(value);
        }
        leading.count(self, Inner::count_miss);
        let outcome = ended?;
        // Nobody waits for Redis to take it. An error of a leader that had less time than others have
        // is its own.
        let is_late = matches!(outcome, Outcome::Failed(_))
            && limits.load.is_some_and(|end| end <= Instant::now());
        if !is_late {
            leader.publish(outcome.clone());
        }
        if let Outcome::Loaded(value) = &outcome {
            self.store(leader, key, policy, value, lease, begun).await;
        }
        outcome.into_result()
    }

    /// Looks for a value in both tiers, and for the right to store one.
    async fn look_first<T, E>(
        self: &Arc<Inner>,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        leading: Leading,
    ) -> Before<T>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let unwanted = leading.unwanted;
        // The load before this one may have ended between the first look and the election.
        let now = Instant::now();
        let is_wanted = |span: &Span| now < span.fresh_until && Some(span.mark) != unwanted;
        let copied = self.l1.look::<T>(key, now);
        let mut stale = match copied {
            Some(copied) if is_wanted(&copied.span) => {
                leading.count(self, Inner::count_l1_hit);
                return Before::Found(copied.value);
            }
            other => other,
        };
        let mut lease = None;
        if let Some(l2) = self.usable_l2(key) {
            let asked = Instant::now();
            let found = match l2.get_or_lease(key, unwanted).await {
                Ok(Read::Hit(found)) => {
                    leading.count(self, Inner::count_l2_hit);
                    let generation = leader.generation();
                    return Before::Found(self.keep_found(key, generation, found, asked));
                }
                Ok(Read::Lease(granted, found)) => {
                    lease = Some(granted);
                    found
                }
                // Counted; the value is loaded, and Redis is not given it.
                Ok(Read::Nothing(found)) => found,
                Err(_) => None,
            };
            if let Some(found) = found {
                stale = Some(self.overdue(found, asked));
            }
        }
        Before::Absent { stale, lease }
    }

    /// Runs a load; those who wait for it are given what is stale when it takes longer than they like.
    async fn in_soft_time<T, E>(
        &self,
        leader: &Leader<Outcome<T, E>>,
        leading: Leading,
        stale: Option<&Copied<T>>,
        load: impl Future<Output = Result<Outcome<T, E>, LoadError<E>>>,
    ) -> Result<Outcome<T, E>, LoadError<E>> {
        let policy = leading.policy;
        let Some(after) = policy.soft_timeout.filter(|_| leading.is_detached) else {
            return load.await;
        };
        let mut load = pin!(load);
        if let Ok(ended) = timeout(after, &mut load).await {
            return ended;
        }
        if let Some(stale) = stale
            && policy.covers_error(stale.span.fresh_until, Instant::now())
        {
            leader.publish(Outcome::Stale(Arc::clone(&stale.value)));
        }
        load.await
    }

    /// What Redis has and is not fresh.
    fn overdue<T>(&self, found: Found<T>, asked: Instant) -> Copied<T> {
        let mut span = self.span(asked, found.life);
        // A clock that began later than that knows no such time, and then it was just now.
        span.fresh_until = asked.checked_sub(found.overdue).unwrap_or(asked);
        Copied {
            value: Arc::new(found.value),
            encoded_bytes: found.encoded_bytes,
            span,
        }
    }

    /// Keeps what is stale for a moment, in which nobody tries again.
    fn put_off<T: Send + Sync + 'static, E>(
        &self,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        stale: Copied<T>,
    ) {
        let retry_at = Instant::now() + RETRY_AFTER;
        let span = Span {
            fresh_until: retry_at.min(stale.span.expires),
            ..stale.span
        };
        let (value, encoded_bytes) = (stale.value, stale.encoded_bytes);
        self.keep(key, leader.generation(), &value, encoded_bytes, span);
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
        policy: Policy,
        value: &Arc<T>,
        lease: Option<Bytes>,
        begun: Instant,
    ) where
        T: Serialize + Send + Sync + 'static,
    {
        let Some(life) = policy.life(is_nothing(value.as_ref()), begun.elapsed()) else {
            return;
        };
        let bytes: Bytes = match envelope::encode(key, value.as_ref(), life) {
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
            match l2.fill(key, lease, bytes, life.kept).await {
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
        let span = self.span(seen, life);
        self.keep(key, leader.generation(), value, encoded_bytes, span);
    }
}

impl Limits {
    pub(crate) fn timed_out<E>(self) -> LoadError<E> {
        LoadError::TimedOut {
            after: self.asked.elapsed(),
        }
    }
}

impl<T, E> Outcome<T, E> {
    fn into_result(self) -> Result<Arc<T>, LoadError<E>> {
        match self {
            Outcome::Found(value) | Outcome::Stale(value) | Outcome::Loaded(value) => Ok(value),
            Outcome::Failed(error) => Err(LoadError::Failed(error)),
            Outcome::Panicked(message) => Err(LoadError::Panicked { message }),
        }
    }
}

impl<T, E> Clone for Outcome<T, E> {
    fn clone(&self) -> Outcome<T, E> {
        match self {
            Outcome::Found(value) => Outcome::Found(Arc::clone(value)),
            Outcome::Stale(value) => Outcome::Stale(Arc::clone(value)),
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
