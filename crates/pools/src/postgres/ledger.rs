//! How many connections and callers are in which state.
//!
//! Each connection, from the moment that it is being opened, and each caller that waits holds an
//! [`Entry`], which is in exactly one state until it is dropped. All counts change under one lock,
//! so that what is read is what was at one moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ResourceStats;

#[derive(Debug)]
pub(crate) struct Ledger {
    size: usize,
    max_overflow: usize,
    max_waiting: usize,
    counts: Mutex<[usize; STATES]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Waiting,
    Connecting,
    CheckedOut,
    CheckedIn,
    Closing,
}

const STATES: usize = 5;

/// One connection or caller, counted.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Arc<Ledger>,
    state: State,
}

impl Ledger {
    pub(crate) fn new(size: usize, max_overflow: usize, max_waiting: usize) -> Ledger {
        Ledger {
            size,
            max_overflow,
            max_waiting,
            counts: Mutex::default(),
        }
    }

    /// The most connections there may be.
    pub(crate) fn limit(&self) -> usize {
        self.size + self.max_overflow
    }

    pub(crate) fn stats(&self) -> ResourceStats {
        let counts = *self.counts();
        ResourceStats {
            size: self.size,
            max_overflow: self.max_overflow,
            checked_out: counts[State::CheckedOut as usize],
            checked_in: counts[State::CheckedIn as usize],
            overflow: 0,
            waiting: counts[State::Waiting as usize],
            connecting: counts[State::Connecting as usize],
            closing: counts[State::Closing as usize],
            utilization: 0.0,
        }
        .derive()
    }

    /// Counts a caller that waits, or says how many do where no more may.
    pub(crate) fn wait(self: &Arc<Self>) -> Result<Entry, usize> {
        let mut counts = self.counts();
        let waiting = &mut counts[State::Waiting as usize];
        if *waiting >= self.max_waiting {
            return Err(*waiting);
        }
        *waiting += 1;
        Ok(self.entry(State::Waiting))
    }

    /// Counts a connection that is being opened.
    pub(crate) fn connect(self: &Arc<Self>) -> Entry {
        self.counts()[State::Connecting as usize] += 1;
        self.entry(State::Connecting)
    }

    fn entry(self: &Arc<Self>, state: State) -> Entry {
        Entry {
            ledger: Arc::clone(self),
            state,
        }
    }

    /// Nothing panics while it is held, so a poisoned lock guards sound counts.
    fn counts(&self) -> MutexGuard<'_, [usize; STATES]> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(crate) fn set(&mut self, state: State) {
        let mut counts = self.ledger.counts();
        counts[self.state as usize] -= 1;
        counts[state as usize] += 1;
        self.state = state;
    }

    /// Counts the connection as checked in, or as closing where enough are: as many as stay open,
    /// and one for each caller that waits. Says whether it is to be kept.
    pub(crate) fn check_in(&mut self) -> bool {
        let mut counts = self.ledger.counts();
        let wanted = self.ledger.size + counts[State::Waiting as usize];
        let keep = counts[State::CheckedIn as usize] < wanted;
        let state = if keep {
            State::CheckedIn
        } else {
            State::Closing
        };
        counts[self.state as usize] -= 1;
        counts[state as usize] += 1;
        self.state = state;
        keep
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ledger.counts()[self.state as usize] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_in_one_state_until_it_is_dropped() {
        let ledger = Arc::new(Ledger::new(1, 1, 10));
        let mut first = ledger.connect();
        let mut second = ledger.connect();
        first.set(State::CheckedOut);
        second.set(State::CheckedOut);
        let stats = ledger.stats();
        assert_eq!(
            (stats.checked_out, stats.connecting, stats.overflow),
            (2, 0, 1)
        );
        assert!((stats.utilization - 1.0).abs() < f64::EPSILON);

        assert!(first.check_in());
        assert!(!second.check_in());
        let stats = ledger.stats();
        assert_eq!(
            (stats.checked_in, stats.closing, stats.connections()),
            (1, 1, 2)
        );

        drop((first, second));
        assert_eq!(ledger.stats().connections(), 0);
    }

    #[test]
    fn overflow_is_kept_for_those_who_wait() {
        let ledger = Arc::new(Ledger::new(1, 1, 10));
        let mut entries = [ledger.connect(), ledger.connect(), ledger.connect()];
        let _waiting = ledger.wait().unwrap();
        assert!(entries[0].check_in());
        assert!(entries[1].check_in());
        assert!(!entries[2].check_in());
    }

    #[test]
    fn no_more_callers_wait_than_may() {
        let ledger = Arc::new(Ledger::new(1, 0, 1));
        let first = ledger.wait().unwrap();
        assert_eq!(ledger.wait().unwrap_err(), 1);
        drop(first);
        assert!(ledger.wait().is_ok());
    }
}
