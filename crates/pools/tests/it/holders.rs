//! Who holds what, and for how long.

use std::{panic::Location, time::Duration};

use ruleiq_pools::PostgresConfig;
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{TestDatabase, eventually};

use crate::{
    fixture::{PATIENCE, manager, single},
    log::Log,
};

#[tokio::test]
async fn what_is_held_is_told_with_its_line_and_route() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    assert!(pools.held().is_empty());

    let scope = Scope::builder().route("/orders/{id}").build();
    let (session, line) = scope
        .run(async { (pools.session().await.unwrap(), Location::caller().line()) })
        .await;
    let held = pools.held();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].route.as_deref(), Some("/orders/{id}"));
    assert!(held[0].call_site.file().ends_with("holders.rs"));
    assert!(held[0].call_site.line() <= line);
    assert!(held[0].transaction_for.is_none() && !held[0].is_running);

    session.batch_execute("BEGIN").await.unwrap();
    let held = &pools.held()[0];
    assert!(held.transaction_for.is_some_and(|it| it <= held.held_for));
    let sleep = session.query("SELECT pg_sleep(120)", &[]);
    tokio::select! {
        result = sleep => panic!("{result:?}"),
        () = eventually(PATIENCE, || async { pools.held()[0].is_running }) => {}
    }
    drop(session);
    assert!(pools.held().is_empty());
}

#[tokio::test]
async fn a_time_out_names_the_lines_that_hold_everything() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        timeout: Duration::from_millis(500),
        ..single(database.url())
    });
    let session = pools.session().await.unwrap();
    session.batch_execute("BEGIN").await.unwrap();
    let message = pools.session().await.unwrap_err().to_string();
    assert!(
        message.contains("1 by crates/pools/tests/it/holders.rs:"),
        "{message}"
    );
    assert!(message.contains("1 idle in a transaction"), "{message}");
}

#[tokio::test]
async fn what_is_held_for_long_is_told_of_once() {
    let log = Log::begin();
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        leak_after: Some(Duration::from_millis(100)),
        long_transaction: Some(Duration::from_millis(100)),
        ..single(database.url())
    });
    let leak = "a connection has been checked out for long: is it leaked?";
    let transaction = "a transaction has been open for long: it keeps its locks";

    let scope = Scope::builder().route("/orders/{id}").build();
    let session = scope.run(pools.session()).await.unwrap();
    eventually(PATIENCE, || async { log.count(leak) == 1 }).await;
    assert_eq!(log.count(transaction), 0);
    session.batch_execute("BEGIN").await.unwrap();
    eventually(PATIENCE, || async { log.count(transaction) == 1 }).await;
    // The next transaction is another one; it is the same checkout.
    session.batch_execute("ROLLBACK").await.unwrap();
    session.batch_execute("BEGIN").await.unwrap();
    eventually(PATIENCE, || async { log.count(transaction) == 2 }).await;
    assert_eq!(log.count(leak), 1);
    assert!(log.text().contains("/orders/{id}"), "{}", log.text());
    assert!(log.text().contains("holders.rs"), "{}", log.text());

    session.batch_execute("ROLLBACK").await.unwrap();
    drop(session);
    assert_eq!(
        log.count("a connection that was checked out for long has come back"),
        1
    );
}

#[tokio::test]
async fn a_deadline_tells_as_much_as_a_time_out() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let _held = pools.session().await.unwrap();
    let scope = Scope::builder()
        .deadline(tokio::time::Instant::now() + Duration::from_millis(200))
        .build();
    let error = scope.run(pools.session()).await.unwrap_err();
    let standing = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        standing.contains("1 of 1 are in use (1 by crates/pools"),
        "{standing}"
    );
}
