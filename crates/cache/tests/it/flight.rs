//! One load at a time, and an end for everybody who waits.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use ruleiq_cache::{CacheManager, LoadError};
use ruleiq_scope::Scope;
use tokio::{sync::Notify, time::Instant};

use crate::place::{Place, TTL, in_process};

type Call<'a, T, E> = Pin<Box<dyn Future<Output = Result<Arc<T>, LoadError<E>>> + 'a>>;

/// Calls that have all begun: the first leads, in its load; the others wait.
fn begun<'a, T, E, F: Future<Output = Result<Arc<T>, LoadError<E>>> + 'a>(
    calls: impl IntoIterator<Item = F>,
) -> Vec<Call<'a, T, E>> {
    let begin = |call| {
        let mut call: Call<'a, T, E> = Box::pin(call);
        assert!(call.as_mut().now_or_never().is_none(), "nobody has loaded");
        call
    };
    calls.into_iter().map(begin).collect()
}

/// A load that waits until it may end, and counts.
async fn counted(count: &AtomicUsize, end: &Notify) -> Result<usize, String> {
    let number = count.fetch_add(1, SeqCst) + 1;
    end.notified().await;
    Ok(number)
}

#[tokio::test]
async fn a_hundred_callers_share_one_load() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        let (count, end) = (AtomicUsize::new(0), Notify::new());
        let calls = begun((0..100).map(|_| cache.get_or_load("k", TTL, || counted(&count, &end))));
        end.notify_one();
        for value in join_all(calls).await {
            assert_eq!(*value.unwrap(), 1);
        }
        assert_eq!(count.load(SeqCst), 1);
        assert_eq!(cache.stats().loads, 1);
        assert_eq!(cache.stats().misses, 100);
        assert_eq!(cache.get::<usize>("k").await.as_deref(), Some(&1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_on_several_threads_share_one_load() {
    let place = Place::new().await;
    let cache = place.cache().await;
    let count = Arc::new(AtomicUsize::new(0));
    let tasks = (0..200).map(|_| {
        let (cache, count) = (cache.clone(), Arc::clone(&count));
        tokio::spawn(async move {
            let load = || async {
                count.fetch_add(1, SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, ()>(5_u8)
            };
            *cache.get_or_load("k", TTL, load).await.unwrap()
        })
    });
    for value in join_all(tasks.collect::<Vec<_>>()).await {
        assert_eq!(value.unwrap(), 5);
    }
    assert_eq!(count.load(SeqCst), 1);
}

#[tokio::test]
async fn when_the_leader_is_dropped_one_who_waits_loads() {
    let cache = in_process();
    let (count, end) = (AtomicUsize::new(0), Notify::new());
    let mut calls = begun((0..10).map(|_| cache.get_or_load("k", TTL, || counted(&count, &end))));
    for leaders_gone in 1..=3 {
        drop(calls.remove(0));
        assert!(calls[0].as_mut().now_or_never().is_none());
        assert_eq!(count.load(SeqCst), 1 + leaders_gone);
    }
    end.notify_one();
    for value in join_all(calls).await {
        assert_eq!(*value.unwrap(), 4);
    }
    assert_eq!(count.load(SeqCst), 4);
}

#[tokio::test]
async fn a_key_whose_callers_have_all_gone_can_be_loaded_again() {
    let cache = in_process();
    let (count, end) = (AtomicUsize::new(0), Notify::new());
    drop(begun((0..10).map(|_| {
        cache.get_or_load("k", TTL, || counted(&count, &end))
    })));
    end.notify_one();
    let value = cache.get_or_load("k", TTL, || counted(&count, &end)).await;
    assert_eq!(*value.unwrap(), 2);
}

#[tokio::test]
async fn a_panic_is_an_error_for_all_and_frees_the_key() {
    let cache = in_process();
    let go = Notify::new();
    let calls = begun((0..10).map(|_| {
        cache.get_or_load("k", TTL, || async {
            go.notified().await;
            if cache.stats().loads == 0 {
                panic!("no such table: {}", "users");
            }
            Ok::<u8, ()>(1)
        })
    }));
    go.notify_one();
    for outcome in join_all(calls).await {
        let error = outcome.unwrap_err();
        assert!(
            error.to_string().contains("no such table: users"),
            "{error}"
        );
    }
    assert_eq!(cache.stats().load_failures, 1);
    let value = cache.get_or_load("k", TTL, || async { Ok::<u8, ()>(1) });
    assert_eq!(*value.await.unwrap(), 1);
}

#[tokio::test]
async fn a_panic_before_the_first_await_is_an_error_too() {
    let load = || -> std::future::Ready<Result<u8, ()>> { panic!("at once") };
    let error = in_process().get_or_load("k", TTL, load).await.unwrap_err();
    assert!(matches!(error, LoadError::Panicked { .. }), "{error:?}");
}

#[tokio::test]
async fn an_error_goes_to_those_who_wait_and_is_not_kept() {
    let place = Place::new().await;
    for cache in [in_process(), place.cache().await] {
        let (count, go) = (AtomicUsize::new(0), Notify::new());
        let fail = || async {
            count.fetch_add(1, SeqCst);
            go.notified().await;
            Err::<u8, _>("the database is away".to_owned())
        };
        let calls = begun((0..10).map(|_| cache.get_or_load("k", TTL, fail)));
        go.notify_one();
        for outcome in join_all(calls).await {
            let LoadError::Failed(error) = outcome.unwrap_err() else {
                panic!("another error");
            };
            assert_eq!(*error, "the database is away");
        }
        assert_eq!(count.load(SeqCst), 1);
        let value = cache.get_or_load("k", TTL, || async { Ok::<u8, String>(1) });
        assert_eq!(*value.await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_without_an_end_ends_at_the_limit_and_frees_the_key() {
    let cache = CacheManager::builder()
        .load_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let began = Instant::now();
    let stuck = || cache.get_or_load("k", TTL, pending::<Result<u8, ()>>);
    for outcome in join_all((0..10).map(|_| stuck())).await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    }
    assert_eq!(began.elapsed().as_secs(), 3);
    let value = cache.get_or_load("k", TTL, || async { Ok::<u8, ()>(1) });
    assert_eq!(*value.await.unwrap(), 1);
}

fn within<F: Future>(limit: Duration, call: F) -> impl Future<Output = F::Output> {
    let scope = Scope::builder().deadline(Instant::now() + limit).build();
    scope.run(call)
}

#[tokio::test(start_paused = true)]
async fn who_waits_gives_up_at_the_deadline_and_the_load_goes_on() {
    let cache = in_process();
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<u8, ()>(1)
    };
    let (leader, waiting) = tokio::join!(
        cache.get_or_load("k", TTL, slow),
        within(Duration::from_secs(1), cache.get_or_load("k", TTL, slow)),
    );
    assert_eq!(*leader.unwrap(), 1);
    let error = waiting.unwrap_err();
    assert!(
        matches!(error, LoadError::TimedOut { after } if after.as_secs() == 1),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_runs_out_of_time_does_not_take_the_others_with_it() {
    let cache = in_process();
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<u8, String>(1)
    };
    // The second kind of leader has a load that keeps to the deadline itself.
    let gives_up = || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err::<u8, String>("no time left".to_owned())
    };
    for key in ["dropped at its deadline", "failed at its deadline"] {
        let limit = Duration::from_secs(1);
        let leader = async {
            if key.starts_with("dropped") {
                within(limit, cache.get_or_load(key, TTL, slow)).await
            } else {
                within(limit, cache.get_or_load(key, TTL, gives_up)).await
            }
        };
        let (leader, one, two) = tokio::join!(
            leader,
            cache.get_or_load(key, TTL, slow),
            cache.get_or_load(key, TTL, slow),
        );
        assert!(leader.is_err());
        assert_eq!((*one.unwrap(), *two.unwrap()), (1, 1));
    }
    assert_eq!(cache.stats().loads, 4, "each key was loaded once more");
}

#[tokio::test]
async fn a_load_may_borrow_and_need_not_be_send() {
    let cache = in_process();
    let local = std::rc::Rc::new("borrowed".to_owned());
    let load = || async {
        tokio::task::yield_now().await;
        Ok::<_, ()>(local.len())
    };
    assert_eq!(*cache.get_or_load("k", TTL, load).await.unwrap(), 8);
}

#[tokio::test]
async fn two_types_under_one_key_are_loaded_apart() {
    let cache = in_process();
    let go = Notify::new();
    let text = cache.get_or_load("k", TTL, || async {
        go.notified().await;
        Ok::<_, ()>("text".to_owned())
    });
    let mut text = Box::pin(text);
    assert!(text.as_mut().now_or_never().is_none());
    let number = cache.get_or_load("k", TTL, || async { Ok::<_, ()>(1_u8) });
    assert_eq!(*number.await.unwrap(), 1);
    go.notify_one();
    assert_eq!(*text.await.unwrap(), "text");
}

#[tokio::test]
async fn hits_misses_and_time_are_told_to_the_scope() {
    let place = Place::new().await;
    let cache = place.cache().await;
    let scope = Scope::builder().build();
    let load = || async { Ok::<u8, ()>(1) };
    let calls = async {
        cache.get_or_load("k", TTL, load).await.unwrap();
        cache.get_or_load("k", TTL, load).await.unwrap();
        cache.get::<u8>("k").await.unwrap();
        assert!(cache.get::<u8>("other").await.is_none());
    };
    scope.clone().run(calls).await;
    let summary = scope.summary();
    assert_eq!((summary.cache_hits, summary.cache_misses), (2, 2));
    assert!(summary.times.cache > Duration::ZERO);
}
