//! Attempts with growing pauses between them.

use std::time::Duration;

use ruleiq_scope::Scope;
use tokio::time;

/// Attempts at something that is known not to have happened yet, with growing pauses between them.
///
/// What may have happened must not be tried again, so each time the caller says whether it may:
/// `is_transient` of a [`CheckoutError`](crate::CheckoutError) tells that a server could not be
/// reached, that of a statement's [`Error`](ruleiq_query::Error) that the server has undone the whole
/// transaction. A pause is a random part of a limit that doubles each time, so that those who
/// failed together do not come back together.
///
/// ```
/// # use ruleiq_pools::{CheckoutError, PoolManager, Retries, Session};
/// async fn patient(pools: &PoolManager) -> Result<Session, CheckoutError> {
///     let mut retries = Retries::default();
///     loop {
///         match pools.session().await {
///             Err(error) if error.is_transient() && retries.wait().await => {}
///             result => return result,
///         }
///     }
/// }
/// ```
///
/// A transaction that others have undone is repeated from its beginning:
///
/// ```
/// # use ruleiq_pools::{Retries, Session};
/// # use ruleiq_query::{Error, Queries as _};
/// async fn transfer(session: &mut Session) -> Result<(), Error> {
///     let transaction = session.transaction().await?;
///     let serializable = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";
///     transaction.batch_execute(serializable).await?;
///     // …
///     transaction.commit().await.map(drop)
/// }
///
/// async fn transfer_in_the_end(session: &mut Session) -> Result<(), Error> {
///     let mut retries = Retries::default();
///     loop {
///         match transfer(session).await {
///             Err(error) if error.is_transient() && retries.wait().await => {}
///             result => return result,
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Retries {
    left: u32,
    pause: Duration,
    longest: Duration,
}

impl Retries {
    /// So many further attempts, with pauses of up to `first`, then twice that, up to `longest`.
    pub fn new(attempts: u32, first: Duration, longest: Duration) -> Retries {
        Retries {
            left: attempts,
            pause: first.min(longest),
            longest,
        }
    }

    /// Waits for the next attempt. Answers `false` at once where there is none: they are used up, or
    /// the deadline of the scope would pass in the meantime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future uses the attempt up.
    pub async fn wait(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let pause = self.pause.mul_f64(fastrand::f64());
        self.pause = self.longest.min(self.pause.saturating_mul(2));
        let until = time::Instant::now() + pause;
        let deadline = Scope::current().and_then(|scope| scope.deadline());
        if deadline.is_some_and(|deadline| deadline <= until) {
            return false;
        }
        time::sleep_until(until).await;
        true
    }
}

impl Default for Retries {
    /// Five further attempts, with pauses of up to 50 ms, doubled each time: up to 1.6 s in all.
    fn default() -> Retries {
        Retries::new(5, Duration::from_millis(50), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_attempts_run_out() {
        let mut retries = Retries::new(3, Duration::from_secs(1), Duration::from_secs(2));
        let mut longest = [Duration::ZERO; 3];
        for _ in 0..200 {
            let mut retries = retries.clone();
            for longest in &mut longest {
                let before = Instant::now();
                assert!(retries.wait().await);
                *longest = before.elapsed().max(*longest);
            }
        }
        for (longest, most) in longest.into_iter().zip([1, 2, 2]) {
            let most = Duration::from_secs(most);
            // The clock of tokio's timers counts whole milliseconds.
            assert!(longest > most.mul_f64(0.8), "{longest:?} of {most:?}");
            assert!(longest <= most + Duration::from_millis(1), "{longest:?}");
        }
        for _ in 0..3 {
            assert!(retries.wait().await);
        }
        assert!(!retries.wait().await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_attempt_that_would_come_too_late() {
        let deadline = Instant::now();
        let scope = Scope::builder().deadline(deadline).build();
        let waits = scope.run(async { Retries::default().wait().await });
        assert!(!waits.await);
        assert_eq!(Instant::now(), deadline);
    }
}
