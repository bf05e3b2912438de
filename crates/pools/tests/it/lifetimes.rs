//! How long connections stay: beyond the size, and when they are old.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join_all, try_join_all};
use ruleiq_pools::{PoolManager, PostgresConfig};
use ruleiq_test_support::{TestDatabase, eventually};

use crate::fixture::{
    MAX_OVERFLOW, PATIENCE, PLACES, SIZE, backend, config, connections, every_place_is_usable,
    manager, poll_times, stats,
};

/// The server's processes behind all connections at once.
async fn all_backends(pools: &PoolManager) -> BTreeSet<i32> {
    let sessions = try_join_all((0..PLACES).map(|_| pools.session())).await;
    let sessions = sessions.unwrap();
    join_all(sessions.iter().map(backend))
        .await
        .into_iter()
        .collect()
}

#[tokio::test]
async fn overflow_lingers_for_the_next_burst() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        overflow_linger: Duration::from_secs(3600),
        ..config(database.url())
    });
    let first = all_backends(&pools).await;
    for _ in 0..10 {
        assert_eq!(all_backends(&pools).await, first);
    }
    assert_eq!(stats(&pools).checked_in, PLACES);
}

#[tokio::test]
async fn overflow_that_nobody_uses_is_closed() {
    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    let pools = manager(config(database.url()));
    all_backends(&pools).await;
    eventually(PATIENCE, || async { stats(&pools).connections() == SIZE }).await;
    eventually(PATIENCE, || async { connections(&observer).await == 2 }).await;
    every_place_is_usable(&pools).await;
}

#[tokio::test]
async fn without_linger_overflow_is_closed_as_it_comes_back() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        overflow_linger: Duration::ZERO,
        ..config(database.url())
    });
    all_backends(&pools).await;
    assert_eq!(stats(&pools).checked_in, SIZE);
    eventually(PATIENCE, || async { stats(&pools).connections() == SIZE }).await;
}

#[tokio::test]
async fn a_login_that_nobody_waits_for_any_more_is_kept() {
    let database = TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    let given_up = tokio::time::timeout(Duration::ZERO, pools.session()).await;
    assert!(given_up.is_err());
    eventually(PATIENCE, || async { stats(&pools).checked_in == 1 }).await;
}

#[tokio::test]
async fn an_old_connection_is_in_use_until_there_is_another_in_its_place() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        recycle: Duration::from_millis(100),
        ..config(database.url())
    });
    // Whoever is alone never waits for a login but the first.
    let mut seen = BTreeSet::new();
    let renewed = async {
        seen.insert(backend(&pools.session().await.unwrap()).await);
        while seen.len() < 6 {
            let session = poll_times(1, pools.session()).await;
            let session = session.expect("nothing is ready").unwrap();
            seen.insert(backend(&session).await);
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    eventually(PATIENCE, || async { stats(&pools).connections() <= SIZE }).await;
}

#[tokio::test]
async fn a_pool_that_is_made_smaller_closes_what_is_idle_and_what_comes_back() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        overflow_linger: Duration::from_secs(3600),
        ..config(database.url())
    });
    let held = pools.session().await.unwrap();
    let others = try_join_all((1..PLACES).map(|_| pools.session()))
        .await
        .unwrap();
    pools.resize(1, 0).unwrap();
    assert_eq!((stats(&pools).size, stats(&pools).max_overflow), (1, 0));
    drop(others);
    eventually(PATIENCE, || async { stats(&pools).connections() == 1 }).await;

    // What is held is all there may be, until there may be more.
    let waiting = tokio::spawn(pools.session());
    eventually(PATIENCE, || async { stats(&pools).waiting == 1 }).await;
    pools.resize(1, 1).unwrap();
    drop(waiting.await.unwrap().unwrap());
    drop(held);
    pools.resize(SIZE, MAX_OVERFLOW).unwrap();
    every_place_is_usable(&pools).await;
}

#[tokio::test]
async fn a_size_that_cannot_be_is_refused() {
    let pools = manager(config("postgres://localhost/x"));
    for (size, max_overflow) in [(0, 1), (1_000, 1), (usize::MAX, 1)] {
        let error = pools.resize(size, max_overflow).unwrap_err();
        assert_eq!(error.built_for, 1_000);
    }
    // More than it has at first.
    pools.resize(1_000, 0).unwrap();
}
