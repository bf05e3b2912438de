//! Makes indexes on real servers.

mod exists;
mod faults;
mod leftovers;
mod made;
mod names;
mod partitions;
mod pooler;
mod rights;
mod storm;
mod turns;

use std::time::Duration;

use ruleiq_db_optimizer::{
    ChangeError, CreateIndexOptions, CreatedIndex, DatabaseOptimizer, ExistingIndex, Failure,
    IndexCreation, Obstacle,
};
use ruleiq_query::Queries;
use tokio_postgres::Client;

const PATIENCE: Duration = Duration::from_secs(60);

/// A table with rows of which it has statistics.
const TABLE: &str = "
    CREATE TABLE t (id int PRIMARY KEY, a int, b text, \"C\" int) WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT it, it % 100, 'text ' || it, it FROM generate_series(1, 5000) it;
    ANALYZE t";

/// Limits that a test can wait for.
fn impatient() -> CreateIndexOptions {
    CreateIndexOptions::default()
        .wait_limit(Duration::from_millis(700))
        .old_transaction(Duration::from_millis(1))
}

/// The same, with transactions that are found only by waiting for them.
fn unsuspecting() -> CreateIndexOptions {
    impatient().old_transaction(Duration::from_secs(3600))
}

async fn create(
    client: &impl Queries,
    columns: &[&str],
    options: &CreateIndexOptions,
) -> Result<IndexCreation, ChangeError> {
    let optimizer = DatabaseOptimizer::new(client);
    let definition = optimizer.index_on("t", columns).await.unwrap();
    optimizer.create(&definition, options).await
}

#[track_caller]
fn created(outcome: Result<IndexCreation, ChangeError>) -> CreatedIndex {
    match outcome.unwrap() {
        IndexCreation::Created(created) => created,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn existing(outcome: Result<IndexCreation, ChangeError>) -> ExistingIndex {
    match outcome.unwrap() {
        IndexCreation::Exists(existing) => existing,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn obstacle<T: std::fmt::Debug>(outcome: Result<T, ChangeError>) -> Obstacle {
    match outcome.unwrap_err() {
        ChangeError::InTheWay(obstacle) | ChangeError::StillInTheWay { obstacle, .. } => obstacle,
        other => panic!("{other:?}"),
    }
}

/// What ended a statement, and what it has left.
#[track_caller]
fn failure<T: std::fmt::Debug>(outcome: Result<T, ChangeError>) -> (Failure, Option<String>) {
    match outcome.unwrap_err() {
        ChangeError::Statement {
            failure, leftover, ..
        } => (failure, leftover),
        other => panic!("{other:?}"),
    }
}

/// The indexes of all tables but the system's, with whether they are valid.
async fn indexes(client: &Client) -> Vec<(String, bool)> {
    let sql = "SELECT indexrelid::regclass::text, indisvalid AND indisready
               FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
               WHERE relnamespace::regnamespace::text !~ '^pg_' ORDER BY 1";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The same without those of primary keys.
async fn made(client: &Client) -> Vec<(String, bool)> {
    let mut indexes = indexes(client).await;
    indexes.retain(|(name, _)| !name.contains("_pkey"));
    indexes
}

async fn pid(client: &Client) -> i32 {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

/// Whether the build of this process waits for somebody.
async fn waits(client: &Client, pid: i32) -> bool {
    let sql = "SELECT cardinality(pg_blocking_pids($1)) > 0";
    client.query_one(sql, &[&pid]).await.unwrap().get(0)
}
