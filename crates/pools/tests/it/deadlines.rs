use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use ruleiq_pools::Session;
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::TestDatabase;
use tokio::time::Instant;

use crate::fixture::{
    Place, anywhere, backend, config, every_place_is_usable, manager, single, until_not_running,
};

anywhere!(
    a_passed_deadline_sends_nothing,
    a_commit_that_comes_too_late_rolls_back,
);

fn scope_of(limit: Duration) -> Scope {
    Scope::builder().deadline(Instant::now() + limit).build()
}

async fn sleep_in(scope: Scope, session: &Session) -> Error {
    let sleeping = session.query("SELECT pg_sleep(120)", &[]);
    scope.run(sleeping).await.unwrap_err()
}

#[tokio::test]
async fn a_deadline_cancels_the_statement_on_the_server() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let first = backend(&session).await;

    let error = sleep_in(scope_of(Duration::from_millis(100)), &session).await;

    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    // While the session is still held: a handler that tidies up does not keep the server busy.
    until_not_running(&database, "pg_sleep(120)").await;
    let error = session.query("SELECT 1", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unusable), "{error:?}");
    drop(session);
    assert_ne!(first, backend(&pools.session().await.unwrap()).await);
}

async fn a_passed_deadline_sends_nothing(place: Place) {
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    session
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();
    let first = backend(&session).await;

    let scope = scope_of(Duration::ZERO);
    let insert = session.execute("INSERT INTO t VALUES (1)", &[]);
    let error = scope.clone().run(insert).await.unwrap_err();
    assert!(matches!(error, Error::DeadlinePassed), "{error:?}");
    let error = scope
        .run(async { session.transaction().await.map(drop) })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::DeadlinePassed), "{error:?}");

    let count: i64 = session
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
    drop(session);
    assert_eq!(first, backend(&pools.session().await.unwrap()).await);
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline() {
    let database = TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    let session = pools.session().await.unwrap();
    let error = scope_of(Duration::from_millis(200))
        .run(async {
            // More than fits into any buffer comes first, so that the stream begins.
            let sql = "SELECT repeat('x', 100000), CASE n WHEN 100 THEN pg_sleep(121) END
                       FROM generate_series(1, 100) AS n";
            let rows = session.stream(sql, &[]).await.unwrap();
            pin_mut!(rows);
            loop {
                match rows.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("the stream ended"),
                }
            }
        })
        .await;
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    until_not_running(&database, "pg_sleep(121)").await;
    drop(session);
    every_place_is_usable(&pools).await;
}

async fn a_commit_that_comes_too_late_rolls_back(place: Place) {
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    session
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();

    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    let error = scope_of(Duration::ZERO)
        .run(transaction.commit())
        .await
        .unwrap_err();

    assert!(matches!(error, Error::DeadlinePassed), "{error:?}");
    let count: i64 = session
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn the_server_has_a_limit_of_its_own() {
    let database = TestDatabase::empty().await;
    let mut settings = single(database.url());
    settings.statement_timeout = Some(Duration::from_millis(100));
    let pools = manager(settings);
    let session = pools.session().await.unwrap();
    let error = session
        .query("SELECT pg_sleep(120)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "57014");

    let mut settings = single(database.url());
    settings.statement_timeout = None;
    let pools = manager(settings);
    let session = pools.session().await.unwrap();
    let row = session
        .query_one("SHOW statement_timeout", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "0");
}
