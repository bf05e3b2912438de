use std::{
    num::NonZeroUsize,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use ruleiq_pools::{CheckoutError, PoolManager, PostgresConfig, Reader, ReaderConfig, ReaderStats};
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{FaultProxy, TestDatabase, eventually};
use tokio::{
    runtime::{self, Runtime},
    time::Instant,
};
use tokio_postgres::error::SqlState;

use crate::fixture::{
    PATIENCE, PLACES, Place, anywhere, config, connections, manager, poll_times, until_running,
};

const NUMBER: &str = "SELECT $1::int8 AS n";
const SLEEP: &str = "SELECT pg_sleep($1::float8)";
/// Statements that a connection of its own must have run before they may share one.
const UNTIL_PROVEN: u64 = 2;

/// A tiny machine is busy; what is quick there may take a while.
fn patient(url: &str) -> PostgresConfig {
    PostgresConfig {
        reader: ReaderConfig {
            slow_after: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            ..ReaderConfig::default()
        },
        ..config(url)
    }
}

fn stats(pools: &PoolManager) -> ReaderStats {
    pools.stats().reader.unwrap()
}

async fn number(reader: &Reader, n: i64) -> Result<i64, Error> {
    Ok(reader.query_one(NUMBER, &[&n]).await?.get("n"))
}

/// Reads until reads are shared.
async fn warm(pools: &PoolManager) {
    let reader = pools.reader();
    eventually(PATIENCE, || async {
        number(&reader, 1).await.is_ok_and(|n| n == 1) && stats(pools).shared > 0
    })
    .await;
}

/// Such as actix gives each of its workers.
fn runtime_of_one_thread() -> Runtime {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn code(error: &Error) -> Option<&str> {
    error.sql_state().map(SqlState::code)
}

#[tokio::test]
async fn a_statement_that_is_known_to_be_quick_shares_a_connection() {
    let database = TestDatabase::empty().await;
    let pools = manager(patient(database.url()));
    warm(&pools).await;
    let before = stats(&pools);
    assert!(
        before.unproven + before.unconnected >= UNTIL_PROVEN,
        "{before:?}"
    );

    let reader = pools.reader();
    let reads = (0..500).map(|n| number(&reader, n));
    for (n, read) in join_all(reads).await.into_iter().enumerate() {
        assert_eq!(read.unwrap(), i64::try_from(n).unwrap());
    }

    let after = stats(&pools);
    let max_in_flight = ReaderConfig::default().max_in_flight.get() as u64;
    assert!(after.shared - before.shared >= max_in_flight, "{after:?}");
    assert_eq!(
        after.shared - before.shared + after.full - before.full,
        500,
        "{after:?}"
    );
    assert_eq!((after.again, after.stalled), (0, 0), "{after:?}");
}

#[tokio::test]
async fn there_are_no_more_connections_than_may_be() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        reader: ReaderConfig {
            connections: 1,
            threads: NonZeroUsize::new(2),
            ..patient("").reader
        },
        ..patient(database.url())
    });
    warm(&pools).await;
    let observer = database.client().await;
    // Five threads, of whom two may have connections of their own, and the rest share. None ends before all
    // are done, so that no connection is on its way out while another one takes its place.
    let all = Arc::new(Barrier::new(5));
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let (reader, all) = (pools.reader(), Arc::clone(&all));
            thread::spawn(move || {
                let runtime = runtime_of_one_thread();
                runtime.block_on(async {
                    for n in 0..200 {
                        assert_eq!(number(&reader, n).await.unwrap(), n);
                    }
                });
                all.wait();
            })
        })
        .collect();
    while threads.iter().any(|it| !it.is_finished()) {
        assert!(connections(&observer).await <= (PLACES + 3).try_into().unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for thread in threads {
        thread.join().unwrap();
    }
    // What the others had has ended with them.
    eventually(PATIENCE, || async { stats(&pools).connections <= 2 }).await;
    assert!(stats(&pools).shared > 5 * 100, "{:?}", stats(&pools));
}

#[tokio::test]
async fn a_runtime_that_ends_takes_nothing_from_others() {
    let database = TestDatabase::empty().await;
    let pools = manager(patient(database.url()));
    warm(&pools).await;
    let (reader, again) = (pools.reader(), pools.clone());
    let other = thread::spawn(move || {
        // One after the other, on the same thread.
        for _ in 0..3 {
            let runtime = runtime_of_one_thread();
            runtime.block_on(warm(&again));
            // With reads under way.
            let reader = again.reader();
            runtime.spawn(async move { number(&reader, 1).await });
            drop(runtime);
        }
    });
    let mut n = 0;
    while !other.is_finished() {
        n += 1;
        assert_eq!(number(&reader, n).await.unwrap(), n);
    }
    other.join().unwrap();
}

anywhere! {
    what_writes_or_stays_is_refused,
    a_prepared_statement_runs_wherever_it_is_read,
    a_deadline_ends_a_read,
    a_read_is_logged_once,
}

async fn what_writes_or_stays_is_refused(place: Place) {
    place
        .prepare("CREATE TABLE visits (n int8); CREATE SEQUENCE numbers")
        .await;
    let pools = place.pools();
    let reader = pools.reader();
    for sql in [
        "INSERT INTO visits VALUES (1) RETURNING n",
        "SET work_mem = '1MB'",
        "BEGIN",
        "SELECT set_config('work_mem', '1MB', false)",
        "SELECT pg_advisory_lock(1)",
    ] {
        let error = reader.query(sql, &[]).await.unwrap_err();
        assert!(matches!(error, Error::NotARead { .. }), "{sql}: {error:?}");
    }
    // Before it is known how long they take, and after.
    for _ in 0..UNTIL_PROVEN + 2 {
        for sql in [
            "WITH new AS (INSERT INTO visits VALUES (1) RETURNING n) SELECT n FROM new",
            "SELECT nextval('numbers')",
            "SELECT n FROM visits FOR UPDATE",
        ] {
            let error = reader.query(sql, &[]).await.unwrap_err();
            assert_eq!(code(&error), Some("25006"), "{sql}: {error:?}");
        }
        let count = reader.query_one("SELECT count(*) FROM visits", &[]).await;
        assert_eq!(count.unwrap().get::<_, i64>(0), 0);
    }
    // The connections that were checked out for them may write as before.
    let session = pools.session().await.unwrap();
    session
        .execute("INSERT INTO visits VALUES (1)", &[])
        .await
        .unwrap();
}

async fn a_prepared_statement_runs_wherever_it_is_read(place: Place) {
    let pools = place.pools();
    let reader = pools.reader();
    let statement = reader.prepare("SELECT $1::int8 + 1").await.unwrap();
    assert_eq!(statement.params().len(), 1);
    for n in 0..20_i64 {
        let row = reader.query_one(&statement, &[&n]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), n + 1);
        let session = pools.session().await.unwrap();
        let row = session.query_one(&statement, &[&n]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), n + 1);
    }
    let error = reader.prepare("SELECT nonsense").await.unwrap_err();
    assert_eq!(code(&error), Some("42703"), "{error:?}");
}

