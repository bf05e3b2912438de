//! The cache that `#[cached]` uses where it is told of no other.

use std::sync::OnceLock;

use crate::CacheManager;

static AMBIENT: OnceLock<CacheManager> = OnceLock::new();

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
