//! Whoever leads, writes or deletes is dropped at each of its awaits, while others wait for the key. They
//! end, and the key is as good as before.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use ruleiq_cache::{CacheManager, cached};
use ruleiq_test_support::eventually;
use tokio::{
    sync::Notify,
    task::{JoinHandle, yield_now},
    time::timeout,
};

use crate::{
    place::{LIMIT, Place, TTL, in_process},
    soak::{is_full, report_none},
};

/// A lease of a write lasts longer, as these caches wait for Redis for so long: one that is left over shows.
const SOON: Duration = Duration::from_secs(10);
const FOLLOWERS: usize = 3;
const OLD: u64 = 1;
const WRITTEN: u64 = 2;
const LOADED: u64 = 3;

/// What is dropped.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Load,
    Detached,
    Cached,
    Set,
    Delete,
    DeletePattern,
}

const KINDS: [Kind; 6] = [
    Kind::Load,
    Kind::Detached,
    Kind::Cached,
    Kind::Set,
    Kind::Delete,
    Kind::DeletePattern,
];

async fn load(yields: usize) -> Result<u64, ()> {
    for _ in 0..yields {
        yield_now().await;
    }
    Ok(LOADED)
}

#[cached(ttl = 300, prefix = "cached", cache = cache, skip(cache, yields))]
async fn by_macro(cache: &CacheManager, key: &str, yields: usize) -> u64 {
    load(yields).await.unwrap()
}

impl Kind {
    /// Whether it takes away what was there, as soon as it has begun.
    fn invalidates(self) -> bool {
        matches!(self, Kind::Set | Kind::Delete | Kind::DeletePattern)
    }

    fn key(self, name: &str) -> String {
        match self {
            Kind::Cached => format!("cached:[\"{name}\"]"),
            _ => name.to_owned(),
        }
    }

    async fn run(self, cache: CacheManager, name: String, yields: usize) {
        let (key, load) = (self.key(&name), move || load(yields));
        match self {
            Kind::Load => drop(cache.get_or_load(&key, TTL, load).await.unwrap()),
            Kind::Detached => drop(cache.detached().get_or_load(&key, TTL, load).await.unwrap()),
            Kind::Cached => assert_eq!(by_macro(&cache, &name, yields).await, LOADED),
            Kind::Set => cache.set(&key, WRITTEN, TTL).await.unwrap(),
            Kind::Delete => cache.delete(&[&key]).await,
            Kind::DeletePattern => drop(cache.delete_pattern(&format!("{name}*")).await.unwrap()),
        }
    }

    /// Who asks for the key meanwhile.
    async fn follow(self, cache: CacheManager, name: String) -> u64 {
        match self {
            Kind::Cached => by_macro(&cache, &name, 1).await,
            _ => *cache.get_or_load(&name, TTL, || load(1)).await.unwrap(),
        }
    }
}

#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.notify_one();
    }
}

/// Polls a future so many times, each when it has been woken, and once it has begun calls `begun`. Drops it
/// when it waits again, or `late` when that wait is over. Answers whether it has ended by itself.
async fn drop_after(
    polls: usize,
    late: bool,
    mut future: BoxFuture<'_, ()>,
    mut begun: impl FnMut(),
) -> bool {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for poll in 1..=polls {
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if poll == 1 {
            begun();
        }
        if let Poll::Ready(()) = polled {
            return true;
        }
        if late || poll < polls {
            let wait = timeout(LIMIT, woken.0.notified()).await;
            wait.expect("who is not done is woken");
        }
    }
    false
}

#[derive(Default)]
struct Figures {
    drops: u64,
    stuck: u64,
    old: u64,
}

impl Figures {
    /// Answers whether it had ended before it could be dropped.
    async fn drop_one(
        &mut self,
        cache: &CacheManager,
        kind: Kind,
        polls: usize,
        late: bool,
    ) -> bool {
        let name = format!("{kind:?}:{}", self.drops);
        let key = kind.key(&name);
        if kind.invalidates() {
            cache.set(&key, OLD, TTL).await.unwrap();
        }
        let mut followers: Vec<JoinHandle<u64>> = Vec::new();
        let mut follow = || {
            let one = |_| tokio::spawn(kind.follow(cache.clone(), name.clone()));
            followers.extend((0..FOLLOWERS).map(one));
        };
        if polls == 0 {
            follow();
        }
        let leader = Box::pin(kind.run(cache.clone(), name.clone(), 3));
        let ended = drop_after(polls, late, leader, follow).await;
        self.drops += 1;

        let is_old = |value: u64| u64::from(value == OLD && polls > 0);
        match timeout(LIMIT, join_all(followers)).await {
            Ok(values) => {
                self.old += values
                    .into_iter()
                    .map(|it| is_old(it.unwrap()))
                    .sum::<u64>()
            }
            Err(_) => self.stuck += 1,
        }
        match timeout(SOON, kind.follow(cache.clone(), name.clone())).await {
            Ok(value) => self.old += is_old(value),
            Err(_) => self.stuck += 1,
        }
        self.stuck += u64::from(timeout(SOON, is_kept(cache, kind, &name)).await.is_err());
        ended
    }
}

/// Waits until what is loaded is kept, before a deletion and after one.
async fn is_kept(cache: &CacheManager, kind: Kind, name: &str) {
    let key = kind.key(name);
    for _ in 0..2 {
        eventually(SOON * 2, || async {
            kind.follow(cache.clone(), name.to_owned()).await;
            cache.get::<u64>(&key).await.is_some() && cache.stats().pending_invalidations == 0
        })
        .await;
        cache.delete(&[&key]).await;
        assert_eq!(cache.get::<u64>(&key).await, None, "it is deleted");
    }
}

#[tokio::test]
async fn who_is_dropped_at_any_await_leaves_no_key_stuck() {
    let place = Place::new().await;
    let caches = [in_process(), place.cache().await, place.redis_alone().await];
    let rounds = if is_full() { 50 } else { 1 };
    let mut figures = Figures::default();
    for cache in caches.iter().cycle().take(caches.len() * rounds) {
        for kind in KINDS {
            for late in [false, true] {
                let mut polls = 0;
                // Whoever is stuck takes its time: a few are enough.
                while figures.stuck < 3 && !figures.drop_one(cache, kind, polls, late).await {
                    polls += 1;
                }
                let least = match kind {
                    Kind::Load | Kind::Cached => 4,
                    Kind::Detached => 2,
                    _ => 1,
                };
                assert!(
                    polls >= least || figures.stuck > 0,
                    "{kind:?} has ended after {polls} polls"
                );
            }
        }
    }
    report_none("leader_dropped_stuck_keys", figures.stuck, "keys");
    report_none("leader_dropped_old_values", figures.old, "values");
}
