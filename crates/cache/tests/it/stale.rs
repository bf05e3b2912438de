//! What is given when a value's time is up, and what is loaded before it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use ruleiq_cache::{CacheManager, LoadError, Policy};
use ruleiq_scope::Scope;
use ruleiq_test_support::eventually;
use tokio::{
    sync::Notify,
    time::{Instant, advance},
};

use crate::place::{LIMIT, Place, in_process};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Exact, so that a test knows when its time is up.
fn policy(ttl: Duration) -> Policy {
    Policy::new(ttl).jitter(0.0)
}

async fn load(
    cache: &CacheManager,
    policy: &Policy,
    value: Result<u32, &'static str>,
) -> Option<u32> {
    let loaded = cache.get_or_load("k", policy, || async { value }).await;
    loaded.ok().as_deref().copied()
}

/// By a task of its own.
async fn detached(cache: &CacheManager, policy: &Policy, value: u32) -> Option<u32> {
    let load = move || async move { Ok::<_, &str>(value) };
    let loaded = cache.detached().get_or_load("k", policy, load).await;
    loaded.ok().as_deref().copied()
}

#[tokio::test(start_paused = true)]
async fn an_error_is_answered_by_a_stale_value_within_its_window() {
    let cache = in_process();
    let policy = policy(MINUTE).stale_if_error(10 * MINUTE);
    assert_eq!(load(&cache, &policy, Ok(1)).await, Some(1));
    advance(2 * MINUTE).await;
    assert_eq!(cache.get::<u32>("k").await, None, "it is not fresh");
    assert_eq!(cache.mget::<u32>(&["k"]).await, [None]);
    assert!(!cache.exists("k").await.unwrap());

    assert_eq!(load(&cache, &policy, Err("down")).await, Some(1));
    assert_eq!(cache.stats().stale, 1);
    // Nobody tries again at once.
    assert_eq!(load(&cache, &policy, Ok(2)).await, Some(1));
    advance(2 * SECOND).await;
    assert_eq!(load(&cache, &policy, Err("down")).await, Some(1));
    advance(2 * SECOND).await;
    assert_eq!(load(&cache, &policy, Ok(2)).await, Some(2));

    // Not for ever, however often it is given.
    for _ in 0..20 {
        advance(MINUTE).await;
        load(&cache, &policy, Err("down")).await;
    }
    assert_eq!(load(&cache, &policy, Err("down")).await, None);
    assert_eq!(cache.stats().load_failures, 23);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_is_an_error_too() {
    let cache = CacheManager::builder().load_timeout(SECOND).build();
    let cache = cache.unwrap();
    let policy = policy(MINUTE).stale_if_error(MINUTE);
    load(&cache, &policy, Ok(1)).await;
    advance(MINUTE).await;
    let never = std::future::pending::<Result<u32, &str>>;
    let given = cache.get_or_load("k", &policy, never).await.unwrap();
    assert_eq!(*given, 1);
    advance(2 * MINUTE).await;
    let error = cache.get_or_load("k", &policy, never).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_leaves_nothing_stale() {
    let cache = in_process();
    let policy = policy(MINUTE).stale_if_error(10 * MINUTE);
    load(&cache, &policy, Ok(1)).await;
    advance(2 * MINUTE).await;
    cache.delete(&["k"]).await;
    assert_eq!(load(&cache, &policy, Err("down")).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_given_while_it_is_loaded_anew() {
    let cache = in_process();
    let policy = policy(MINUTE).stale_while_revalidate(MINUTE);
    assert_eq!(detached(&cache, &policy, 1).await, Some(1));
    advance(MINUTE).await;
    assert_eq!(detached(&cache, &policy, 2).await, Some(1), "stale");
    eventually(LIMIT, || async {
        cache.get("k").await.as_deref() == Some(&2_u32)
    })
    .await;
    let stats = cache.stats();
    assert_eq!((stats.stale, stats.refreshes, stats.loads), (1, 1, 2));
    advance(2 * MINUTE).await;
    assert_eq!(detached(&cache, &policy, 3).await, Some(3), "too old");
}

#[tokio::test(start_paused = true)]
async fn a_value_is_loaded_anew_before_its_time_is_up_once_and_in_a_scope_of_its_own() {
    let cache = in_process();
    let loads = Arc::new(AtomicU32::new(0));
    let get = async || {
        let loads = Arc::clone(&loads);
        let load = move || async move {
            let own = Scope::current().unwrap();
            assert_eq!(own.route(), Some("cache load"));
            tokio::time::sleep(5 * SECOND).await;
            Ok::<_, ()>(loads.fetch_add(1, SeqCst) + 1)
        };
        let policy = policy(MINUTE);
        *cache
            .detached()
            .get_or_load("k", &policy, load)
            .await
            .unwrap()
    };
    let scope = Scope::builder().route("request").build();
    assert_eq!(scope.run(get()).await, 1);
    // Hundreds of reads, shortly before the end: one of them is early.
    advance(50 * SECOND).await;
    for _ in 0..500 {
        assert_eq!(get().await, 1);
    }
    // It begins, and takes five seconds, in which the old one is still fresh.
    tokio::task::yield_now().await;
    assert_eq!(cache.stats().refreshes, 1);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(get().await, 2);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.misses), (2, 1), "nobody waited again");
}

#[tokio::test(start_paused = true)]
async fn a_detached_load_outlives_its_caller() {
    let cache = in_process();
    let (in_load, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let load = {
        let (in_load, go) = (Arc::clone(&in_load), Arc::clone(&go));
        move || async move {
            in_load.notify_one();
            go.notified().await;
            Ok::<_, ()>(1_u32)
        }
    };
    let caller = cache.detached();
    let call = caller.get_or_load("k", MINUTE, load);
    tokio::select! {
        biased;
        _ = call => panic!("it cannot have ended"),
        () = in_load.notified() => {}
    }
    // Whoever comes now waits for the same load.
    let next = cache.get_or_load("k", MINUTE, || async { Err::<u32, ()>(()) });
    let (next, ()) = tokio::join!(next, async { go.notify_one() });
    assert_eq!(*next.unwrap(), 1);
    assert_eq!(cache.stats().loads, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_gives_what_is_stale_and_goes_on() {
    let cache = in_process();
    let policy = policy(MINUTE).stale_if_error(MINUTE).soft_timeout(SECOND);
    detached(&cache, &policy, 1).await;
    advance(MINUTE).await;
    let slow = || async {
        tokio::time::sleep(5 * SECOND).await;
        Ok::<_, &str>(2_u32)
    };
    let asked = Instant::now();
    let given = cache.detached().get_or_load("k", &policy, slow).await;
    assert_eq!(*given.unwrap(), 1);
    assert_eq!(asked.elapsed(), SECOND);
    advance(5 * SECOND).await;
    eventually(LIMIT, || async {
        cache.get("k").await.as_deref() == Some(&2_u32)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_for_as_long_as_it_is_told() {
    let cache = in_process();
    let find = async |policy: &Policy, found: Option<u32>| {
        let load = || async { Ok::<_, ()>(found) };
        *cache.get_or_load("k", policy, load).await.unwrap()
    };
    assert_eq!(find(&policy(MINUTE), None).await, None);
    assert_eq!(cache.stats().l1_entries, 0);
    let negative = policy(MINUTE).negative_ttl(SECOND);
    assert_eq!(find(&negative, None).await, None);
    assert_eq!(find(&negative, Some(1)).await, None, "it is known");
    advance(SECOND).await;
    assert_eq!(find(&negative, Some(1)).await, Some(1));
    advance(SECOND).await;
    assert_eq!(find(&negative, None).await, Some(1));
}

/// Through Redis: another instance gives what is stale there, and asks it before it loads.
#[tokio::test]
async fn what_is_stale_in_redis_is_better_than_an_error() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let short = policy(Duration::from_millis(20)).stale_if_error(MINUTE);
    assert_eq!(load(&cache, &short, Ok(1)).await, Some(1));
    eventually(LIMIT, || async { !cache.exists("k").await.unwrap() }).await;
    assert_eq!(other.get::<u32>("k").await, None);
    assert_eq!(load(&other, &short, Err("down")).await, Some(1));
    let strict = policy(MINUTE);
    assert_eq!(load(&other, &strict, Err("down")).await, None);
    // The lease of those loads is still there, and it does not keep a value out.
    assert_eq!(load(&other, &strict, Ok(2)).await, Some(2));
    assert_eq!(load(&cache, &strict, Err("unasked")).await, Some(2));
    let left = cache.ttl("k").await.unwrap().unwrap();
    assert!(left <= MINUTE && left > MINUTE / 2, "{left:?}");
}

#[tokio::test]
async fn a_refresh_replaces_what_redis_has_and_takes_what_somebody_else_has_put_there() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.cache().await);
    let stale = policy(Duration::from_millis(20)).stale_while_revalidate(MINUTE);
    assert_eq!(detached(&cache, &stale, 1).await, Some(1));
    eventually(LIMIT, || async { !cache.exists("k").await.unwrap() }).await;
    let go = Arc::new(Notify::new());
    let slow = {
        let go = Arc::clone(&go);
        move || async move {
            go.notified().await;
            Ok::<_, &str>(2_u32)
        }
    };
    let minute = policy(MINUTE).stale_while_revalidate(MINUTE);
    let given = cache.detached().get_or_load("k", minute, slow).await;
    assert_eq!(*given.unwrap(), 1);
    go.notify_one();
    eventually(LIMIT, || async {
        cache.get("k").await.as_deref() == Some(&2_u32)
    })
    .await;
    assert_eq!(load(&other, &policy(MINUTE), Err("unasked")).await, Some(2));
    assert_eq!(other.stats().loads, 0);
}

/// Whoever waits has less time than the load, and something is there.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_time_ends_first_is_given_what_is_stale() {
    let cache = in_process();
    let policy = policy(MINUTE).stale_if_error(MINUTE);
    detached(&cache, &policy, 1).await;
    advance(MINUTE).await;
    let never = std::future::pending::<Result<u32, &str>>;
    let deadline = Instant::now() + SECOND;
    let scope = Scope::builder().deadline(deadline).build();
    let caller = cache.detached();
    let given = scope
        .clone()
        .run(caller.get_or_load("k", &policy, never))
        .await;
    assert_eq!(*given.unwrap(), 1);
    // That load still runs: who follows it has no more time, and who allows nothing stale has nothing.
    let strict = Policy::new(MINUTE);
    let error = scope.run(cache.get_or_load("k", strict, never)).await;
    assert!(
        matches!(error, Err(LoadError::TimedOut { .. })),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_not_tried_again_at_once_and_takes_no_time_away() {
    let cache = in_process();
    let policy = policy(MINUTE).stale_while_revalidate(MINUTE);
    detached(&cache, &policy, 1).await;
    advance(MINUTE).await;
    let loads = Arc::new(AtomicU32::new(0));
    let get = async || {
        let loads = Arc::clone(&loads);
        let fail = move || async move {
            loads.fetch_add(1, SeqCst);
            Err::<u32, _>("down")
        };
        cache
            .detached()
            .get_or_load("k", &policy, fail)
            .await
            .map(|it| *it)
    };
    for _ in 0..100 {
        assert_eq!(get().await.unwrap(), 1);
        tokio::task::yield_now().await;
    }
    assert_eq!(loads.load(SeqCst), 1);
    advance(2 * SECOND).await;
    assert_eq!(get().await.unwrap(), 1);
    tokio::task::yield_now().await;
    assert_eq!(loads.load(SeqCst), 2);
    // The window ends where it was to end.
    advance(MINUTE).await;
    get().await.unwrap_err();
}

/// A copy in the process lives for less than its value: that is no end to refresh it for.
#[tokio::test]
async fn what_ends_is_the_value_and_not_the_copy() {
    let place = Place::new().await;
    let options = place.options(place.redis.client().await);
    let options = options.l1_ttl(SECOND / 4).outage_ttl(SECOND / 4);
    let cache = options.build().unwrap();
    let slow = || async {
        tokio::time::sleep(SECOND / 2).await;
        Ok::<_, ()>(1_u32)
    };
    let until = Instant::now() + 2 * SECOND;
    while Instant::now() < until {
        cache
            .detached()
            .get_or_load("k", 60 * MINUTE, slow)
            .await
            .unwrap();
        tokio::time::sleep(SECOND / 100).await;
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.refreshes), (1, 0), "{stats:?}");
    assert!(stats.l1_hits > 0 && stats.l2_hits > 2, "{stats:?}");
}

#[tokio::test]
async fn a_source_that_has_nothing_any_more_takes_the_value_away() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        let policy = policy(SECOND / 50).stale_if_error(MINUTE);
        let load = async |found: Result<Option<u32>, &'static str>| {
            let loaded = cache.get_or_load("k", &policy, || async { found });
            loaded.await.map(|it| *it)
        };
        assert_eq!(load(Ok(Some(1))).await.unwrap(), Some(1));
        eventually(LIMIT, || async { !cache.exists("k").await.unwrap() }).await;
        assert_eq!(load(Ok(None)).await.unwrap(), None);
        load(Err("down")).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_new_time_to_live_makes_nothing_fresh_that_is_not() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        let stale = policy(SECOND / 50).stale_if_error(MINUTE);
        load(&cache, &stale, Ok(1)).await;
        eventually(LIMIT, || async { !cache.exists("k").await.unwrap() }).await;
        assert!(!cache.expire("k", MINUTE).await.unwrap());
        assert_eq!(cache.get::<u32>("k").await, None);
        load(&cache, &policy(MINUTE).stale_if_error(MINUTE), Ok(2)).await;
        assert!(cache.expire("k", 2 * MINUTE).await.unwrap());
        let left = cache.ttl("k").await.unwrap().unwrap();
        assert!(left > MINUTE && left <= 2 * MINUTE, "{left:?}");
    }
}
