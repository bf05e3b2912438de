//! How long a loaded value is kept, and what happens when its time is up.

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    Error, MAX_TTL,
    envelope::Life,
    history::Bounds,
    tags::{MAX_TAG_BYTES, MAX_TAGS, TABLE},
};

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
///     .stale_if_error(60 * minute)
///     .tables(&["assessment_sessions"]);
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Policy {
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) jitter: f64,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) early_refresh: bool,
    pub(crate) across_processes: bool,
    pub(crate) adaptive_ttl: Option<Bounds>,
    tags: Option<Arc<[Box<str>]>>,
    tables: &'static [&'static str],
}

impl Policy {
    /// Fresh for `ttl` and then gone. Zero keeps nothing; more than [`MAX_TTL`] counts as that.
    pub fn new(ttl: Duration) -> Policy {
        Policy {
            ttl,
            negative_ttl: None,
            jitter: JITTER,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            soft_timeout: None,
            early_refresh: true,
            across_processes: false,
            adaptive_ttl: None,
            tags: None,
            tables: &[],
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

    /// Lets the time to live follow what is seen of the value. It begins with [`new`](Policy::new)'s. A load that
    /// gives the same bytes as before makes it 1.5 times as long, but no longer than `min` plus a tenth of the time
    /// since the last change (the Alex protocol; RFC 9111, section 4.2.2); one that does not halves it. Always from `min`
    /// to `max`, before [jitter](Policy::jitter). Each process goes by what it has loaded itself, of the last 16,384 keys.
    /// [`PrefixStats`](crate::PrefixStats) shows what it decides. Default: not at all.
    pub fn adaptive_ttl(mut self, min: Duration, max: Duration) -> Policy {
        // What lives for no time is not seen again.
        let min = min.clamp(Duration::from_millis(1), MAX_TTL);
        let max = max.min(MAX_TTL);
        self.adaptive_ttl = Some(Bounds { min, max });
        self
    }

    /// Whether one process loads and the others wait for its value to be in Redis, for at most half of the time that
    /// their callers have, and then load themselves: for loads that cost more than such a wait. A process that dies is
    /// waited for three seconds. Without Redis, or
    /// while it does not answer, each process loads. Default: no.
    pub fn across_processes(mut self, wanted: bool) -> Policy {
        self.across_processes = wanted;
        self
    }

    /// What the value falls with: [`invalidate_tags`](crate::CacheManager::invalidate_tags) with one of these
    /// takes it away. At most 32 with the [tables](Policy::tables), of 1 to 200 bytes each; a loaded value with more
    /// is not kept, and is counted as rejected. One key has one set of tags: whoever waits for somebody else's
    /// load gets the value with that one's. Default: none.
    pub fn tags<S: AsRef<str>>(mut self, tags: impl IntoIterator<Item = S>) -> Policy {
        self.tags = Some(tags.into_iter().map(|it| it.as_ref().into()).collect());
        self
    }

    /// The tables that the value is read from:
    /// [`invalidate_tables`](crate::CacheManager::invalidate_tables) with one of these takes it away.
    /// Default: none.
    pub fn tables(mut self, tables: &'static [&'static str]) -> Policy {
        self.tables = tables;
        self
    }

    pub(crate) fn has_tags(&self) -> bool {
        self.tags.is_some() || !self.tables.is_empty()
    }

    /// All tags; those of tables bear a mark.
    pub(crate) fn all_tags(&self) -> impl ExactSizeIterator<Item = Cow<'_, str>> {
        let tags = self.tags.as_deref().unwrap_or_default();
        (0..tags.len() + self.tables.len()).map(|at| match tags.get(at) {
            Some(tag) => Cow::Borrowed(&**tag),
            None => Cow::Owned(table_tag(self.tables[at - tags.len()])),
        })
    }

    /// Whether a value can have these tags.
    pub(crate) fn check_tags(&self) -> Result<(), Error> {
        let count = self.all_tags().len();
        if count > MAX_TAGS {
            return Err(Error::TooManyTags { count });
        }
        match self.all_tags().find(|it| !is_tag(it)) {
            Some(tag) => Err(Error::TagOutOfBounds { bytes: tag.len() }),
            None => Ok(()),
        }
    }

    /// The life that a value begins which is set, and not loaded: it is kept for exactly so long.
    pub(crate) fn life_of_set(&self) -> Result<Life, Error> {
        let ttl = self.ttl;
        if ttl.is_zero() || ttl > MAX_TTL {
            return Err(Error::TtlOutOfBounds { ttl });
        }
        Ok(self.begin(ttl, Duration::ZERO))
    }

    /// The time to live of a loaded value; `None` if it is not kept.
    pub(crate) fn ttl(&self, is_negative: bool) -> Option<Duration> {
        let ttl = match is_negative {
            true => self.negative_ttl?,
            false => self.ttl,
        };
        Some(ttl.min(MAX_TTL)).filter(|it| !it.is_zero())
    }

    /// The life that a value begins with this time to live, which took so long to load.
    pub(crate) fn life(&self, ttl: Duration, load_time: Duration) -> Life {
        let fresh = ttl.mul_f64(1.0 - self.jitter * fastrand::f64());
        self.begin(fresh, load_time)
    }

    fn begin(&self, fresh: Duration, load_time: Duration) -> Life {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        Life::begin(fresh, (fresh + window).min(MAX_TTL), load_time)
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

/// The tag that a table has.
pub(crate) fn table_tag(table: &str) -> String {
    format!("{TABLE}{table}")
}

/// Whether a value can have such a tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    (1..=MAX_TAG_BYTES).contains(&tag.len())
}

impl From<Duration> for Policy {
    fn from(ttl: Duration) -> Policy {
        Policy::new(ttl)
    }
}

impl From<&Policy> for Policy {
    fn from(policy: &Policy) -> Policy {
        policy.clone()
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
            .map(|_| policy.life(TTL, Duration::ZERO))
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
        let exact = Policy::new(TTL).jitter(0.0).life(TTL, Duration::ZERO);
        assert_eq!(exact.fresh, TTL);
    }

    #[test]
    fn what_has_no_time_is_not_kept() {
        assert_eq!(Policy::new(TTL).jitter(f64::NAN).life(TTL, TTL).fresh, TTL);
        let life = |policy: Policy, negative| {
            let ttl = policy.ttl(negative)?;
            Some(policy.life(ttl, Duration::ZERO))
        };
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
