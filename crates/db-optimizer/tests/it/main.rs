//! Asks a real server for advice.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and connects as other roles"
)]

mod advise;
mod create_index;
mod doctor;
mod example;
mod foreign_keys;
mod guide;
mod health;
mod maintenance;
mod n_plus_one;
mod names;
mod overview;
mod plans;
mod slow_queries;
mod table_stats;
mod traps;

use ruleiq_test_support::TestDatabase;
use tokio_postgres::{Client, NoTls};

/// A connection as whom the address says. It ends with the client.
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// An empty database on which some statements have run.
async fn database(sql: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}
