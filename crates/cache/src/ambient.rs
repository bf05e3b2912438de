//! The cache that `#[cached]` uses where it is told of no other.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::CacheManager;

static AMBIENT: OnceLock<CacheManager> = OnceLock::new();
pub(crate) static PLAIN_RUNS: AtomicU64 = AtomicU64::new(0);

/// There is an ambient cache already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the process has its ambient cache already: install it once, in `main`, and pass `cache = ...` \
     to the functions that need another"
)]
#[non_exhaustive]
pub struct AlreadyInstalled;

/// Makes this the process's ambient cache, for good. For programs: a library takes a
/// [`CacheManager`].
///
/// # Errors
///
/// When there is one already.
pub fn install(cache: CacheManager) -> Result<(), AlreadyInstalled> {
    AMBIENT.set(cache).map_err(|_| AlreadyInstalled)
}

/// The process's ambient cache, once it is installed.
pub fn installed() -> Option<&'static CacheManager> {
    AMBIENT.get()
}

/// How often functions with [`cached`](crate::cached) have run in this process while there was no cache for
/// them.
pub fn runs_without_cache() -> u64 {
    PLAIN_RUNS.load(Relaxed)
}
