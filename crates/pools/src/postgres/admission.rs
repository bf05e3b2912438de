//! Who may have a connection, and when: the queue in front of the pool.
//!
//! A place is the right to hold one connection. There are as many places as there may be
//! connections, they go to callers in the order of asking, and whoever has one never waits for
//! another caller. A connection that is on its way out keeps its place until its socket is closed.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::{self, Instant},
};

use super::ledger::Ledger;

#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    ledger: Arc<Ledger>,
}

/// The right to hold a connection, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "it is held, not used")] OwnedSemaphorePermit);

/// Why there is no place.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    Closed,
    TimedOut,
    TooManyWaiting(usize),
}

impl Admission {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Admission {
        Admission {
            places: Arc::new(Semaphore::new(ledger.limit())),
            ledger,
        }
    }

    /// Waits for a place until the given time. The future may be dropped at any point.
    pub(crate) async fn enter(&self, until: Instant) -> Result<Place, Refusal> {
        // This never overtakes: a place that comes free while callers wait goes to the first.
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => return Ok(Place(permit)),
            Err(TryAcquireError::Closed) => return Err(Refusal::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _waiting = self.ledger.wait().map_err(Refusal::TooManyWaiting)?;
        match time::timeout_at(until, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place(permit)),
            Ok(Err(_)) => Err(Refusal::Closed),
            Err(_) => Err(Refusal::TimedOut),
        }
    }

    pub(crate) fn close(&self) {
        self.places.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    fn admission(size: usize, max_waiting: usize) -> (Admission, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::new(size, 0, max_waiting));
        (Admission::new(Arc::clone(&ledger)), ledger)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn places_go_to_callers_in_the_order_of_asking() {
        let (admission, ledger) = admission(1, 10);
        let place = admission.enter(soon()).await.unwrap();
        let mut first = Box::pin(admission.enter(soon()));
        let mut second = Box::pin(admission.enter(soon()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(ledger.stats().waiting, 2);

        drop(place);
        assert!(second.as_mut().now_or_never().is_none());
        let place = first.await.unwrap();
        assert_eq!(ledger.stats().waiting, 1);
        drop(place);
        second.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_caller_leaves_no_trace() {
        let (admission, ledger) = admission(1, 10);
        let place = admission.enter(soon()).await.unwrap();
        let mut caller = Box::pin(admission.enter(soon()));
        assert!(caller.as_mut().now_or_never().is_none());
        drop(place);
        // The place is the caller's by now, who goes away without having looked.
        drop(caller);
        assert_eq!(ledger.stats().waiting, 0);
        admission.enter(soon()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_in_time_and_number() {
        let (admission, _) = admission(1, 1);
        let _place = admission.enter(soon()).await.unwrap();
        let mut first = Box::pin(admission.enter(soon()));
        assert!(first.as_mut().now_or_never().is_none());
        assert_eq!(
            admission.enter(soon()).await.unwrap_err(),
            Refusal::TooManyWaiting(1)
        );
        assert_eq!(first.await.unwrap_err(), Refusal::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_refuses_those_who_wait_and_those_who_come() {
        let (admission, _) = admission(1, 1);
        let _place = admission.enter(soon()).await.unwrap();
        let mut caller = Box::pin(admission.enter(soon()));
        assert!(caller.as_mut().now_or_never().is_none());
        admission.close();
        assert_eq!(caller.await.unwrap_err(), Refusal::Closed);
        assert_eq!(admission.enter(soon()).await.unwrap_err(), Refusal::Closed);
    }
}