async fn a_deadline_ends_a_read(place: Place) {
    let pools = place.pools();
    let reader = pools.reader();
    for _ in 0..UNTIL_PROVEN + 2 {
        reader.query(SLEEP, &[&0.0]).await.unwrap();
    }
    let soon = Instant::now() + Duration::from_millis(100);
    let scope = Scope::builder().deadline(soon).build();
    let read = scope.clone().run(reader.query(SLEEP, &[&60.0]));
    let error = read.await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    let error = scope.run(reader.query(SLEEP, &[&0.0])).await.unwrap_err();
    assert!(matches!(error, Error::DeadlinePassed), "{error:?}");
    assert_eq!(number(&reader, 5).await.unwrap(), 5);
}

async fn a_read_is_logged_once(place: Place) {
    let pools = place.pools();
    let reader = pools.reader();
    for _ in 0..UNTIL_PROVEN + 5 {
        let scope = Scope::builder().build();
        let (line, read) = (line!(), reader.query("SELECT 1 AS one", &[]));
        scope.clone().run(read).await.unwrap();
        let summary = scope.summary();
        let logged = summary.statements.distinct().iter().collect::<Vec<_>>();
        assert_eq!(logged.len(), 1, "{logged:?}");
        assert_eq!((logged[0].count, logged[0].rows), (1, 1), "{logged:?}");
        assert_eq!(logged[0].call_site.line(), line);
    }
}

