//! Sessions: open transactions, and who waits for whom.

use std::time::Duration;

use ruleiq_db_optimizer::{HealthLimits, HealthReport};
use ruleiq_test_support::{TestDatabase, eventually};
use tokio_postgres::Client;

use super::{find, health, health_by, subjects};
use crate::database;

const PATIENCE: Duration = Duration::from_secs(30);

fn at_once() -> HealthLimits {
    HealthLimits {
        long_transaction: Duration::ZERO,
        idle_in_transaction: Duration::ZERO,
        lock_wait: Duration::ZERO,
        ..HealthLimits::default()
    }
}

async fn process(client: &Client) -> String {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    format!("process {}", row.unwrap().get::<_, i32>(0))
}

async fn until(client: &Client, code: &str, is_there: bool) -> HealthReport {
    eventually(PATIENCE, || async {
        is_there != subjects(&health_by(client, &at_once()).await, code).is_empty()
    })
    .await;
    health_by(client, &at_once()).await
}

#[tokio::test]
async fn an_idle_transaction_is_told_of_without_its_constants() {
    let (database, client) = database("CREATE TABLE t (x text)").await;
    let other = database.client().await;
    let process = process(&other).await;
    other
        .batch_execute("BEGIN; SELECT FROM t WHERE x = 'hunter2'")
        .await
        .unwrap();

    let report = until(&client, "idle_in_transaction", true).await;

    let found = find(&report, "idle_in_transaction", &process).unwrap();
    assert!(found.seen.contains("select from t where x = ?"), "{found}");
    assert!(!report.to_string().contains("hunter2"));
    assert!(
        found
            .sql
            .as_deref()
            .unwrap()
            .starts_with("SELECT pg_terminate_backend(")
    );
    // By the default limits a moment is no offence.
    assert_eq!(
        subjects(&health(&client).await, "idle_in_transaction"),
        [""; 0]
    );
    other.batch_execute("ROLLBACK").await.unwrap();
    until(&client, "idle_in_transaction", false).await;
}

#[tokio::test]
async fn a_statement_at_work_is_a_transaction_too() {
    let (database, client) = database("SELECT 1").await;
    let other = database.client().await;
    let process = process(&other).await;
    let cancel = other.cancel_token();
    let work = tokio::spawn(async move { other.batch_execute("SELECT pg_sleep(600)").await });

    let report = until(&client, "long_transaction", true).await;

    let found = find(&report, "long_transaction", &process).unwrap();
    assert!(found.seen.contains("select pg_sleep ( ? )"), "{found}");
    cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    assert!(work.await.unwrap().is_err());
    until(&client, "long_transaction", false).await;
}

#[tokio::test]
async fn the_session_that_others_wait_for_is_named() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client
        .batch_execute("CREATE TABLE \"Held\" (x int)")
        .await
        .unwrap();
    assert_eq!(
        subjects(&health_by(&client, &at_once()).await, "blocking"),
        [""; 0]
    );
    let holder = database.client().await;
    let process = process(&holder).await;
    holder
        .batch_execute("BEGIN; LOCK TABLE \"Held\"")
        .await
        .unwrap();
    let waiting: Vec<_> = [database.client().await, database.client().await]
        .into_iter()
        .map(|it| tokio::spawn(async move { it.batch_execute("TABLE \"Held\"").await }))
        .collect();
    eventually(PATIENCE, || async {
        let report = health_by(&client, &at_once()).await;
        let found = find(&report, "blocking", &process);
        found.is_some_and(|it| it.numbers["waiting_sessions"] == 2.0)
    })
    .await;

    let report = health_by(&client, &at_once()).await;

    let found = find(&report, "blocking", &process).unwrap();
    assert!(found.seen.contains(r#" on public."Held","#), "{found}");
    assert!(found.seen.contains("it is idle in transaction"), "{found}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    for it in waiting {
        it.await.unwrap().unwrap();
    }
    until(&client, "blocking", false).await;
}
