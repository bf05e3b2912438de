//! The metrics that `#[measure_performance]` records into where it is told of no others.

use std::sync::OnceLock;

use crate::Metrics;

static AMBIENT: OnceLock<Metrics> = OnceLock::new();

/// There are ambient metrics already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the process has its ambient metrics already: install them once, in `main`, and pass \
     `metrics = ...` to the functions that need others"
)]
#[non_exhaustive]
pub struct AlreadyInstalled;

/// Makes these the process's ambient metrics, for good. For programs: a library takes a [`Metrics`].
///
/// # Errors
///
/// When there are some already.
pub fn install(metrics: Metrics) -> Result<(), AlreadyInstalled> {
    AMBIENT.set(metrics).map_err(|_| AlreadyInstalled)
}

/// The process's ambient metrics, once they are installed.
pub fn installed() -> Option<&'static Metrics> {
    AMBIENT.get()
}