#[tokio::test]
async fn what_is_slow_gets_a_connection_of_its_own() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        reader: ReaderConfig {
            // Of one of them, everybody is behind the other.
            connections: 1,
            statement_timeout: Duration::from_millis(250),
            ..patient("").reader
        },
        ..patient(database.url())
    });
    let reader = pools.reader();
    warm(&pools).await;
    for _ in 0..UNTIL_PROVEN + 2 {
        reader.query(SLEEP, &[&0.0]).await.unwrap();
    }
    let before = stats(&pools);
    assert_eq!((before.slow, before.slow_statements), (0, 0));

    // It is sent like the others, stopped by the server, and run again where nobody is behind it.
    let reads = (0..10).map(|n| number(&reader, n));
    let (slow, quick) = tokio::join!(reader.query(SLEEP, &[&1.0]), join_all(reads));
    slow.unwrap();
    assert!(quick.into_iter().all(|it| it.is_ok()));
    let after = stats(&pools);
    assert_eq!((after.again, after.slow_statements), (1, 1), "{after:?}");

    // From now on it goes there at once.
    reader.query(SLEEP, &[&0.5]).await.unwrap();
    let last = stats(&pools);
    assert_eq!((last.again, last.slow), (1, after.slow + 1), "{last:?}");
}

#[tokio::test]
async fn a_long_answer_gets_a_connection_of_its_own() {
    let database = TestDatabase::empty().await;
    let pools = manager(patient(database.url()));
    let reader = pools.reader();
    warm(&pools).await;
    let shared = stats(&pools).shared;
    for _ in 0..UNTIL_PROVEN + 3 {
        let rows = reader.query("SELECT repeat('x', 1000) FROM generate_series(1, 100)", &[]);
        assert_eq!(rows.await.unwrap().len(), 100);
    }
    assert_eq!(stats(&pools).shared, shared);
}

#[tokio::test]
async fn what_a_schema_change_has_spoiled_is_run_again() {
    let database = TestDatabase::empty().await;
    let owner = database.client().await;
    owner
        .batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let pools = manager(patient(database.url()));
    let reader = pools.reader();
    warm(&pools).await;
    for n in 0..20 {
        for _ in 0..UNTIL_PROVEN + 2 {
            let row = reader.query_one("SELECT * FROM t", &[]).await.unwrap();
            assert_eq!(row.len(), n + 1);
        }
        let change = format!("ALTER TABLE t ADD COLUMN b{n} int");
        owner.batch_execute(&change).await.unwrap();
    }
    assert!(stats(&pools).again > 0);
}

#[tokio::test]
async fn a_server_that_ends_connections_costs_no_read() {
    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    let pools = manager(patient(database.url()));
    let reader = pools.reader();
    warm(&pools).await;
    for _ in 0..UNTIL_PROVEN + 2 {
        reader.query(SLEEP, &[&0.0]).await.unwrap();
    }
    // One that runs, alone on its connection, so that the server says what became of it.
    let running = tokio::spawn({
        let reader = reader.clone();
        async move { reader.query(SLEEP, &[&0.7]).await }
    });
    until_running(&database, "pg_sleep").await;
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'ruleiq/%'";
    observer.query_one(terminate, &[]).await.unwrap();
    running.await.unwrap().unwrap();
    assert!(stats(&pools).again > 0, "{:?}", stats(&pools));
    for n in 0..50 {
        assert_eq!(number(&reader, n).await.unwrap(), n);
    }
    warm(&pools).await;
}

