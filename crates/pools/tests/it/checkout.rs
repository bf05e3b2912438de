use std::{num::NonZeroUsize, time::Duration};

use futures_util::future::join_all;
use ruleiq_pools::{CheckoutError, PostgresConfig, Verdict};
use ruleiq_query::Read as _;
use ruleiq_scope::Scope;
use ruleiq_test_support::{TestDatabase, eventually};
use tokio::time::Instant;

use crate::fixture::{
    MAX_OVERFLOW, PATIENCE, PLACES, SIZE, backend, config, connections, every_place_is_usable,
    manager, poll_times, single, stats,
};

#[tokio::test]
async fn building_opens_no_connection() {
    let database = TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    assert_eq!(connections(&database.client().await).await, 0);
    assert_eq!(stats(&pools).connections(), 0);
}

#[tokio::test]
async fn there_are_never_more_connections_than_size_and_overflow() {
    let database = TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    let observer = database.client().await;
    every_place_is_usable(&pools).await;
    let callers = (0..40).map(|_| {
        let pools = pools.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let session = pools.session().await.unwrap();
                session.query_one("SELECT 1", &[]).await.unwrap();
                let stats = stats(&pools);
                assert!(stats.connections() <= PLACES, "{stats:?}");
                assert_eq!(stats.overflow, stats.connections().saturating_sub(SIZE));
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    eventually(PATIENCE, || async { stats(&pools).connections() <= SIZE }).await;
    eventually(PATIENCE, || async {
        connections(&observer).await <= SIZE as i64
    })
    .await;
    every_place_is_usable(&pools).await;
}

#[tokio::test]
async fn a_dropped_checkout_gives_its_place_back() {
    let database = TestDatabase::empty().await;
    for held in [0, PLACES] {
        for polls in 0.. {
            // A pool that must connect, then one in which the caller must wait.
            let pools = manager(config(database.url()));
            let mut sessions = Vec::new();
            for _ in 0..held {
                sessions.push(pools.session().await.unwrap());
            }
            let checkout = poll_times(polls, pools.session());
            let release = async { sessions.clear() };
            let (finished, ()) = tokio::join!(checkout, release);
            let finished = finished.transpose().unwrap().is_some();
            every_place_is_usable(&pools).await;
            pools.close().await;
            if finished {
                break;
            }
        }
    }
}

#[tokio::test]
async fn callers_wait_no_longer_than_the_time_out() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        timeout: Duration::from_millis(50),
        ..single(database.url())
    });
    let _held = loop {
        // The first connection may take longer than that.
        if let Ok(session) = pools.session().await {
            break session;
        }
    };
    let error = pools.session().await.unwrap_err();
    assert!(
        matches!(
            error,
            CheckoutError::TimedOut {
                checked_out: 1,
                limit: 1,
                waiting: 0,
                ..
            }
        ),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(
        message.contains("1 of 1 are in use") && message.contains("max_overflow"),
        "{message}"
    );
}

#[tokio::test]
async fn a_caller_without_patience_has_what_is_there() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        timeout: Duration::ZERO,
        ..single(database.url())
    });
    let error = pools.session().await.unwrap_err();
    assert!(matches!(error, CheckoutError::TimedOut { .. }), "{error:?}");
    eventually(PATIENCE, || async { stats(&pools).checked_in == 1 }).await;
    pools.session().await.unwrap();
}

