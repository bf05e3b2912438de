use ruleiq_pools::Session;
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_scope::Scope;

use crate::fixture::{Place, anywhere, backend, is_outside_a_transaction, poll_times};

anywhere!(
    a_committed_transaction_lasts,
    a_dropped_transaction_is_rolled_back_and_its_connection_kept,
    a_beginning_that_was_dropped_takes_nothing_along,
    a_transaction_begun_by_hand_is_rolled_back,
    a_commit_after_a_failed_statement_is_an_error,
    a_commit_after_a_dropped_statement_that_failed_is_an_error,
    a_refused_commit_is_an_error_and_the_connection_goes_on,
    the_scope_knows_which_transactions_are_open,
);

const TABLE: &str = "CREATE TABLE t (n int PRIMARY KEY)";

async fn rows(session: &Session) -> i64 {
    let row = session
        .query_one("SELECT count(*) FROM t", &[])
        .await
        .unwrap();
    row.get(0)
}

async fn a_committed_transaction_lasts(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let first = backend(&session).await;
    drop(session);

    let session = pools.session().await.unwrap();
    assert_eq!((rows(&session).await, backend(&session).await), (1, first));
}

async fn a_dropped_transaction_is_rolled_back_and_its_connection_kept(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    drop(transaction);
    // The same session may go on,
    assert!(is_outside_a_transaction(&session).await.unwrap());
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (2)", &[])
        .await
        .unwrap();
    drop(transaction);
    let first = backend(&session).await;
    drop(session);
    // and so may the next one, on the same connection.
    let session = pools.session().await.unwrap();
    assert!(is_outside_a_transaction(&session).await.unwrap());
    assert_eq!((rows(&session).await, backend(&session).await), (0, first));
}

async fn a_beginning_that_was_dropped_takes_nothing_along(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    for polls in 1..6 {
        let mut session = pools.session().await.unwrap();
        let begun = poll_times(polls, session.transaction()).await;
        drop(begun);
        // What follows on the same session is no part of it.
        session
            .execute(
                "INSERT INTO t VALUES ($1)",
                &[&i32::try_from(polls).unwrap()],
            )
            .await
            .unwrap();
    }
    let session = pools.session().await.unwrap();
    assert_eq!(rows(&session).await, 5);
}

async fn a_transaction_begun_by_hand_is_rolled_back(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    for begin in [
        "BEGIN",
        "SELECT 1; begin; INSERT INTO t VALUES (1)",
        "/* x */ START TRANSACTION",
    ] {
        let session = pools.session().await.unwrap();
        session.batch_execute(begin).await.unwrap();
        drop(session);
        let session = pools.session().await.unwrap();
        assert!(is_outside_a_transaction(&session).await.unwrap(), "{begin}");
        assert_eq!(rows(&session).await, 0);
    }
    // As a prepared statement, by way of the driver, and failed.
    let session = pools.session().await.unwrap();
    session.execute("BEGIN", &[]).await.unwrap();
    drop(session);
    assert!(
        is_outside_a_transaction(&pools.session().await.unwrap())
            .await
            .unwrap()
    );
    let session = pools.session().await.unwrap();
    session.driver().batch_execute("BEGIN").await.unwrap();
    drop(session);
    assert!(
        is_outside_a_transaction(&pools.session().await.unwrap())
            .await
            .unwrap()
    );
    let session = pools.session().await.unwrap();
    session.batch_execute("BEGIN").await.unwrap();
    session.execute("SELECT 1/0", &[]).await.unwrap_err();
    drop(session);
    assert!(
        is_outside_a_transaction(&pools.session().await.unwrap())
            .await
            .unwrap()
    );
}

async fn a_commit_after_a_failed_statement_is_an_error(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap_err();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "25P02");
    assert!(is_outside_a_transaction(&session).await.unwrap());
    assert_eq!(rows(&session).await, 0);

    // One that was rescued commits.
    let transaction = session.transaction().await.unwrap();
    transaction.batch_execute("SAVEPOINT a").await.unwrap();
    transaction.execute("SELECT 1/0", &[]).await.unwrap_err();
    transaction
        .batch_execute("ROLLBACK TO a; INSERT INTO t VALUES (2)")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(rows(&session).await, 1);
    let transaction = session.transaction().await.unwrap();
    transaction.execute("SAVEPOINT a", &[]).await.unwrap();
    transaction.execute("SELECT 1/0", &[]).await.unwrap_err();
    transaction.execute("ROLLBACK TO a", &[]).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn a_commit_after_a_dropped_statement_that_failed_is_an_error(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (1)", &[])
        .await
        .unwrap();
    // Sent, and dropped before it was seen to fail.
    let failing = transaction.execute("SELECT no_such_column", &[]);
    assert!(poll_times(1, failing).await.is_none());
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "25P02");
    assert_eq!(rows(&session).await, 0);

    // One that did not fail is no harm.
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES (2)", &[])
        .await
        .unwrap();
    let fine = transaction.execute("SELECT n FROM t", &[]);
    assert!(poll_times(1, fine).await.is_none());
    transaction.commit().await.unwrap();
    assert_eq!(rows(&session).await, 1);
}

async fn a_refused_commit_is_an_error_and_the_connection_goes_on(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    session
        .batch_execute("CREATE TABLE u (n int REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
        .await
        .unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO u VALUES (7)", &[])
        .await
        .unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "23503");
    assert!(is_outside_a_transaction(&session).await.unwrap());
}

async fn the_scope_knows_which_transactions_are_open(place: Place) {
    place.prepare(TABLE).await;
    let pools = place.single();
    let mut session = pools.session().await.unwrap();
    let scope = Scope::builder().build();
    scope
        .clone()
        .run(async {
            let transaction = session.transaction().await.unwrap();
            assert_eq!(scope.open_transactions(), 1);
            transaction.commit().await.unwrap();
            assert_eq!(scope.open_transactions(), 0);
            let transaction = session.transaction().await.unwrap();
            assert_eq!(scope.open_transactions(), 1);
            drop(transaction);
            assert_eq!(scope.open_transactions(), 0);
        })
        .await;
}