#[tokio::test]
async fn a_cut_fails_what_was_under_way_and_nothing_else() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(patient(&proxy.url(database.url())));
    let reader = pools.reader();
    warm(&pools).await;
    for _ in 0..UNTIL_PROVEN + 2 {
        reader.query(SLEEP, &[&0.0]).await.unwrap();
    }
    let before = stats(&pools);
    let running = tokio::spawn({
        let reader = reader.clone();
        async move { reader.query(SLEEP, &[&30.0]).await }
    });
    until_running(&database, "pg_sleep").await;
    proxy.cut().await;
    let error = running.await.unwrap().unwrap_err();
    assert!(error.is_connection_lost(), "{error:?}");
    for n in 0..50 {
        assert_eq!(number(&reader, n).await.unwrap(), n);
    }
    warm(&pools).await;
    eventually(PATIENCE, || async {
        number(&reader, 1).await.is_ok() && stats(&pools).shared > before.shared + 20
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_to_answer_holds_nobody_for_long() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(PostgresConfig {
        reader: ReaderConfig {
            statement_timeout: Duration::from_millis(100),
            ..patient("").reader
        },
        ..patient(&proxy.url(database.url()))
    });
    let reader = pools.reader();
    warm(&pools).await;
    proxy.stall().await;
    // The pool's own time-outs are longer than this test may take.
    let error = number(&reader, 1).await.unwrap_err();
    assert!(error.is_connection_lost(), "{error:?}");
    assert!(stats(&pools).stalled > 0, "{:?}", stats(&pools));
    proxy.heal().await;
    warm(&pools).await;
}

#[tokio::test]
async fn a_read_that_is_dropped_takes_nothing_along() {
    let database = TestDatabase::empty().await;
    let pools = manager(patient(database.url()));
    let reader = &pools.reader();
    warm(&pools).await;
    for polls in 0..6 {
        for n in 0..50 {
            poll_times(polls, number(reader, -n)).await;
            assert_eq!(number(reader, n).await.unwrap(), n);
        }
        let reads = (0..50).map(|n| async move { (n, number(reader, n).await) });
        let dropped = (0..50).map(|n| poll_times(polls, number(reader, -n)));
        let (reads, _) = tokio::join!(join_all(reads), join_all(dropped));
        for (n, read) in reads {
            assert_eq!(read.unwrap(), n);
        }
    }
    eventually(PATIENCE, || async { stats(&pools).in_flight == 0 }).await;
}

#[tokio::test]
async fn without_shared_connections_a_reader_checks_out() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        reader: ReaderConfig {
            connections: 0,
            ..ReaderConfig::default()
        },
        ..config(database.url())
    });
    let reader = pools.reader();
    for n in 0..10 {
        assert_eq!(number(&reader, n).await.unwrap(), n);
    }
    let stats = stats(&pools);
    assert_eq!((stats.unconnected, stats.max_connections), (10, 0));
    assert_eq!((stats.shared, stats.connections), (0, 0));
}

#[tokio::test]
async fn without_a_database_or_after_the_end_there_is_no_connection() {
    let reader = PoolManager::builder().build().unwrap().reader();
    let error = number(&reader, 1).await.unwrap_err();
    let Error::NoConnection(source) = &error else {
        panic!("{error:?}");
    };
    let source = source.downcast_ref::<CheckoutError>();
    assert!(
        matches!(source, Some(CheckoutError::NotConfigured)),
        "{error:?}"
    );

    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    let pools = manager(patient(database.url()));
    warm(&pools).await;
    pools.close().await;
    let error = number(&pools.reader(), 1).await.unwrap_err();
    let Error::NoConnection(source) = &error else {
        panic!("{error:?}");
    };
    let source = source.downcast_ref::<CheckoutError>();
    assert!(matches!(source, Some(CheckoutError::Closed)), "{error:?}");
    eventually(PATIENCE, || async { connections(&observer).await == 0 }).await;
}

#[tokio::test]
async fn connections_end_with_the_manager() {
    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    let pools = manager(patient(database.url()));
    warm(&pools).await;
    assert!(connections(&observer).await > 0);
    drop(pools);
    eventually(PATIENCE, || async { connections(&observer).await == 0 }).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told() {
    let pools = manager(config("postgres://app:hunter2@127.0.0.1:1/app"));
    let error = number(&pools.reader(), 1).await.unwrap_err();
    let Error::NoConnection(source) = &error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("127.0.0.1:1"), "{source}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_several_threads_get_their_own_answers() {
    let database = TestDatabase::empty().await;
    let pools = Arc::new(manager(patient(database.url())));
    let tasks: Vec<_> = (0..50)
        .map(|task| {
            let reader = pools.reader();
            tokio::spawn(async move {
                for n in task * 1_000..task * 1_000 + 100 {
                    assert_eq!(number(&reader, n).await.unwrap(), n);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = stats(&pools);
    assert!(stats.shared > 2_500, "{stats:?}");
}

#[test]
fn the_end_of_the_pools_runtime_is_told_and_holds_nobody() {
    let multi_thread = || {
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let first = multi_thread();
    let url = first.block_on(async { TestDatabase::empty().await });
    let pools = first.block_on(async {
        manager(PostgresConfig {
            reader: ReaderConfig {
                threads: NonZeroUsize::new(1),
                ..patient("").reader
            },
            ..patient(url.url())
        })
    });
    // This thread has the lane of its own that there is; the second one has none.
    first.block_on(warm(&pools));
    drop(first);
    let other = thread::spawn(move || {
        let second = multi_thread();
        second.block_on(async {
            for _ in 0..3 {
                let error = number(&pools.reader(), 1).await.unwrap_err();
                assert!(matches!(error, Error::NoConnection(_)), "{error:?}");
            }
        });
    });
    other.join().unwrap();
}
