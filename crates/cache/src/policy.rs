//! How long a loaded value is kept, and what happens when its time is up.

use std::time::Duration;

use tokio::time::Instant;

use crate::{MAX_TTL, envelope::Life};

const JITTER: f64 = 0.1;

/// How long a loaded value is kept, and what happens when its time is up. A [`Duration`] is one, too: for
/// that long, and then it is loaded anew.
///
/// ```
/// use std::time::Duration;
/// use ruleiq_cache::Policy;
///
/// let minute = Duration::from_secs(60);
/// let policy = Policy::new(5 * minute)
///     .negative_ttl(minute)
///     .stale_while_revalidate(minute)
///     .stale_if_error(60 * minute);
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Policy {
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) jitter: f64,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) early_refresh: bool,
}

impl Policy {
    /// Fresh for `ttl` and then gone. Zero keeps nothing; more than [`MAX_TTL`] counts as that.
    pub fn new(ttl: Duration) -> Policy {
        Policy {
            ttl: ttl.min(MAX_TTL),
            negative_ttl: None,
            jitter: JITTER,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            soft_timeout: None,
            early_refresh: true,
        }
    }

    /// How long it is kept that there is nothing: a load that gives `None`. Default: not at all.
    pub fn negative_ttl(mut self, ttl: Duration) -> Policy {
        self.negative_ttl = Some(ttl.min(MAX_TTL));
        self
    }

    /// By up to which share of it a time to live is shortened at random, so that what was loaded together
    /// does not end together; from 0 to 1. Default: 0.1.
    pub fn jitter(mut self, share: f64) -> Policy {
        // What is no number counts as 0.
        self.jitter = match share.is_nan() {
            true => 0.0,
            false => share.clamp(0.0, 1.0),
        };
        self
    }

    /// For how long after its time a value is given nevertheless while it is loaded anew in the background
    /// (RFC 5861, section 3). Only where the load is [detached](crate::CacheManager::detached). Default: not
    /// at all.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Policy {
        self.stale_while_revalidate = window.min(MAX_TTL);
        self
    }

    /// For how long after its time a value is given in the place of an error, when its load fails, panics or
    /// takes longer than its caller has (RFC 5861, section 4). Default: not at all.
    pub fn stale_if_error(mut self, window: Duration) -> Policy {
        self.stale_if_error = window.min(MAX_TTL);
        self
    }

    /// How long somebody else's load, or a [detached](crate::CacheManager::detached) one, is waited for where
    /// [`stale_if_error`](Policy::stale_if_error) allows what is there. It goes on, and what it gives is
    /// kept. Default: to its end.
    pub fn soft_timeout(mut self, after: Duration) -> Policy {
        self.soft_timeout = Some(after.min(MAX_TTL));
        self
    }

    /// Whether a value that is read often is loaded anew in the background shortly before its time is up,
    /// the earlier the longer that takes. Only where the load is
    /// [detached](crate::CacheManager::detached). Default: yes.
    pub fn early_refresh(mut self, wanted: bool) -> Policy {
        self.early_refresh = wanted;
        self
    }

    /// The life that a value begins which took so long to load; `None` if it is not kept.
    pub(crate) fn life(&self, is_negative: bool, load_time: Duration) -> Option<Life> {
        let ttl = match is_negative {
            true => self.negative_ttl?,
            false => self.ttl,
        };
        if ttl.is_zero() {
            return None;
        }
        let fresh = ttl.mul_f64(1.0 - self.jitter * fastrand::f64());
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        Some(Life::begin(fresh, (fresh + window).min(MAX_TTL), load_time))
    }

    /// Whether a value which is fresh until then may be given at `now` in the place of an error.
    pub(crate) fn covers_error(&self, fresh_until: Instant, now: Instant) -> bool {
        now < fresh_until + self.stale_if_error
    }

    /// Whether it may be given while it is loaded anew.
    pub(crate) fn covers_revalidation(&self, fresh_until: Instant, now: Instant) -> bool {
        now < fresh_until + self.stale_while_revalidate
    }

    /// Whether a value that took so long to load is to be loaded anew although it is fresh: sometimes, and
    /// the more often the nearer its end is. `XFetch` of Vattani, Chierichetti and Lowenstein, "Optimal
    /// Probabilistic Cache Stampede Prevention", PVLDB 8(8), 2015, with beta = 1.
    pub(crate) fn is_early(&self, load_time: Duration, fresh_until: Instant, now: Instant) -> bool {
        if !self.early_refresh || load_time.is_zero() {
            return false;
        }
        // From 0 to 1, and never 0, whose logarithm has no end.
        let random = 1.0 - fastrand::f64();
        let ahead = load_time.mul_f64(-random.ln());
        now + ahead >= fresh_until
    }
}

impl From<Duration> for Policy {
    fn from(ttl: Duration) -> Policy {
        Policy::new(ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(100);

    #[test]
    fn lives_are_spread_below_the_time_to_live() {
        let policy = Policy::new(TTL).stale_if_error(TTL);
        let lives: Vec<Life> = (0..10_000)
            .map(|_| policy.life(false, Duration::ZERO).unwrap())
            .collect();
        assert!(
            lives
                .iter()
                .all(|it| it.fresh <= TTL && it.fresh >= TTL * 9 / 10)
        );
        assert!(lives.iter().all(|it| it.kept == it.fresh + TTL));
        for tenth in 0..10 {
            let from = TTL * (90 + tenth) / 100;
            let within = lives
                .iter()
                .filter(|it| it.fresh >= from && it.fresh < from + TTL / 100);
            assert!((800..1_200).contains(&within.count()), "tenth {tenth}");
        }
        let exact = Policy::new(TTL).jitter(0.0).life(false, Duration::ZERO);
        assert_eq!(exact.unwrap().fresh, TTL);
    }

    #[test]
    fn what_has_no_time_is_not_kept() {
        assert!(Policy::new(TTL).jitter(f64::NAN).life(false, TTL).is_some());
        let life = |policy: Policy, negative| policy.life(negative, Duration::ZERO);
        assert!(life(Policy::new(Duration::ZERO), false).is_none());
        assert!(life(Policy::new(TTL), true).is_none());
        assert!(life(Policy::new(TTL).negative_ttl(Duration::ZERO), true).is_none());
        let negative = life(Policy::new(TTL).negative_ttl(TTL / 10), true).unwrap();
        assert!(negative.fresh <= TTL / 10);
        let longest = life(
            Policy::new(Duration::MAX).stale_if_error(Duration::MAX),
            false,
        );
        assert!(longest.unwrap().kept <= MAX_TTL);
    }

    #[test]
    fn early_refreshes_come_with_the_chance_of_the_paper() {
        let (policy, now) = (Policy::new(TTL), Instant::now());
        let second = Duration::from_secs(1);
        let early = |load_time, left: Duration| {
            let is_early = |_: &u32| policy.is_early(load_time, now + left, now);
            (0..10_000_u32).filter(is_early).count()
        };
        assert_eq!(early(Duration::ZERO, second), 0);
        assert_eq!(early(second, Duration::ZERO), 10_000);
        // exp(-1) and exp(-3).
        assert!((3_500..3_860).contains(&early(second, second)));
        assert!((380..620).contains(&early(second, 3 * second)));
        let never = Policy::new(TTL).early_refresh(false);
        assert!(!never.is_early(second, now, now));
    }
}