#[tokio::test]
async fn no_more_callers_wait_than_may() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        max_waiting: 1,
        ..single(database.url())
    });
    let held = pools.session().await.unwrap();
    let waiting = tokio::spawn(pools.session());
    eventually(PATIENCE, || async { stats(&pools).waiting == 1 }).await;

    let error = pools.session().await.unwrap_err();
    assert!(
        matches!(error, CheckoutError::TooManyWaiting { waiting: 1 }),
        "{error:?}"
    );

    drop(held);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_deadline_bounds_the_wait_which_the_scope_records() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let _held = pools.session().await.unwrap();

    let scope = Scope::builder()
        .deadline(Instant::now() + Duration::from_millis(50))
        .build();
    let error = scope.clone().run(pools.session()).await.unwrap_err();
    assert!(
        matches!(error, CheckoutError::DeadlinePassed { .. }),
        "{error:?}"
    );
    assert!(scope.times().queue > Duration::ZERO);
    assert_eq!(stats(&pools).waiting, 0);

    let error = scope.run(pools.session()).await.unwrap_err();
    assert!(
        matches!(error, CheckoutError::DeadlinePassed { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_stats_say_who_has_what() {
    let database = TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    let mut sessions = Vec::new();
    for _ in 0..PLACES {
        sessions.push(pools.session().await.unwrap());
    }
    let waiting = tokio::spawn(pools.session());
    eventually(PATIENCE, || async { stats(&pools).waiting == 1 }).await;
    let mut told = serde_json::to_value(pools.stats()).unwrap();
    let reader = told.as_object_mut().unwrap().remove("reader").unwrap();
    assert_eq!(
        (&reader["connections"], &reader["shared"]),
        (&0.into(), &0.into())
    );
    let database = told["database"].as_object_mut().unwrap();
    let oldest_wait = database.remove("oldest_wait_seconds").unwrap();
    assert!(oldest_wait.as_f64().unwrap() > 0.0, "{oldest_wait}");
    assert_eq!(
        told,
        serde_json::json!({ "statements": { "hits": 0, "kept": 0, "misses": 0 }, "database": {
            "size": SIZE, "max_overflow": MAX_OVERFLOW, "checked_out": PLACES, "checked_in": 0,
            "overflow": MAX_OVERFLOW, "waiting": 1, "connecting": 0, "closing": 0,
            "utilization": 1.0,
        }})
    );

    assert_eq!(stats(&pools).verdict(), Verdict::Exhausted);

    sessions.clear();
    drop(waiting.await.unwrap().unwrap());
    eventually(PATIENCE, || async {
        let stats = stats(&pools);
        (stats.checked_out, stats.checked_in, stats.closing) == (0, SIZE, 0)
    })
    .await;
    let stats = stats(&pools);
    assert_eq!(
        (stats.overflow, stats.waiting, stats.connections()),
        (0, 0, SIZE)
    );
    assert!(stats.utilization.abs() < f64::EPSILON);
    assert_eq!(stats.verdict(), Verdict::Ok);
}

#[tokio::test]
async fn an_old_connection_is_replaced() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        recycle: Duration::ZERO,
        ..single(database.url())
    });
    let first = backend(&pools.session().await.unwrap()).await;
    let second = backend(&pools.session().await.unwrap()).await;
    assert_ne!(first, second);

    let lasting = manager(single(database.url()));
    let first = backend(&lasting.session().await.unwrap()).await;
    assert_eq!(first, backend(&lasting.session().await.unwrap()).await);
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_is_replaced() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let first = backend(&pools.session().await.unwrap()).await;
    let observer = database.client().await;
    observer
        .execute("SELECT pg_terminate_backend($1)", &[&first])
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        let session = pools.session().await.unwrap();
        let row = session.query_one("SELECT pg_backend_pid()", &[]).await;
        row.is_ok_and(|row| row.get::<_, i32>(0) != first)
    })
    .await;
}

#[tokio::test]
async fn a_closed_pool_refuses_callers_and_closes_what_comes_back() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let waiting = tokio::spawn(pools.session());
    eventually(PATIENCE, || async { stats(&pools).waiting == 1 }).await;

    pools.close().await;

    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, CheckoutError::Closed), "{error:?}");
    let error = pools.session().await.unwrap_err();
    assert!(matches!(error, CheckoutError::Closed), "{error:?}");
    session.query_one("SELECT 1", &[]).await.unwrap();
    drop(session);
    eventually(PATIENCE, || async { stats(&pools).connections() == 0 }).await;
}

#[tokio::test]
async fn a_manager_without_a_database_says_so() {
    let pools = ruleiq_pools::PoolManager::builder().build().unwrap();
    let error = pools.session().await.unwrap_err();
    assert!(matches!(error, CheckoutError::NotConfigured), "{error:?}");
    assert!(pools.redis().is_none());
    assert_eq!(serde_json::to_string(&pools.stats()).unwrap(), "{}");
    assert_eq!(
        serde_json::to_string(&pools.health_check().await).unwrap(),
        "{}"
    );
}

#[tokio::test]
async fn a_pool_that_cannot_be_counted_is_refused() {
    let result = ruleiq_pools::PoolManager::builder()
        .postgres(PostgresConfig {
            size: NonZeroUsize::MAX,
            ..PostgresConfig::new("postgres://localhost/x")
        })
        .build();
    let message = result.unwrap_err().to_string();
    assert!(message.contains("max_overflow"), "{message}");
}

#[test]
fn without_a_runtime_a_manager_is_refused() {
    let result = ruleiq_pools::PoolManager::builder().build();
    assert!(result.unwrap_err().to_string().contains("runtime"));
}

#[test]
fn connections_outlive_the_runtime_of_the_caller_who_opened_them() {
    let runtime = |threads| {
        let mut builder = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.enable_all().build().unwrap()
    };
    let main = runtime(1);
    let database = main.block_on(TestDatabase::empty());
    let pools = {
        let _inside = main.enter();
        manager(single(database.url()))
    };
    let worker = runtime(0);
    let first = worker.block_on(async { backend(&pools.session().await.unwrap()).await });
    drop(worker);
    let second = main.block_on(async { backend(&pools.session().await.unwrap()).await });
    assert_eq!(first, second);
    main.block_on(async { drop(database) });
}

#[tokio::test]
async fn limits_without_end_are_never_reached() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        timeout: Duration::MAX,
        recycle: Duration::MAX,
        connect_timeout: Duration::MAX,
        statement_timeout: Some(Duration::MAX),
        ..single(database.url())
    });
    let session = pools.session().await.unwrap();
    let first = backend(&session).await;
    drop(session);
    let session = pools.session().await.unwrap();
    assert_eq!(backend(&session).await, first);
}
