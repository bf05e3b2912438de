//! Copying in: all or nothing.

use bytes::Bytes;
use futures_util::stream;
use ruleiq_query::{Queries, Read};
use ruleiq_test_support::TestDatabase;
use tokio_postgres::{Client, error::SqlState};

const COPY: &str = "COPY t (x) FROM STDIN";

async fn with_table(database: &TestDatabase) -> Client {
    let client = database.client().await;
    Queries::batch_execute(&client, "CREATE TABLE t (x integer)")
        .await
        .unwrap();
    client
}

async fn count(client: &Client) -> i64 {
    let row = Read::query_one(client, "SELECT count(*) FROM t", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn rows_are_stored_wherever_chunks_end() {
    let database = TestDatabase::empty().await;
    let client = with_table(&database).await;
    let text: String = (0..5_000).map(|n| format!("{n}\n")).collect();
    let chunks: Vec<Bytes> = text
        .as_bytes()
        .chunks(7)
        .map(Bytes::copy_from_slice)
        .collect();

    let stored = Queries::copy_in(&client, COPY, stream::iter(chunks));

    assert_eq!(stored.await.unwrap(), 5_000);
    let sum = Read::query_one(&client, "SELECT sum(x) FROM t", &[]);
    assert_eq!(sum.await.unwrap().get::<_, i64>(0), 5_000 * 4_999 / 2);
    let nothing = Queries::copy_in(&client, COPY, stream::empty());
    assert_eq!(nothing.await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_stored_unless_all_is() {
    let database = TestDatabase::empty().await;
    let client = with_table(&database).await;
    let good: String = (0..50_000).map(|n| format!("{n}\n")).collect();
    let chunks = [good, "not a number\n".to_owned(), "1\n".to_owned()].map(Bytes::from);

    let error = Queries::copy_in(&client, COPY, stream::iter(chunks)).await;

    let error = error.unwrap_err();
    assert_eq!(
        error.sql_state(),
        Some(&SqlState::INVALID_TEXT_REPRESENTATION)
    );
    assert_eq!(count(&client).await, 0);
}

#[tokio::test]
async fn nothing_is_stored_when_copying_is_given_up() {
    let database = TestDatabase::empty().await;
    let client = with_table(&database).await;
    let endless = stream::unfold(0, |chunk| async move {
        // The future is dropped at a moment when rows have been sent.
        (chunk < 100).then_some(())?;
        Some((Bytes::from("1\n".repeat(10_000)), chunk + 1))
    });
    let stuck = futures_util::StreamExt::chain(endless, stream::pending());
    let limit = std::time::Duration::from_millis(500);

    let copied = tokio::time::timeout(limit, Queries::copy_in(&client, COPY, stuck)).await;

    assert!(copied.is_err());
    assert_eq!(count(&client).await, 0);
}

#[tokio::test]
async fn rows_are_copied_inside_a_transaction() {
    let database = TestDatabase::empty().await;
    let mut client = with_table(&database).await;
    let transaction = client.transaction().await.unwrap();
    let chunks = stream::iter([Bytes::from("1\n2\n")]);
    assert_eq!(
        Queries::copy_in(&transaction, COPY, chunks).await.unwrap(),
        2
    );
    transaction.rollback().await.unwrap();
    assert_eq!(count(&client).await, 0);
}
