//! Loading what neither tier has, once for all who ask.
//!
//! The first caller of a key leads: it asks Redis, and loads if Redis has nothing. The others wait. A
//! leader that is dropped, or runs into a deadline of its own, hands over to one of them, which begins
//! anew with its own load.

use std::{any::Any, borrow::Cow, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use ruleiq_scope::Scope;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    CacheManager, LoadError, Policy,
    fence::{Leader, Role, Source},
    l1::{Copied, Entry, Span},
    look::Before,
    manager::Inner,
    prefixes::PrefixId,
    store::Loading,
    tags::Noted,
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

impl Leading {
    /// Of a leader that waits for nobody, those who wait count.
    pub(crate) fn count(&self, cache: &Inner, key: &str, count: fn(&Inner, PrefixId)) {
        if !self.is_detached {
            count(cache, cache.prefixes.of(key));
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
                self.count_l1_hit(copied.prefix);
                return Ok(copied.value);
            }
            if span.is_put_off(now) && policy.covers_error(span.fresh_until, now) {
                self.count_stale(copied.prefix);
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
                        if let Some(ended) = self.follow(&key, waiting, &policy, limits).await {
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
        let noted = self.tags.note(tags.iter().map(|it| &**it));
        self.bound_tags();
        noted
    }

    /// Waits for somebody else's load. `None` if it has given up, and somebody else must lead.
    pub(crate) async fn follow<T: Send + Sync, E: Send + Sync>(
        &self,
        key: &str,
        mut waiting: watch::Receiver<Option<Outcome<T, E>>>,
        policy: &Policy,
        limits: Limits,
    ) -> Option<Result<Arc<T>, LoadError<E>>> {
        let prefix = self.prefixes.of(key);
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
                    Outcome::Begun(..) | Outcome::Fallback(..) => self.count_stale(prefix),
                    Outcome::Found(_) => self.count_l2_hit(prefix),
                    _ => self.count_miss(prefix),
                }
                return Some(outcome.into_result());
            }
            if let Some(Outcome::Begun(value, until)) = &*waiting.borrow()
                && policy.covers_error(*until, Instant::now())
            {
                self.count_stale(prefix);
                return Some(Ok(Arc::clone(value)));
            }
        }
        self.count_miss(prefix);
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
        let Before {
            found,
            stale,
            right,
            is_invalidated,
        } = self.look_first(leader, key, &leading).await;
        if let Some(value) = found {
            leader.publish(Outcome::Found(Arc::clone(&value)));
            return Ok(value);
        }
        let begun = Instant::now();
        leader.begin(stale.as_ref());
        if leading.unwanted.is_some() {
            self.metrics.refreshes.inc();
        }
        let had_one = stale.is_some();
        let loading = self.run(key, limits, is_invalidated, load);
        let only = right.as_ref().and_then(|it| it.only.as_ref());
        let ended = match only {
            Some(only) => only.renewed_during(loading).await,
            None => loading.await,
        };
        if !matches!(&ended, Ok(Outcome::Loaded(_)))
            && let Some(stale) = stale
        {
            let (value, until) = (Arc::clone(&stale.value), stale.span.fresh_until);
            // One that has been invalidated since is nobody's any more.
            let is_current = stale.tags.are_current();
            self.put_off(leader, key, stale);
            if policy.covers_error(until, Instant::now()) && is_current {
                leading.count(self, key, Inner::count_stale);
                leader.publish(Outcome::Fallback(Arc::clone(&value), until));
                return Ok(value);
            }
        }
        leading.count(self, key, Inner::count_miss);
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
                is_invalidated,
            };
            self.store(leader, key, policy, value, loading).await;
        }
        outcome.into_result()
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
    pub(crate) async fn run<T, E, F, Fut>(
        &self,
        key: &str,
        limits: Limits,
        is_invalidated: bool,
        load: F,
    ) -> Result<Outcome<T, E>, LoadError<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (counts, begun) = (self.counts(key), Instant::now());
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
        let load_time = begun.elapsed().as_secs_f64();
        self.metrics.load_duration.observe(load_time);
        counts.load_time.inc_by(load_time);
        match ended {
            Ok(Ok(Ok(value))) => {
                counts.loaded.inc();
                Ok(Outcome::Loaded(Arc::new(value)))
            }
            Ok(Ok(Err(error))) => {
                counts.load_failed.inc();
                Ok(Outcome::Failed(Arc::new(error)))
            }
            Ok(Err(panic)) => {
                counts.load_panicked.inc();
                Ok(Outcome::Panicked(message(panic.as_ref())))
            }
            Err(_) => {
                counts.load_timed_out.inc();
                Err(limits.timed_out())
            }
        }
    }
}

impl<T, E> Leader<Outcome<T, E>> {
    /// Tells those who wait what is there meanwhile, if its time is up.
    pub(crate) fn begin(&self, stale: Option<&Copied<T>>) {
        let now = Instant::now();
        if let Some(stale) = stale.filter(|it| it.span.fresh_until <= now) {
            let until = stale.span.fresh_until;
            self.publish(Outcome::Begun(Arc::clone(&stale.value), until));
        }
    }
}

impl Limits {
    /// When half of the time is over that there is to wait.
    pub(crate) fn half(self) -> Instant {
        self.asked + self.wait.saturating_duration_since(self.asked) / 2
    }

    pub(crate) fn timed_out<E>(self) -> LoadError<E> {
        LoadError::TimedOut {
            after: self.asked.elapsed(),
        }
    }
}

impl<T, E> Outcome<T, E> {
    pub(crate) fn into_result(self) -> Result<Arc<T>, LoadError<E>> {
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
