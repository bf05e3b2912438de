//! Looking for a value before it is loaded, and for the right to store it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use crate::{
    breaker::jittered,
    fence::Leader,
    l1::{Copied, Span},
    l2::{INVALIDATED_FOR, L2, Wanted},
    load::{Leading, Outcome},
    manager::Inner,
    only::Only,
    prefixes::PrefixId,
    read::{Found, Read},
    scripts::{is_of_primary, is_only},
    tags::{Noted, Version},
};

/// Between two looks at what another process loads.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What there is before a load.
pub(crate) struct Before<T> {
    /// A value that is wanted: there is nothing to load.
    pub(crate) found: Option<Arc<T>>,
    pub(crate) stale: Option<Copied<T>>,
    pub(crate) right: Option<Right>,
    /// Whether an invalidation has caused the load.
    pub(crate) is_invalidated: bool,
}

/// The right to store a value in Redis.
pub(crate) struct Right {
    pub(crate) lease: Bytes,
    /// Gives it back, if it is that to load alone.
    pub(crate) only: Option<Only>,
    /// The generations of its tags; `None` where they are not known, and then it can only be dropped.
    pub(crate) stamps: Option<Vec<u8>>,
}

impl Inner {
    /// Looks for a value in both tiers, and for the right to store one.
    pub(crate) async fn look_first<T, E>(
        self: &Arc<Inner>,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        leading: &Leading,
    ) -> Before<T>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let unwanted = leading.unwanted;
        // The load before this one may have ended between the first look and the election.
        let now = Instant::now();
        let is_wanted = |span: &Span| span.is_fresh(now) && Some(span.mark) != unwanted;
        let copied = self.l1.look::<T>(key, now);
        let stale = match copied {
            Some(copied) if is_wanted(&copied.span) => {
                leading.count(self, key, Inner::count_l1_hit);
                return Before {
                    found: Some(copied.value),
                    stale: None,
                    right: None,
                    is_invalidated: false,
                };
            }
            other => other,
        };
        let mut before = Before {
            found: None,
            stale,
            right: None,
            is_invalidated: self.is_invalidated(key, leader.tags()),
        };
        let tags = leader.tags().iter().map(Version::name);
        let is_pending = self.pending.covers_tags(tags);
        if let Some(l2) = self.usable_l2(key).filter(|_| !is_pending) {
            self.look_in_redis(l2, leader, key, leading, &mut before)
                .await;
        }
        // What was invalidated while Redis was asked is forgiven from here on: the load comes after it, and so does
        // whoever joins.
        before.is_invalidated |= self.is_invalidated(key, leader.tags());
        before.stale = before.stale.filter(|it| it.tags.are_current());
        before
    }

    /// The same in Redis alone. Where another process loads alone, it is waited for.
    async fn look_in_redis<T, E>(
        self: &Arc<Inner>,
        l2: &L2,
        leader: &Leader<Outcome<T, E>>,
        key: &Arc<str>,
        leading: &Leading,
        before: &mut Before<T>,
    ) where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let unwanted = leading.unwanted;
        let mut wanted = match leading.policy.across_processes {
            true => Wanted::Alone,
            false => Wanted::Shared,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            let finding = self.find_or_lease(l2, key, leader.tags(), unwanted, wanted);
            // Why there was no answer is counted; the value is loaded, and Redis is not given it.
            let Ok(read) = finding.await else { return };
            let (found, is_loaded) = match read {
                Read::Hit(found) => {
                    leading.count(self, key, Inner::count_l2_hit);
                    let generation = leader.generation();
                    before.found = Some(self.keep_found(key, generation, found, asked));
                    return;
                }
                Read::Lease(lease, is_own, found) => {
                    before.is_invalidated |= is_of_primary(&lease);
                    before.right = Some(self.right(leader.tags(), key, lease, is_own));
                    (found, false)
                }
                // Somebody writes it.
                Read::Nothing(found) => {
                    before.is_invalidated = true;
                    (found, false)
                }
                Read::Loaded(found) => (found, true),
            };
            if let Some(found) = found {
                before.stale = Some(self.copied(found, asked));
            }
            if !is_loaded {
                return;
            }
            let next = Instant::now() + jittered(pause);
            if next >= leading.limits.half() {
                return;
            }
            sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // Whoever was alone may end without a value: then all who have waited load.
            wanted = Wanted::Turn;
        }
    }

    fn right(self: &Arc<Inner>, tags: &Noted, key: &Arc<str>, lease: Bytes, is_own: bool) -> Right {
        Right {
            // Somebody else's is not to be given back.
            only: (is_own && is_only(&lease)).then(|| Only::new(self, key, &lease)),
            stamps: self.stamps(tags),
            lease,
        }
    }

    /// Whether the key, or one of the tags, was invalidated a moment ago, as far as this process knows.
    fn is_invalidated(&self, key: &str, tags: &Noted) -> bool {
        let since = Instant::now().checked_sub(INVALIDATED_FOR);
        self.fences.was_invalidated(key, INVALIDATED_FOR)
            || since.is_some_and(|since| tags.have_changed(since))
    }

    /// What Redis has and is not wanted, mostly as it is not fresh.
    fn copied<T>(&self, found: Found<T>, asked: Instant) -> Copied<T> {
        let mut span = self.span(asked, found.life);
        if !found.overdue.is_zero() {
            // A clock that began later than that knows no such time, and then it was just now.
            span.fresh_until = asked.checked_sub(found.overdue).unwrap_or(asked);
        }
        Copied {
            value: found.value,
            encoded_bytes: found.encoded_bytes,
            prefix: PrefixId::default(),
            span,
            tags: found.tags,
        }
    }
}
