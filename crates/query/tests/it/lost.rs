//! Telling a lost connection from a refusal.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use ruleiq_query::{Queries, Read};
use ruleiq_test_support::{FaultProxy, TestDatabase, eventually};
use tokio_postgres::{Client, NoTls, error::SqlState};

const PATIENCE: Duration = Duration::from_secs(20);

async fn pid(client: &Client) -> i32 {
    let row = Read::query_one(client, "SELECT pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn a_backend_that_was_terminated_is_a_lost_connection() {
    let database = TestDatabase::empty().await;
    let (client, killer) = (database.client().await, database.client().await);
    let terminate = "SELECT pg_terminate_backend($1)";
    Queries::execute(&killer, terminate, &[&pid(&client).await])
        .await
        .unwrap();

    // The first statement may meet the server's farewell or a closed socket, the second a client
    // that knows.
    for _ in 0..2 {
        let error = Read::query(&client, "SELECT 1", &[]).await.unwrap_err();
        assert!(error.is_connection_lost(), "{error:?}");
    }
}

#[tokio::test]
async fn a_backend_that_is_terminated_under_a_statement_is_a_lost_connection() {
    let database = TestDatabase::empty().await;
    let (client, killer) = (database.client().await, database.client().await);
    let pid = pid(&client).await;
    let sleeping = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
    let (slept, ()) = tokio::join!(Read::query(&client, "SELECT pg_sleep(600)", &[]), async {
        eventually(PATIENCE, || async {
            Read::query_opt(&killer, sleeping, &[&pid])
                .await
                .unwrap()
                .is_some()
        })
        .await;
        let terminate = "SELECT pg_terminate_backend($1)";
        Queries::execute(&killer, terminate, &[&pid]).await.unwrap();
    });
    let error = slept.unwrap_err();
    assert_eq!(error.sql_state(), Some(&SqlState::ADMIN_SHUTDOWN));
    assert!(error.is_connection_lost());
}

#[tokio::test]
async fn a_statement_that_was_cancelled_is_not_a_lost_connection() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let bounded = "SET statement_timeout = 10";
    Queries::batch_execute(&client, bounded).await.unwrap();
    let error = Read::query(&client, "SELECT pg_sleep(600)", &[]).await;
    let error = error.unwrap_err();
    assert_eq!(error.sql_state(), Some(&SqlState::QUERY_CANCELED));
    assert!(!error.is_connection_lost());
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the connection goes through a proxy"
)]
async fn a_network_that_fails_in_the_middle_of_a_stream_is_a_lost_connection() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let url = proxy.url(database.url());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    // More than the buffers on the way hold.
    let many = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)";
    let rows = Queries::stream(&client, many, &[]).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    assert!(rows.try_next().await.unwrap().is_some());

    proxy.cut().await;

    let end = async {
        loop {
            match rows.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if it were whole"),
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, end).await.unwrap();
    assert!(error.is_connection_lost(), "{error:?}");
}
