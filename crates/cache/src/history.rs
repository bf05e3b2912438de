//! What became of values when they were loaded anew: whether they had changed, and so how long the next may live.
//!
//! It remembers the last thousands of keys of this process, by hashes alone. Two keys with one hash make a time to
//! live a bad guess within the bounds that were given for it.

use std::time::Duration;

use quick_cache::{UnitWeighter, sync::Cache};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// The most keys that are remembered, some 100 bytes each.
const MAX_KEYS: usize = 16_384;
/// By how much a value that has not changed may live longer than the last time,
const LONGER: f64 = 1.5;
/// and how much of the time since its last change: the factor of the Alex protocol, which RFC 9111, section 4.2.2,
/// calls typical.
const OF_AGE: f64 = 0.1;

#[derive(Debug)]
pub(crate) struct History {
    seen: Cache<u64, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    payload: u64,
    /// Since when it is what it is, as far as is known.
    since: Instant,
    ttl: Duration,
}

/// Bounds of a time to live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// What a load says of its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) ttl: Duration,
    /// Whether the key had the same value before; `None` if that is not known.
    pub(crate) is_unchanged: Option<bool>,
}

impl History {
    pub(crate) fn new() -> History {
        // Room is made as keys come.
        History {
            seen: Cache::with_weighter(1, MAX_KEYS as u64, UnitWeighter),
        }
    }

    /// Takes note of a value with this hash. Where there are bounds, it is to live for a time within them, and
    /// otherwise for `ttl`.
    pub(crate) fn note(
        &self,
        key: &str,
        payload: u64,
        ttl: Duration,
        bounds: Option<Bounds>,
    ) -> Judgement {
        let (key, now) = (xxh3_64(key.as_bytes()), Instant::now());
        let before = self.seen.get(&key);
        let is_unchanged = before.map(|it| it.payload == payload);
        let since = before.filter(|it| it.payload == payload).map(|it| it.since);
        let since = since.unwrap_or(now);
        let ttl = bounds.map_or(ttl, |bounds| {
            let last = before.map_or(ttl, |it| it.ttl);
            bounds.next(last, is_unchanged, now.saturating_duration_since(since))
        });
        self.seen.insert(
            key,
            Seen {
                payload,
                since,
                ttl,
            },
        );
        Judgement { ttl, is_unchanged }
    }
}

impl Bounds {
    /// The time to live after `last`.
    fn next(&self, last: Duration, is_unchanged: Option<bool>, age: Duration) -> Duration {
        let next = match is_unchanged {
            None => last,
            Some(true) => last
                .mul_f64(LONGER)
                .min(age.mul_f64(OF_AGE) + self.min)
                .max(last.min(self.max)),
            Some(false) => last / 2,
        };
        next.clamp(self.min, self.max.max(self.min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BOUNDS: Bounds = Bounds {
        min: SECOND,
        max: Duration::from_secs(100),
    };

    #[tokio::test(start_paused = true)]
    async fn a_value_that_does_not_change_lives_ever_longer_within_its_bounds() {
        let history = History::new();
        let mut last = Duration::ZERO;
        for _ in 0..100 {
            let ttl = history.note("k", 7, 2 * SECOND, Some(BOUNDS)).ttl;
            assert!(ttl >= last && ttl <= BOUNDS.max, "{last:?}, {ttl:?}");
            assert!(last.is_zero() || ttl <= last.mul_f64(LONGER));
            last = ttl;
            tokio::time::advance(ttl).await;
        }
        assert_eq!(last, BOUNDS.max);
        for changed in 0..20 {
            let judgement = history.note("k", changed + 8, 2 * SECOND, Some(BOUNDS));
            assert_eq!(judgement.is_unchanged, Some(false));
            assert_eq!(judgement.ttl, (last / 2).max(BOUNDS.min));
            last = judgement.ttl;
        }
        assert_eq!(last, BOUNDS.min);
    }

    #[test]
    fn without_bounds_it_only_says_what_has_changed() {
        let history = History::new();
        let note = |key, payload| history.note(key, payload, SECOND, None);
        let judgement = |is_unchanged| Judgement {
            ttl: SECOND,
            is_unchanged,
        };
        assert_eq!(note("a", 1), judgement(None));
        assert_eq!(note("a", 1), judgement(Some(true)));
        assert_eq!(note("b", 1), judgement(None));
        assert_eq!(note("a", 2), judgement(Some(false)));
        assert_eq!(note("a", 1), judgement(Some(false)));
    }

    #[test]
    fn bounds_hold_whatever_is_asked_for() {
        let history = History::new();
        let day = Duration::from_secs(86_400);
        assert_eq!(history.note("a", 1, day, Some(BOUNDS)).ttl, BOUNDS.max);
        assert_eq!(
            history.note("b", 1, SECOND / 2, Some(BOUNDS)).ttl,
            BOUNDS.min
        );
        let inverted = Bounds {
            min: 2 * SECOND,
            max: SECOND,
        };
        assert_eq!(history.note("c", 1, day, Some(inverted)).ttl, 2 * SECOND);
    }
}
