//! Loading what will be asked for, before it is.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::stream::{self, StreamExt as _};
use serde::{Serialize, de::DeserializeOwned};

use crate::{CacheManager, LoadError, Policy};

const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(8).expect("it is not zero");

/// Options of a warming: see [`CacheManager::warming`].
#[must_use]
pub struct Warming<'a> {
    cache: &'a CacheManager,
    policy: Policy,
    concurrency: NonZeroUsize,
    progress: Option<Box<dyn FnMut(Warmed) + Send + 'a>>,
}

/// How far a warming has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warmed {
    /// Keys that had a value.
    pub present: u64,
    /// Keys whose value was loaded.
    pub loaded: u64,
    /// Keys whose load failed, which are left without a value.
    pub failed: u64,
}

impl Warmed {
    /// Keys that are done.
    pub fn done(&self) -> u64 {
        self.present + self.loaded + self.failed
    }
}

impl CacheManager {
    /// Loads values before they are asked for, so many at once and no more; what is there is left as it is.
    ///
    /// ```
    /// # use std::{num::NonZeroUsize, time::Duration};
    /// # use ruleiq_cache::CacheManager;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cache = CacheManager::builder().build()?;
    /// let keys = (1..=100).map(|n| format!("framework:{n}"));
    /// let warmed = cache
    ///     .warming(Duration::from_secs(7_200))
    ///     .concurrency(NonZeroUsize::new(4).unwrap())
    ///     .progress(|warmed| tracing::debug!(done = warmed.done(), "warming"))
    ///     .run(keys, |key: String| async move { Ok::<_, std::io::Error>(key.len()) })
    ///     .await;
    /// assert_eq!((warmed.loaded, warmed.failed), (100, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn warming(&self, policy: impl Into<Policy>) -> Warming<'_> {
        Warming {
            cache: self,
            policy: policy.into(),
            concurrency: CONCURRENCY,
            progress: None,
        }
    }
}

impl<'a> Warming<'a> {
    /// The most loads at once. Default: 8.
    pub fn concurrency(mut self, loads: NonZeroUsize) -> Warming<'a> {
        self.concurrency = loads;
        self
    }

    /// What to call after each key.
    pub fn progress(mut self, progress: impl FnMut(Warmed) + Send + 'a) -> Warming<'a> {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Loads the values of keys. Answers when all are done; the first failure is logged.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops its loads; what has been loaded stays.
    pub async fn run<K, T, E, F, Fut>(
        mut self,
        keys: impl IntoIterator<Item = K>,
        load: F,
    ) -> Warmed
    where
        K: AsRef<str> + Clone,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: fmt::Display + Send + Sync + 'static,
        F: Fn(K) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (cache, policy, load) = (self.cache, &self.policy, &load);
        let loads = keys.into_iter().map(|key| async move {
            let has_run = AtomicBool::new(false);
            let loading = || {
                has_run.store(true, Relaxed);
                load(key.clone())
            };
            let loaded = cache.get_or_load(key.as_ref(), policy, loading).await;
            let failure = loaded.err().map(|error| (key, error));
            (failure, has_run.into_inner())
        });
        let mut loads =
            std::pin::pin!(stream::iter(loads).buffer_unordered(self.concurrency.get()));
        let mut warmed = Warmed::default();
        while let Some((failure, has_run)) = loads.next().await {
            match (failure, has_run) {
                (None, true) => warmed.loaded += 1,
                (None, false) => warmed.present += 1,
                (Some((key, error)), _) => {
                    if warmed.failed == 0 {
                        say(key.as_ref(), &error);
                    }
                    warmed.failed += 1;
                }
            }
            if let Some(progress) = &mut self.progress {
                progress(warmed);
            }
        }
        warmed
    }
}

fn say<E: fmt::Display>(key: &str, error: &LoadError<E>) {
    match error {
        LoadError::Failed(error) => {
            tracing::warn!(key, %error, "a value could not be loaded before it is asked for");
        }
        LoadError::TimedOut { after } => {
            tracing::warn!(
                key,
                ?after,
                "a value took too long to load before it is asked for"
            );
        }
        LoadError::Panicked { message } => {
            tracing::warn!(key, %message, "a load panicked before its value is asked for");
        }
    }
}

impl fmt::Debug for Warming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warming")
            .field("policy", &self.policy)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
