//! Loads that outlive whoever asked for them.

use std::{fmt, sync::Arc};

use ruleiq_scope::Scope;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use crate::{
    CacheManager, LoadError, Policy,
    fence::{Leader, Role},
    load::{Leading, Limits, Outcome},
    manager::Inner,
};

/// Values that are loaded anew in the background at once.
pub(crate) const REFRESHES: usize = 64;
/// Loads in tasks of their own at once; more wait, as long as their callers do.
pub(crate) const LOADS: usize = 256;

/// A cache whose loads run in tasks of their own: see [`CacheManager::detached`].
pub struct Detached<'a> {
    cache: &'a CacheManager,
}

impl CacheManager {
    /// The cache for loads that borrow nothing. They go on when their caller is dropped or runs out of
    /// time, each in a scope of its own, and so values can be loaded anew in the background: see
    /// [`Policy::stale_while_revalidate`] and [`Policy::early_refresh`].
    #[must_use]
    pub fn detached(&self) -> Detached<'_> {
        Detached { cache: self }
    }
}

impl Detached<'_> {
    /// [`CacheManager::get_or_load`], with a load that runs in a task of its own.
    ///
    /// # Errors
    ///
    /// Those of [`CacheManager::get_or_load`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the load running, within
    /// [`load_timeout`](crate::Builder::load_timeout), and its value is kept.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn get_or_load<T, E, F, Fut>(
        &self,
        key: &str,
        policy: impl Into<Policy>,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (inner, policy) = (&self.cache.inner, policy.into());
        let now = Instant::now();
        if let Some(copied) = inner.l1.look::<T>(key, now) {
            let span = copied.span;
            let (is_fresh, is_put_off) = (span.is_fresh(now), span.is_put_off(now));
            let is_given = is_fresh
                || policy.covers_revalidation(span.fresh_until, now)
                || is_put_off && policy.covers_error(span.fresh_until, now);
            let is_due = !is_fresh || policy.is_early(span.load_time, span.fresh_until, now);
            if is_given {
                match is_fresh {
                    true => inner.count_l1_hit(copied.prefix),
                    false => inner.count_stale(copied.prefix),
                }
                if is_due && !is_put_off {
                    inner.refresh(key, policy, span.mark, load);
                }
                return Ok(copied.value);
            }
        }
        // On the heap, so that a hit does not carry the load around.
        Box::pin(inner.load_detached(key.into(), policy, load)).await
    }
}

impl Inner {
    async fn load_detached<T, E, F, Fut>(
        self: &Arc<Inner>,
        key: Arc<str>,
        policy: Policy,
        load: F,
    ) -> Result<Arc<T>, LoadError<E>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let limits = self.limits();
        let mut load = Some(load);
        loop {
            let waiting = match self.join::<T, E>(&key, &policy) {
                Role::Lead(leader) => {
                    // The second time: ours has ended without an outcome, as it took too long.
                    let load = load.take().ok_or_else(|| limits.timed_out())?;
                    let permits = Arc::clone(&self.detached_loads);
                    let permit = timeout_at(limits.wait, permits.acquire_owned()).await;
                    let permit = permit.map_err(|_| limits.timed_out())?;
                    let (inner, key, policy) = (Arc::clone(self), Arc::clone(&key), policy.clone());
                    let waiting = leader.wait();
                    tokio::spawn(async move {
                        inner.lead_detached(leader, key, policy, None, load).await;
                        drop(permit);
                    });
                    waiting
                }
                Role::Follow(waiting) => waiting,
            };
            if let Some(ended) = self.follow(&key, waiting, &policy, limits).await {
                return ended;
            }
        }
    }

    /// Loads a value anew in the background, unless somebody does or too many are loaded.
    fn refresh<T, E, F, Fut>(self: &Arc<Inner>, key: &str, policy: Policy, mark: [u8; 8], load: F)
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.refreshes).try_acquire_owned() else {
            self.metrics.refreshes_skipped.inc();
            return;
        };
        let key: Arc<str> = key.into();
        if let Role::Lead(leader) = self.join::<T, E>(&key, &policy) {
            let leading = Arc::clone(self).lead_detached(leader, key, policy, Some(mark), load);
            tokio::spawn(async move {
                leading.await;
                drop(permit);
            });
        }
    }

    /// Leads a load in a scope of its own.
    async fn lead_detached<T, E, F, Fut>(
        self: Arc<Inner>,
        leader: Leader<Outcome<T, E>>,
        key: Arc<str>,
        policy: Policy,
        unwanted: Option<[u8; 8]>,
        load: F,
    ) where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let asked = Instant::now();
        let end = asked + self.load_timeout;
        let leading = Leading {
            policy,
            limits: Limits {
                asked,
                wait: end,
                load: Some(end),
            },
            is_detached: true,
            unwanted,
        };
        let scope = Scope::builder().route("cache load").deadline(end).build();
        // Whoever waits is told by the leader.
        drop(scope.run(self.lead(&leader, &key, leading, load)).await);
    }
}

impl fmt::Debug for Detached<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Detached").field(self.cache).finish()
    }
}
