//! When a connection may be opened after one could not.
//!
//! After a failure the server is left alone for a moment that doubles up to a limit, less a random
//! part, and then asked by one attempt. What is known of the server meanwhile is the error: whoever
//! has no other connection to wait for is told that at once. Where nobody has asked for a connection
//! in that moment, nothing is attempted, and the next caller finds the breaker closed.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause: so soon after the server is back its callers are served again.
const LONGEST: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(crate) struct Breaker<E> {
    /// In a row; zero is a closed breaker.
    failures: u32,
    error: Option<E>,
    /// When the pause ends, while it goes on.
    paused_until: Option<Instant>,
    /// Whether somebody was refused since the last attempt began.
    demanded: bool,
}

impl<E: Clone> Breaker<E> {
    /// What is wrong with the server.
    pub(crate) fn error(&self) -> Option<E> {
        self.error.clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.failures > 0
    }

    /// Notes that a caller would have had a connection.
    pub(crate) fn demand(&mut self) {
        self.demanded = true;
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    /// Says when [`resume`](Breaker::resume) is to be called, unless it is going to be already. `random` is below 1.
    pub(crate) fn failed(&mut self, error: E, now: Instant, random: f64) -> Option<Instant> {
        self.error = Some(error);
        if self.paused_until.is_some() {
            return None;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = Some(now + pause.mul_f64(1.0 - random / 2.0));
        self.paused_until
    }

    /// Whether somebody would have had a connection since the last attempt began.
    pub(crate) fn is_demanded(&self) -> bool {
        self.demanded
    }

    /// Ends the pause, if it is over: with an attempt, or by closing the breaker. Says which.
    pub(crate) fn resume(&mut self, now: Instant, attempt: bool) -> bool {
        // Another connection may have been opened in the meantime, and the next pause begun.
        if self.paused_until.is_none_or(|until| now < until) {
            return false;
        }
        self.paused_until = None;
        self.demanded = false;
        if !attempt {
            self.succeeded();
        }
        attempt
    }
}

impl<E> Default for Breaker<E> {
    fn default() -> Breaker<E> {
        Breaker {
            failures: 0,
            error: None,
            paused_until: None,
            demanded: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_less_a_random_part() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        for (random, pause_ms) in [(0.0, 50), (0.0, 100), (0.0, 150), (0.5, 112), (0.0, 150)] {
            let until = breaker.failed("refused", now, random).unwrap();
            assert_eq!((until - now).as_millis(), pause_ms);
            assert!(breaker.failed("refused", now, random).is_none());
            assert!(!breaker.resume(now, true));
            assert!(breaker.resume(until, true));
        }
    }

    #[test]
    fn it_stays_open_while_somebody_asks() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        let until = breaker.failed("refused", now, 0.0).unwrap();
        assert!(breaker.is_open());
        breaker.demand();
        assert!(breaker.resume(until, breaker.is_demanded()));
        assert!(breaker.is_open());
        assert_eq!(breaker.error(), Some("refused"));

        let until = breaker.failed("refused", now, 0.0).unwrap();
        assert!(!breaker.resume(until, breaker.is_demanded()));
        assert!(!breaker.is_open());
        assert_eq!(breaker.error(), None);
    }
}
