//! Loading what neither tier has, once for all who ask.
//!
//! The first caller of a key leads: it asks Redis, and loads if Redis has nothing. The others wait. A
//! leader that is dropped, or runs into a deadline of its own, hands over to one of them, which begins
//! anew with its own load.

use std::{any::Any, borrow::Cow, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use ruleiq_scope::Scope;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    CacheManager, LoadError, Policy, envelope,
    fence::{Leader, Role, Source},
    l1::{Copied, Entry, Span},
    l2::INVALIDATED_FOR,
    manager::{Inner, check_key},
    nothing::is_nothing,
    payload::Payload,
    read::{Found, Read},
    scripts::PRIMARY_LEASE,
    tags::{Noted, Version},
};

/// After a load has failed, what is there is not loaded anew before this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a load stands or has ended, for all who wait for it.
pub(crate) enum Outcome<T, E> {
    /// Not ended: what is there, whose time was up then, while it is loaded anew.
    Begun(Arc<T>, Instant),
    /// Not loaded, and what is there, whose time was up then.
    Fallback(Arc<T>, Instant),
    /// Somebody had it already.
    Found(Arc<T>),
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
#[derive(Clone, Debug)]
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
        right: Option<Right>,
        /// Whether an invalidation has caused the load.
        is_invalidated: bool,
    },
}

/// The right to store a value in Redis.
struct Right {
    lease: Bytes,
    /// The generations of its tags; `None` where they are not known, and then it can only be dropped.
    stamps: Option<Vec<u8>>,
}

