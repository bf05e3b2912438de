//! Leaves Redis alone for a moment when it does not answer, so that an outage costs one time-out now
//! and then, not one per request.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::Instant;

/// So many failures in a row open it.
const FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Whether anything has failed since the last success; if not, nothing is to be done, and no lock is taken.
    is_in_trouble: AtomicBool,
    state: Mutex<State>,
}

/// The right to ask Redis once. Dropped without an answer, it has found out nothing.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    probing: bool,
}

impl Breaker {
    /// `None` while Redis is left alone. After the pause one caller at a time may try.
    pub(crate) fn permit(&self) -> Option<Permit<'_>> {
        if !self.is_in_trouble.load(SeqCst) {
            return Some(self.permit_anyway());
        }
        let mut state = self.state();
        let is_probe = match &mut state.open {
            None => false,
            Some(open) if open.probing || Instant::now() < open.until => return None,
            Some(open) => {
                open.probing = true;
                true
            }
        };
        Some(Permit {
            breaker: self,
            is_probe,
        })
    }

    /// The right to ask in any case, for work that has its own pauses.
    pub(crate) fn permit_anyway(&self) -> Permit<'_> {
        Permit {
            breaker: self,
            is_probe: false,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().open.is_none()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Redis answered.
    pub(crate) fn succeeded(self) {
        if !self.breaker.is_in_trouble.load(SeqCst) {
            return;
        }
        let mut state = self.breaker.state();
        if state.open.take().is_some() {
            tracing::info!("redis answers again");
        }
        state.failures = 0;
        self.breaker.is_in_trouble.store(false, SeqCst);
    }

    /// Redis did not answer.
    pub(crate) fn failed(mut self) {
        let mut state = self.breaker.state();
        self.breaker.is_in_trouble.store(true, SeqCst);
        state.failures = state.failures.saturating_add(1);
        let pause = match &state.open {
            Some(open) if self.is_probe => (open.pause * 2).min(LONGEST_PAUSE),
            None if state.failures >= FAILURES => FIRST_PAUSE,
            // Too few; or a call that was under way when it opened, which tells nothing new.
            None | Some(_) => return,
        };
        if state.open.is_none() {
            tracing::warn!(
                failures = state.failures,
                "redis does not answer: doing without"
            );
        }
        state.open = Some(Open {
            until: Instant::now() + jittered(pause),
            pause,
            probing: false,
        });
        drop(state);
        self.is_probe = false;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe
            && let Some(open) = &mut self.breaker.state().open
        {
            open.probing = false;
        }
    }
}

/// Between three and five quarters of the pause, so that instances do not come back all at once.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // The keys of a `RandomState` are random, and differ from one to the next.
    let share = RandomState::new().hash_one(()) % 513;
    pause * 3 / 4 + pause * u32::try_from(share).unwrap_or(0) / 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.permit().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_lets_one_at_a_time_try() {
        let breaker = Breaker::default();
        fail(&breaker, 2);
        breaker.permit().unwrap().succeeded();
        fail(&breaker, 3);
        assert!(breaker.permit().is_none());

        tokio::time::advance(FIRST_PAUSE * 5 / 4).await;
        let probe = breaker.permit().unwrap();
        assert!(breaker.permit().is_none(), "one at a time");
        drop(probe);
        breaker.permit().expect("the probe was given up").failed();
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.permit().is_none(), "the pause is longer");
        tokio::time::advance(FIRST_PAUSE * 3 / 2).await;
        breaker.permit().unwrap().succeeded();
        assert!(breaker.is_closed());
        fail(&breaker, 2);
        assert!(breaker.is_closed(), "it counts from zero again");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_calls_under_way_do_not_make_the_pause_longer() {
        let breaker = Breaker::default();
        let under_way: Vec<_> = (0..10).map(|_| breaker.permit().unwrap()).collect();
        under_way.into_iter().for_each(Permit::failed);
        tokio::time::advance(FIRST_PAUSE * 5 / 4).await;
        assert!(breaker.permit().is_some());
    }

    #[test]
    fn jitter_stays_in_its_bounds() {
        let pause = Duration::from_millis(400);
        for _ in 0..1_000 {
            let jittered = jittered(pause);
            assert!(
                (pause * 3 / 4..=pause * 5 / 4).contains(&jittered),
                "{jittered:?}"
            );
        }
    }
}
