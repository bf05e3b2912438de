//! Waiting for a condition instead of for a time.

use std::{future::Future, panic::Location, time::Duration};

use tokio::time::{self, Instant};

const POLL: Duration = Duration::from_millis(10);

/// Waits until the condition holds.
///
/// An attempt that itself takes longer than what is left is given up.
///
/// # Panics
///
/// When the condition does not hold within the limit; the message names the caller's line.
///
/// # Cancel safety
///
/// That of the condition.
#[track_caller]
pub fn eventually<F, C>(limit: Duration, mut condition: C) -> impl Future<Output = ()>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        let holds = async {
            while !condition().await {
                time::sleep(POLL).await;
            }
        };
        if time::timeout_at(deadline, holds).await.is_err() {
            panic!(
                "the condition at {caller} did not hold within {} ms",
                limit.as_millis()
            );
        }
    }
}