/// What is to be known of a load when it has ended.
struct Loading {
    right: Option<Right>,
    begun: Instant,
    /// Whether there was a value, fresh or not.
    had_one: bool,
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
        let now = Instant::now();
        if let Some(copied) = self.l1.look::<T>(key, now) {
            let span = &copied.span;
            if span.is_fresh(now) {
                self.count_l1_hit();
                return Ok(copied.value);
            }
            if span.is_put_off(now) && policy.covers_error(span.fresh_until, now) {
                self.count_stale();
                return Ok(copied.value);
            }
        }
        let key: Arc<str> = key.into();
        // On the heap, so that a hit does not carry the load around.
        Box::pin(async move {
            loop {
                match self.join::<T, E>(&key, &policy) {
                    Role::Lead(leader) => {
                        let leading = Leading {
                            policy: policy.clone(),
                            limits,
                            is_detached: false,
                            unwanted: None,
                        };
                        return self.lead(&leader, &key, leading, load).await;
                    }
                    Role::Follow(waiting) => {
                        if let Some(ended) = self.follow(waiting, &policy, limits).await {
                            return ended;
                        }
                    }
                }
            }
        })
        .await
    }

    /// Joins the load of a key, or begins it.
    pub(crate) fn join<T: Send + Sync + 'static, E: Send + Sync + 'static>(
        &self,
        key: &Arc<str>,
        policy: &Policy,
    ) -> Role<Outcome<T, E>> {
        let tags = match policy.has_tags() {
            true => self.note(policy),
            false => Noted::default(),
        };
        self.fences.join(key, tags)
    }

    /// The tags of a policy as they stand now; none where a value cannot have them, since it is not kept.
    pub(crate) fn note(&self, policy: &Policy) -> Noted {
        if policy.check_tags().is_err() {
            return Noted::default();
        }
        let tags: Vec<Cow<'_, str>> = policy.all_tags().collect();
        self.tags.note(tags.iter().map(|it| &**it))
    }

    /// Waits for somebody else's load. `None` if it has given up, and somebody else must lead.
    pub(crate) async fn follow<T: Send + Sync, E: Send + Sync>(
        &self,
        mut waiting: watch::Receiver<Option<Outcome<T, E>>>,
        policy: &Policy,
        limits: Limits,
    ) -> Option<Result<Arc<T>, LoadError<E>>> {
        let suits = |outcome: &Option<Outcome<T, E>>| match outcome {
            None => false,
            Some(Outcome::Begun(_, until)) => policy.covers_revalidation(*until, Instant::now()),
            // Who may not have it begins a load of its own when this one's leader is gone.
            Some(Outcome::Fallback(_, until)) => policy.covers_error(*until, Instant::now()),
            Some(_) => true,
        };
        // What is there is given after a while, if that is wanted.
        let soft_end = policy
            .soft_timeout
            .map_or(limits.wait, |it| limits.asked + it);
        for end in [soft_end.min(limits.wait), limits.wait] {
            if let Ok(ended) = timeout_at(end, waiting.wait_for(suits)).await {
                let outcome = ended.ok()?.clone()?;
                match &outcome {
                    Outcome::Begun(..) | Outcome::Fallback(..) => self.count_stale(),
                    Outcome::Found(_) => self.count_l2_hit(),
                    _ => self.count_miss(),
                }
                return Some(outcome.into_result());
            }
            if let Some(Outcome::Begun(value, until)) = &*waiting.borrow()
                && policy.covers_error(*until, Instant::now())
            {
                self.count_stale();
                return Some(Ok(Arc::clone(value)));
            }
        }
        self.count_miss();
        Some(Err(limits.timed_out()))
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
        let (policy, limits) = (&leading.policy, leading.limits);
        let (stale, right, is_invalidated) = match self.look_first(leader, key, &leading).await {
            Before::Found(value) => {
                leader.publish(Outcome::Found(Arc::clone(&value)));
                return Ok(value);
            }
            Before::Absent {
                stale,
                right,
                is_invalidated,
            } => (stale, right, is_invalidated),
        };
        let begun = Instant::now();
        if let Some(stale) = stale.as_ref().filter(|it| it.span.fresh_until <= begun) {
            let until = stale.span.fresh_until;
            leader.publish(Outcome::Begun(Arc::clone(&stale.value), until));
        }
        if leading.unwanted.is_some() {
            self.metrics.refreshes.inc();
        }
        let had_one = stale.is_some();
        let ended = self.run(limits, is_invalidated, load).await;
        if !matches!(&ended, Ok(Outcome::Loaded(_)))
            && let Some(stale) = stale
        {
            let (value, until) = (Arc::clone(&stale.value), stale.span.fresh_until);
            self.put_off(leader, key, stale);
            if policy.covers_error(until, Instant::now()) {
                leading.count(self, Inner::count_stale);
                leader.publish(Outcome::Fallback(Arc::clone(&value), until));
                return Ok(value);
            }
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
            let loading = Loading {
                right,
                begun,
                had_one,
            };
            self.store(leader, key, policy, value, loading).await;
        }
        outcome.into_result()
    }

    /// Looks for a value in both tiers, and for the right to store one.
    async fn look_first<T, E>(
        self: &Arc<Inner>,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        leading: &Leading,
    ) -> Before<T>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let unwanted = leading.unwanted;
        // The load before this one may have ended between the first look and the election.
        let now = Instant::now();
        let is_wanted = |span: &Span| span.is_fresh(now) && Some(span.mark) != unwanted;
        let copied = self.l1.look::<T>(key, now);
        let mut stale = match copied {
            Some(copied) if is_wanted(&copied.span) => {
                leading.count(self, Inner::count_l1_hit);
                return Before::Found(copied.value);
            }
            other => other,
        };
        let tags = leader.tags();
        let mut right = None;
        let mut is_invalidated = self.is_invalidated(key, tags);
        let is_pending = self.pending.covers_tags(tags.iter().map(Version::name));
        if let Some(l2) = self.usable_l2(key).filter(|_| !is_pending) {
            let asked = Instant::now();
            let found = match self.find_or_lease(l2, key, tags, unwanted).await {
                Ok(Read::Hit(found)) => {
                    leading.count(self, Inner::count_l2_hit);
                    let generation = leader.generation();
                    return Before::Found(self.keep_found(key, generation, found, asked));
                }
                Ok(Read::Lease(lease, found)) => {
                    is_invalidated |= lease.starts_with(PRIMARY_LEASE);
                    let stamps = self.stamps(tags);
                    right = Some(Right { lease, stamps });
                    found
                }
                // Somebody writes it.
                Ok(Read::Nothing(found)) => {
                    is_invalidated = true;
                    found
                }
                // Counted; the value is loaded, and Redis is not given it.
                Err(_) => None,
            };
            if let Some(found) = found {
                stale = Some(self.copied(found, asked));
            }
        }
        Before::Absent {
            stale,
            right,
            is_invalidated,
        }
    }

    /// Whether the key, or one of the tags, was invalidated a moment ago, as far as this process knows.
    fn is_invalidated(&self, key: &str, tags: &Noted) -> bool {
        let since = Instant::now().checked_sub(INVALIDATED_FOR);
        self.fences.was_invalidated(key, INVALIDATED_FOR)
            || since.is_some_and(|since| tags.have_changed(since))
    }

    /// What Redis has and is not wanted, mostly as it is not fresh.
    fn copied<T>(&self, found: Found<T>, asked: Instant) -> Copied<T> {
        let mut span = self.span(asked, found.life);
        if !found.overdue.is_zero() {
            // A clock that began later than that knows no such time, and then it was just now.
            span.fresh_until = asked.checked_sub(found.overdue).unwrap_or(asked);
        }
        Copied {
            value: Arc::new(found.value),
            encoded_bytes: found.encoded_bytes,
            span,
            tags: found.tags,
        }
    }

    /// Keeps what is there, and for a moment nobody tries again to load it.
    fn put_off<T: Send + Sync + 'static, O>(
        &self,
        leader: &Leader<O>,
        key: &Arc<str>,
        copied: Copied<T>,
    ) {
        let span = Span {
            retry_at: Some(Instant::now() + RETRY_AFTER),
            ..copied.span
        };
        let entry = Entry::new(copied.value, copied.encoded_bytes, span, copied.tags);
        self.keep(key, leader.generation(), Source::Redis, entry);
    }

    /// Runs the load within its limit. One that an invalidation has caused reads the primary.
    async fn run<T, E, F, Fut>(
        &self,
        limits: Limits,
        is_invalidated: bool,
        load: F,
    ) -> Result<Outcome<T, E>, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let timer = self.metrics.load_duration.start_timer();
        // What the load has touched is not looked at after a panic: the future is dropped.
        let load = AssertUnwindSafe(async {
            if !is_invalidated {
                return load().await;
            }
            let scope = Scope::current().unwrap_or_else(|| Scope::builder().build());
            let reading = scope.reading_primary();
            reading.run(async { load().await }).await
        });
        let load = load.catch_unwind();
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
    async fn store<T, E>(
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
        let Loading {
            right,
            begun,
            had_one,
        } = loading;
        let life = policy.life(is_nothing(value.as_ref()), begun.elapsed());
        let life = life.filter(|_| self.may_have_tags(key, policy));
        let encoded = life.and_then(|life| Some((life, self.encode(key, value.as_ref())?)));
        let Some((life, payload)) = encoded else {
            if had_one {
                self.let_go(leader, key, right).await;
            }
            return;
        };
        let mut seen = begun;
        if let (Some(l2), Some(right)) = (&self.l2, right) {
            let is_overtaken = self.fences.is_overtaken(key, leader.generation());
            if is_overtaken || !self.are_current(l2, leader.tags()).await {
                self.metrics.refused_fills.inc();
                return;
            }
            let Some(stamps) = right.stamps else { return };
            let sent = Instant::now();
            let bytes = envelope::seal::<T>(key, life, &stamps, &payload);
            match l2.fill(key, right.lease, bytes, life.kept).await {
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
        let (span, tags) = (self.span(seen, life), leader.tags().clone());
        let entry = Entry::new(Arc::clone(value), payload.encoded_bytes(), span, tags);
        self.keep(key, leader.generation(), Source::Load, entry);
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
            Outcome::Begun(value, _)
            | Outcome::Fallback(value, _)
            | Outcome::Found(value)
            | Outcome::Loaded(value) => Ok(value),
            Outcome::Failed(error) => Err(LoadError::Failed(error)),
            Outcome::Panicked(message) => Err(LoadError::Panicked { message }),
        }
    }
}

impl<T, E> Clone for Outcome<T, E> {
    fn clone(&self) -> Outcome<T, E> {
        match self {
            Outcome::Found(value) => Outcome::Found(Arc::clone(value)),
            Outcome::Begun(value, until) => Outcome::Begun(Arc::clone(value), *until),
            Outcome::Fallback(value, until) => Outcome::Fallback(Arc::clone(value), *until),
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
