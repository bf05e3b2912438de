//! A histogram of durations that many threads write at once.
//!
//! It has eight shards, and a thread writes to one of them. A shard takes its memory when it is
//! first written to; from then on, recording is two atomic additions to memory that other threads
//! seldom touch, without a lock and without an allocation.

use std::{
    sync::{
        OnceLock,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use crate::buckets::{BOUNDS_NS, BUCKETS, bucket_of, middle_ns};

/// More threads than this share shards, which costs time and loses nothing.
const SHARDS: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Histogram {
    shards: [OnceLock<Box<Shard>>; SHARDS],
}

/// What a histogram held at one moment.
///
/// The sum and the extremes cover all that is counted, and perhaps what was recorded while it was
/// being read.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Empty where nothing was recorded.
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

// Two cache lines, which the prefetchers of today's processors fetch together.
#[repr(align(128))]
#[derive(Debug)]
struct Shard {
    sum_ns: AtomicU64,
    min_ns: AtomicU64,
    max_ns: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Histogram {
    pub(crate) fn record(&self, elapsed: Duration) {
        self.shards[shard_of_thread()]
            .get_or_init(Shard::boxed)
            .record(nanoseconds(elapsed));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for shard in self.written() {
            snapshot.add(shard);
        }
        snapshot
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written().next().is_none()
    }

    fn written(&self) -> impl Iterator<Item = &Shard> {
        self.shards
            .iter()
            .filter_map(|shard| shard.get().map(Box::as_ref))
    }
}

impl Shard {
    fn boxed() -> Box<Shard> {
        Box::new(Shard {
            sum_ns: AtomicU64::new(0),
            min_ns: AtomicU64::new(u64::MAX),
            max_ns: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        })
    }

    fn record(&self, ns: u64) {
        // Extremes are rare after the first few: a look is cheaper than an exchange.
        if ns < self.min_ns.load(Relaxed) {
            self.min_ns.fetch_min(ns, Relaxed);
        }
        if ns > self.max_ns.load(Relaxed) {
            self.max_ns.fetch_max(ns, Relaxed);
        }
        self.sum_ns.fetch_add(ns, Relaxed);
        // Last, so that whoever sees the count sees the rest.
        self.buckets[bucket_of(ns)].fetch_add(1, Release);
    }
}

impl Snapshot {
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    pub(crate) fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.checked_div(self.count).unwrap_or(0))
    }

    /// Zero where nothing was recorded.
    pub(crate) fn min(&self) -> Duration {
        Duration::from_nanos(self.min_ns.min(self.max_ns))
    }

    /// Zero where nothing was recorded.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The duration that so many thousandths of all were not longer than, within 1/128; zero where
    /// nothing was recorded.
    pub(crate) fn quantile(&self, thousandths: u64) -> Duration {
        // The nearest rank: the smallest recorded value with enough others at or below it.
        let rank = (self.count * thousandths).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let ns = bucket.map_or(0, |bucket| match bucket + 1 {
            // It has no upper limit but what was seen.
            BUCKETS => self.max_ns,
            _ => middle_ns(bucket).min(self.max_ns).max(self.min_ns),
        });
        Duration::from_nanos(ns)
    }

    /// How many were not longer than each of [`BOUNDS_NS`].
    pub(crate) fn cumulative(&self) -> [u64; BOUNDS_NS.len()] {
        BOUNDS_NS.map(|bound| self.up_to(bound))
    }

    /// How many were longer: exact for the limits of the exported histogram; else without those
    /// that share the threshold's bucket, which are at most 1/64 longer.
    pub(crate) fn longer_than(&self, threshold: Duration) -> u64 {
        self.count - self.up_to(nanoseconds(threshold))
    }

    /// Adds what another histogram held.
    pub(crate) fn merge(&mut self, other: &Snapshot) {
        self.add_counts(other.buckets.iter().copied());
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    fn add(&mut self, shard: &Shard) {
        self.add_counts(shard.buckets.iter().map(|count| count.load(Acquire)));
        self.sum_ns = self.sum_ns.saturating_add(shard.sum_ns.load(Relaxed));
        self.min_ns = self.min_ns.min(shard.min_ns.load(Relaxed));
        self.max_ns = self.max_ns.max(shard.max_ns.load(Relaxed));
    }

    fn add_counts(&mut self, counts: impl ExactSizeIterator<Item = u64>) {
        if counts.len() > self.buckets.len() {
            self.buckets.resize(counts.len(), 0);
        }
        for (bucket, count) in self.buckets.iter_mut().zip(counts) {
            *bucket += count;
            self.count += count;
        }
    }

    fn up_to(&self, ns: u64) -> u64 {
        self.buckets.iter().take(bucket_of(ns) + 1).sum()
    }
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot {
            buckets: Vec::new(),
            count: 0,
            sum_ns: 0,
            min_ns: u64::MAX,
            max_ns: 0,
        }
    }
}

fn nanoseconds(elapsed: Duration) -> u64 {
    // 584 years fit.
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// The shard that the current thread writes to: threads take turns as they first record.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
    }
    // It has no destructor, so it can be read as long as the thread runs.
    SHARD.with(|shard| *shard)
}
