//! How a pool is used: what callers wait for their connections, and how long they keep them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;

use crate::stats::seconds;

/// Up to 2^40 µs, twelve days, in four parts for each power of two.
const BUCKETS: usize = 4 * 40;

/// Times by their length. What is read of it is at most a quarter too long.
#[derive(Debug)]
struct Times {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// What has happened since the pool was built.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    waits: Times,
    holds: Times,
    refused: AtomicU64,
}

/// The same, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    waits: Distribution,
    holds: Distribution,
    refused: u64,
    /// How long those have been out together that are out now.
    out: Duration,
}

#[derive(Clone, Debug)]
struct Distribution {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

/// How a pool was used for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PoolUsage {
    /// How long that was.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub time: Duration,
    /// Checkouts that ended then: with a connection, or for want of one.
    pub checkouts: u64,
    /// Those for want of one: their time ran out, their callers went, or too many waited.
    pub refused: u64,
    /// Connections that came back per second: checkouts, not statements.
    pub throughput: f64,
    /// The mean wait of those that had a connection.
    #[serde(rename = "wait_mean_seconds", serialize_with = "seconds")]
    pub wait_mean: Duration,
    /// The 95th percentile of the wait, at most a quarter too long.
    #[serde(rename = "wait_p95_seconds", serialize_with = "seconds")]
    pub wait_p95: Duration,
    /// The 99th percentile of the wait, at most a quarter too long.
    #[serde(rename = "wait_p99_seconds", serialize_with = "seconds")]
    pub wait_p99: Duration,
    /// The mean time that a connection was kept.
    #[serde(rename = "hold_mean_seconds", serialize_with = "seconds")]
    pub hold_mean: Duration,
    /// The 95th percentile of that time, at most a quarter too long.
    #[serde(rename = "hold_p95_seconds", serialize_with = "seconds")]
    pub hold_p95: Duration,
    /// The longest time that a connection was kept which has come back, at most a quarter too long.
    #[serde(rename = "hold_max_seconds", serialize_with = "seconds")]
    pub hold_max: Duration,
    /// Connections in use at a time, on average. Without those that have not come back it is
    /// `throughput * hold_mean` (Little's law, L = λ W).
    pub in_use: f64,
}

impl Usage {
    /// A checkout has waited so long.
    pub(crate) fn waited(&self, time: Duration) {
        self.waits.note(time);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// A connection was kept so long.
    pub(crate) fn held(&self, time: Duration) {
        self.holds.note(time);
    }

    /// Where those that are out now have been so for so long together.
    pub(crate) fn totals(&self, out: Duration) -> Totals {
        Totals {
            waits: self.waits.read(),
            holds: self.holds.read(),
            refused: self.refused.load(Relaxed),
            out,
        }
    }
}

impl Totals {
    /// What has happened since then.
    pub(crate) fn since(&self, earlier: &Totals, time: Duration) -> PoolUsage {
        let waits = self.waits.minus(&earlier.waits);
        let holds = self.holds.minus(&earlier.holds);
        let per_second = match time.is_zero() {
            true => 0.0,
            false => 1.0 / time.as_secs_f64(),
        };
        let refused = self.refused.saturating_sub(earlier.refused);
        // Whoever was out before has been so for longer since.
        let used = Duration::from_nanos(holds.sum_ns) + self.out;
        let used = used.saturating_sub(earlier.out);
        #[expect(
            clippy::cast_precision_loss,
            reason = "nobody needs the rate to more digits"
        )]
        let throughput = holds.count() as f64 * per_second;
        PoolUsage {
            time,
            checkouts: waits.count() + refused,
            refused,
            throughput,
            wait_mean: waits.mean(),
            wait_p95: waits.quantile(0.95),
            wait_p99: waits.quantile(0.99),
            hold_mean: holds.mean(),
            hold_p95: holds.quantile(0.95),
            hold_max: holds.quantile(1.0),
            in_use: used.as_secs_f64() * per_second,
        }
    }

    /// What has happened since the pool was built.
    pub(crate) fn ever(&self) -> PoolUsage {
        self.since(&Usage::default().totals(Duration::ZERO), Duration::ZERO)
    }

    /// How many connections have come back since then, and how long half of them had been out at most.
    pub(crate) fn returned_since(&self, earlier: &Totals) -> (u64, Duration) {
        let holds = self.holds.minus(&earlier.holds);
        (holds.count(), holds.quantile(0.5))
    }

    /// These and those of another pool.
    pub(crate) fn and(mut self, other: &Totals) -> Totals {
        self.waits.add(&other.waits);
        self.holds.add(&other.holds);
        self.refused += other.refused;
        self.out += other.out;
        self
    }
}

