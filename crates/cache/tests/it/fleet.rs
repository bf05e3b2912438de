//! One load for all processes, where that is asked for.

use std::{future::pending, time::Duration};

use fred::interfaces::{ClientLike as _, KeysInterface as _};
use futures_util::future::join_all;
use ruleiq_cache::{CacheManager, Policy};
use ruleiq_test_support::{TestRedis, eventually};
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use crate::place::{LIMIT, Place, TTL, in_process};

/// Tells a process of the fleet where its Redis is.
pub(crate) const PLACE: &str = "RULEIQ_TEST_FLEET";

fn once() -> Policy {
    Policy::new(TTL).across_processes(true)
}

/// One process of a fleet, all of which want the same keys at once. Without a fleet it does nothing.
#[tokio::test]
async fn a_process_of_a_fleet() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let (url, prefix) = place.split_once(' ').unwrap();
    let client = crate::place::client(url);
    client.init().await.unwrap();
    let options = CacheManager::builder().redis(client.clone()).prefix(prefix);
    let cache = options.command_timeout(LIMIT).build().unwrap();
    for round in 0..3 {
        let key = format!("key:{round}");
        let load = || async {
            sleep(Duration::from_millis(200)).await;
            let loads = client.incr::<u32, _>(format!("{prefix}-loads")).await;
            Ok::<_, ()>(loads.unwrap())
        };
        cache.get_or_load(&key, once(), load).await.unwrap();
    }
}

#[tokio::test]
async fn a_load_that_fails_or_is_dropped_is_not_waited_for() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let begun = Notify::new();
    let failing = cache.get_or_load("k", once(), || async {
        begun.notify_one();
        sleep(Duration::from_millis(50)).await;
        Err::<u32, _>("down")
    });
    let waiting = async {
        begun.notified().await;
        other
            .get_or_load("k", once(), || async { Ok::<_, ()>(2_u32) })
            .await
    };
    let (failed, loaded) = tokio::join!(failing, waiting);
    assert!(failed.is_err());
    assert_eq!(*loaded.unwrap(), 2);

    let never = cache.get_or_load("l", once(), || async {
        begun.notify_one();
        pending::<Result<u32, ()>>().await
    });
    tokio::select! {
        _ = never => panic!("it has no end"),
        () = begun.notified() => {}
    }
    let loaded = other.get_or_load("l", once(), || async { Ok::<_, ()>(3_u32) });
    assert_eq!(*loaded.await.unwrap(), 3);
}

#[tokio::test]
async fn a_load_longer_than_its_lease_is_waited_for_and_one_that_has_died_is_not() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let begun = Notify::new();
    let long = cache.get_or_load("k", once(), || async {
        begun.notify_one();
        sleep(Duration::from_millis(4_500)).await;
        Ok::<_, ()>(1_u32)
    });
    let waiting = async {
        begun.notified().await;
        other
            .get_or_load("k", once(), || async { Err::<u32, _>("loaded twice") })
            .await
    };
    let (long, waited) = tokio::join!(long, waiting);
    assert_eq!((*long.unwrap(), *waited.unwrap()), (1, 1));

    // A process that has died renews nothing.
    let runtime = std::thread::spawn({
        let cache = cache.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.unwrap();
            let (begins, begun) = oneshot::channel();
            runtime.spawn(async move {
                let never = || async {
                    begins.send(()).unwrap();
                    pending::<Result<u32, ()>>().await
                };
                drop(cache.get_or_load("dead", once(), never).await);
            });
            runtime.block_on(begun).unwrap();
            runtime.shutdown_background();
        }
    });
    tokio::task::spawn_blocking(|| runtime.join().unwrap())
        .await
        .unwrap();
    let loaded = other.get_or_load("dead", once(), || async { Ok::<_, ()>(2_u32) });
    assert_eq!(*loaded.await.unwrap(), 2);
}

#[tokio::test]
async fn an_invalidation_begins_a_load_that_the_older_one_does_not_hold_up() {
    let place = Place::new().await;
    let (cache, other) = (place.redis_alone().await, place.redis_alone().await);
    let load = || async {
        other.delete(&["k"]).await;
        let newer = other.get_or_load("k", once(), || async { Ok::<_, ()>(2_u32) });
        assert_eq!(*newer.await.unwrap(), 2);
        Ok::<_, ()>(1_u32)
    };
    assert_eq!(*cache.get_or_load("k", once(), load).await.unwrap(), 1);
    assert_eq!(cache.get::<u32>("k").await.as_deref(), Some(&2));
}

#[tokio::test]
async fn without_redis_each_process_loads() {
    let load = || async { Ok::<_, ()>(1_u32) };
    assert_eq!(
        *in_process().get_or_load("k", once(), load).await.unwrap(),
        1
    );

    let place = Place {
        redis: TestRedis::namespace().await,
    };
    let proxy = place.proxy().await;
    let cache = place.behind(&proxy).await.build().unwrap();
    eventually(LIMIT, || async { cache.exists("k").await.is_ok() }).await;
    proxy.stall().await;
    let loads = (0..4).map(|_| cache.get_or_load("k", once(), load));
    assert!(
        join_all(loads)
            .await
            .into_iter()
            .all(|it| *it.unwrap() == 1)
    );
}
