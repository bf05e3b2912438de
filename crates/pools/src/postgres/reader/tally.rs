//! What has become of reads, counted by thread, so that threads do not wait for each other to count.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{Way, queue::Served};

/// Counts of reads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ways: [AtomicU64; Way::ALL.len()],
    /// Connections on which the server had stopped to answer.
    pub(super) stalled: AtomicU64,
    /// Of those whose answers were seen in order.
    served: AtomicU64,
    blocked_us: AtomicU64,
}

impl Tally {
    pub(super) fn took(&self, way: Way) {
        self.ways[way as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn served(&self, served: Served) {
        self.served.fetch_add(1, Relaxed);
        let blocked = u64::try_from(served.blocked.as_micros()).unwrap_or(u64::MAX);
        if blocked > 0 {
            self.blocked_us.fetch_add(blocked, Relaxed);
        }
    }

    pub(super) fn add_to(&self, sum: &Tally) {
        let add = |to: &AtomicU64, from: &AtomicU64| to.fetch_add(from.load(Relaxed), Relaxed);
        for (to, from) in sum.ways.iter().zip(&self.ways) {
            add(to, from);
        }
        for (to, from) in [
            (&sum.stalled, &self.stalled),
            (&sum.served, &self.served),
            (&sum.blocked_us, &self.blocked_us),
        ] {
            add(to, from);
        }
    }

    pub(super) fn of(&self, way: Way) -> u64 {
        self.ways[way as usize].load(Relaxed)
    }

    pub(super) fn count_served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    /// How long those waited for the answers to others.
    pub(super) fn blocked(&self) -> Duration {
        Duration::from_micros(self.blocked_us.load(Relaxed))
    }
}
