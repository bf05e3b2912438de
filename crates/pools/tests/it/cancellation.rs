use bytes::Bytes;
use futures_util::{StreamExt as _, pin_mut, stream};
use ruleiq_pools::PoolManager;
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_test_support::{TestDatabase, eventually};

use crate::fixture::{
    PATIENCE, Place, anywhere, backend, every_place_answers, is_running, manager, poll_times,
    single, until_not_running, until_running,
};

anywhere!(
    whatever_is_dropped_half_way_every_place_stays_usable,
    a_copy_that_was_given_up_stores_nothing,
    a_copy_that_fails_costs_its_connection_and_nobody_an_answer,
);

async fn until_seen(place: &Place, text: &str) {
    let connecting = tokio_postgres::connect(&place.owner_url, tokio_postgres::NoTls);
    let (observer, connection) = connecting.await.unwrap();
    tokio::spawn(connection);
    eventually(PATIENCE, || is_running(&observer, text)).await;
}

#[tokio::test]
async fn a_busy_connection_is_never_handed_on() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let first = backend(&session).await;
    tokio::select! {
        result = session.query("SELECT pg_sleep(120)", &[]) => panic!("{result:?}"),
        () = until_running(&database, "pg_sleep(120)") => {}
    }
    drop(session);

    // It would answer when the other is done.
    let next = tokio::time::timeout(PATIENCE, async {
        backend(&pools.session().await.unwrap()).await
    });
    assert_ne!(next.await.expect("a busy connection was handed on"), first);
    until_not_running(&database, "pg_sleep(120)").await;
}

/// What one caller does, to be dropped after any number of polls.
async fn step(pools: &PoolManager, kind: usize) {
    let mut session = pools.session().await.unwrap();
    match kind {
        0 => drop(
            session
                .query("SELECT $1::int, pg_sleep(0.01)", &[&1])
                .await
                .unwrap(),
        ),
        1 => drop(
            session
                .execute("INSERT INTO t VALUES (1)", &[])
                .await
                .unwrap(),
        ),
        2 => session.batch_execute("SELECT 1; SELECT 2").await.unwrap(),
        3 => {
            let transaction = session.transaction().await.unwrap();
            transaction
                .execute("INSERT INTO t VALUES (1)", &[])
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        4 => {
            let transaction = session.transaction().await.unwrap();
            transaction.query("SELECT 1", &[]).await.unwrap();
            transaction.rollback().await.unwrap();
        }
        5 => {
            let chunks = (0..3).map(|n| Bytes::from(format!("{n}\n")));
            session
                .copy_in("COPY t FROM STDIN", stream::iter(chunks))
                .await
                .unwrap();
        }
        6 => {
            let rows = session
                .stream("SELECT generate_series(1, 50)", &[])
                .await
                .unwrap();
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                row.unwrap();
            }
        }
        _ => drop(session.prepare("SELECT 1").await.unwrap()),
    }
}

async fn whatever_is_dropped_half_way_every_place_stays_usable(place: Place) {
    place.prepare("CREATE TABLE t (n int)").await;
    let pools = place.pools();
    for kind in 0..8 {
        for polls in 0.. {
            let finished = poll_times(polls, step(&pools, kind)).await.is_some();
            every_place_answers(&pools).await;
            if finished {
                break;
            }
        }
    }
}

async fn a_copy_that_was_given_up_stores_nothing(place: Place) {
    let pools = place.single();
    let session = pools.session().await.unwrap();
    session
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();
    let chunks = stream::iter([Bytes::from_static(b"1\n")]).chain(stream::pending());
    tokio::select! {
        result = session.copy_in("COPY t FROM STDIN", chunks) => panic!("{result:?}"),
        () = until_seen(&place, "COPY t") => {}
    }
    drop(session);
    let session = pools.session().await.unwrap();
    let count: i64 = session
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
}

async fn a_copy_that_fails_costs_its_connection_and_nobody_an_answer(place: Place) {
    place
        .prepare(
            "CREATE TABLE t (n int);
             CREATE VIEW v AS SELECT 1 AS n;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$BEGIN RAISE EXCEPTION 'no'; END$$;
             CREATE TABLE guarded (n int);
             CREATE TRIGGER guard BEFORE INSERT ON guarded EXECUTE FUNCTION refuse()",
        )
        .await;
    let pools = place.single();
    for target in ["missing", "v", "guarded", "t"] {
        let session = pools.session().await.unwrap();
        let chunks = stream::iter([Bytes::from_static(b"1\nnonsense\n")]);
        let copy = format!("COPY {target} FROM STDIN");
        let error = session.copy_in(&copy, chunks).await.unwrap_err();
        assert!(error.as_db_error().is_some(), "{target}: {error:?}");
        let error = session.batch_execute("SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::Unusable), "{target}: {error:?}");
        drop(session);
        // Whoever is next has its own answers.
        let session = pools.session().await.unwrap();
        session.batch_execute("SELECT nonsense").await.unwrap_err();
        let row = session.query_one("SELECT 7", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7, "{target}");
        session.batch_execute("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn what_the_driver_left_behind_is_not_handed_on() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let first = backend(&session).await;
    // Behind the pool's back, and given up.
    tokio::select! {
        result = session.driver().batch_execute("SELECT pg_sleep(120)") => panic!("{result:?}"),
        () = until_running(&database, "pg_sleep(120)") => {}
    }
    drop(session);
    assert_ne!(backend(&pools.session().await.unwrap()).await, first);
    until_not_running(&database, "pg_sleep(120)").await;
}
