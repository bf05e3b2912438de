//! What no statement takes less than: the way to the server and back.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How long the shortest time counts: the way may become longer.
const WINDOW: Duration = Duration::from_secs(30);

/// The shortest time of this window and the one before.
#[derive(Debug)]
pub(super) struct Floor {
    now_us: AtomicU64,
    before_us: AtomicU64,
    turned: Mutex<Instant>,
}

impl Floor {
    pub(super) fn new() -> Floor {
        Floor {
            now_us: AtomicU64::new(u64::MAX),
            before_us: AtomicU64::new(u64::MAX),
            turned: Mutex::new(Instant::now()),
        }
    }

    /// What of a time is above it.
    pub(super) fn above(&self, took: Duration) -> Duration {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let now = self.now_us.load(Relaxed);
        if us < now {
            self.now_us.fetch_min(us, Relaxed);
        }
        let floor = us.min(now).min(self.before_us.load(Relaxed));
        took.saturating_sub(Duration::from_micros(floor))
    }

    /// Begins a new window, if it is time.
    pub(super) fn turn(&self, now: Instant) {
        let mut turned = self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= *turned + WINDOW {
            *turned = now;
            let shortest = self.now_us.swap(u64::MAX, Relaxed);
            self.before_us.store(shortest, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_way_does_not_count() {
        let floor = Floor::new();
        assert_eq!(floor.above(20 * MS), Duration::ZERO);
        assert_eq!(floor.above(25 * MS), 5 * MS);
        assert_eq!(floor.above(19 * MS), Duration::ZERO);
        assert_eq!(floor.above(25 * MS), 6 * MS);
    }

    #[test]
    fn a_way_that_has_become_longer_does_not_count_either() {
        let floor = Floor::new();
        let start = Instant::now();
        floor.above(MS);
        for window in 1..=2 {
            floor.turn(start + (WINDOW + MS) * window);
            floor.above(40 * MS);
        }
        assert_eq!(floor.above(45 * MS), 5 * MS);
    }
}
