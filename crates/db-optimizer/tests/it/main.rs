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
mod trial;

use ruleiq_test_support::TestDatabase;
use tokio_postgres::{Client, NoTls};

/// A connection as whom the address says. It ends with the client.
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Keeps autovacuum from the tables: what an index alone can answer, and so which is best, would hang on
/// whether it has come by.
const WITHOUT_AUTOVACUUM: &str = "DO $$
    DECLARE it regclass;
    BEGIN
        FOR it IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
                    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP
            EXECUTE format('ALTER %s %s SET (autovacuum_enabled = false)',
                           (SELECT CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END
                            FROM pg_class WHERE oid = it), it);
        END LOOP;
    END $$";

/// An empty database on which some statements have run.
async fn database(sql: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}