impl Default for Times {
    fn default() -> Times {
        Times {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl Times {
    fn note(&self, time: Duration) {
        self.buckets[bucket(time)].fetch_add(1, Relaxed);
        if !time.is_zero() {
            let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.sum_ns.fetch_add(ns, Relaxed);
        }
    }

    fn read(&self) -> Distribution {
        Distribution {
            buckets: std::array::from_fn(|at| self.buckets[at].load(Relaxed)),
            sum_ns: self.sum_ns.load(Relaxed),
        }
    }
}

impl Distribution {
    fn minus(&self, earlier: &Distribution) -> Distribution {
        let since = |at: usize| self.buckets[at].saturating_sub(earlier.buckets[at]);
        Distribution {
            buckets: std::array::from_fn(since),
            sum_ns: self.sum_ns.wrapping_sub(earlier.sum_ns),
        }
    }

    fn add(&mut self, other: &Distribution) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }

    fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn mean(&self) -> Duration {
        let mean = self.sum_ns.checked_div(self.count());
        mean.map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// What that part of the times is no longer than.
    fn quantile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "it is a count, and no more exact than a bucket is"
        )]
        let rank = (self.count() as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return limit(at);
            }
        }
        Duration::ZERO
    }
}

/// Microseconds below 4 have buckets of their own; from there on the two digits behind the first one
/// of a binary number tell.
fn bucket(time: Duration) -> usize {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let octave = us.max(1).ilog2();
    let Some(shift) = octave.checked_sub(2) else {
        return usize::try_from(us).unwrap_or(0);
    };
    // Four to seven.
    let digits = usize::try_from(us >> shift).unwrap_or(0);
    let before = 4 * usize::try_from(shift).unwrap_or(0);
    (before + digits).min(BUCKETS - 1)
}

/// The longest time of a bucket; none for the first, which is of those that took no time.
fn limit(bucket: usize) -> Duration {
    let Some(shift) = (bucket / 4).checked_sub(1) else {
        return Duration::from_micros(bucket as u64);
    };
    let digits = (bucket % 4 + 4) as u64;
    Duration::from_micros((digits + 1) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_a_quarter() {
        for us in (0..100).chain([1_000, 12_345, 999_999, 86_400_000_000]) {
            let time = Duration::from_micros(us);
            let told = limit(bucket(time));
            let most = Duration::from_micros(us + us / 4 + 1);
            assert!(told >= time && told <= most, "{time:?}: {told:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert_eq!(bucket(Duration::from_nanos(999)), 0);
    }

    #[test]
    fn what_has_happened_since_is_told() {
        let usage = Usage::default();
        usage.held(Duration::from_secs(9));
        let before = usage.totals(Duration::from_secs(60));
        for ms in 1..=100 {
            usage.waited(Duration::from_millis(ms));
            usage.held(Duration::from_millis(20));
        }
        usage.waited(Duration::ZERO);
        usage.refused();
        // One is out, and was before.
        let now = usage.totals(Duration::from_secs(62));
        let told = now.since(&before, Duration::from_secs(2));
        assert_eq!((told.checkouts, told.refused), (102, 1));
        assert_eq!(now.returned_since(&before).0, 100);
        assert!((told.throughput - 50.0).abs() < 1e-9, "{told:?}");
        assert!((told.in_use - 2.0).abs() < 1e-9, "{told:?}");
        assert_eq!(told.wait_mean, Duration::from_millis(50));
        let about = |told: Duration, ms: u64| {
            let exact = Duration::from_millis(ms);
            told >= exact && told <= exact + exact / 4
        };
        assert!(
            about(told.wait_p95, 95) && about(told.wait_p99, 99),
            "{told:?}"
        );
        assert!(
            about(told.hold_p95, 20) && about(told.hold_max, 20),
            "{told:?}"
        );
        assert!(about(now.ever().hold_max, 9_000));
    }

    #[test]
    fn nothing_is_told_of_nothing() {
        let totals = Usage::default().totals(Duration::ZERO);
        let told = totals.since(&totals, Duration::from_secs(1));
        let nothing = PoolUsage {
            time: Duration::from_secs(1),
            ..PoolUsage::default()
        };
        assert_eq!(told, nothing);
        let both = totals.clone().and(&totals);
        assert_eq!(both.ever(), PoolUsage::default());
    }
}
