//! Faults of every kind, one after the other and at random moments, at two sizes: small in a test, and
//! by `RULEIQ_SOAK=full` in a soak.
//!
//! After each round: no invalid index of ours once the next call is through, and no other index touched.

#![allow(clippy::print_stdout, reason = "the figures are the result")]

use std::{collections::BTreeSet, time::Duration};

use ruleiq_db_optimizer::{ChangeError, DatabaseOptimizer, IndexCreation};
use ruleiq_test_support::TestDatabase;
use tokio_postgres::Client;

use super::{TABLE, create, created, indexes, pid, unsuspecting};
use crate::database;

const COLUMNS: [&[&str]; 4] = [&["a"], &["b", "a"], &["\"C\""], &["\"C\"", "a", "b"]];

#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Cancelled,
    Dropped,
    BlockedByWriter,
    BlockedBySnapshot,
    Rivals,
}

const FAULTS: [Fault; 6] = [
    Fault::Killed,
    Fault::Cancelled,
    Fault::Dropped,
    Fault::BlockedByWriter,
    Fault::BlockedBySnapshot,
    Fault::Rivals,
];

fn is_full() -> bool {
    std::env::var("RULEIQ_SOAK").is_ok_and(|it| it == "full")
}

fn report(name: &str, figure: usize, unit: &str) {
    let verdict = if figure == 0 { "ok" } else { "MISSED" };
    println!("soak {name} {figure} {unit} bar 0 {verdict}");
    assert_eq!(figure, 0, "{name}: {unit}");
}

/// xorshift64*: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

#[tokio::test]
async fn storm_of_faults_while_indexes_are_made() {
    let rounds = if is_full() { 300 } else { 12 };
    let (database, watcher) = database(TABLE).await;
    let others = "CREATE TABLE other (x int); INSERT INTO other VALUES (1);
        CREATE INDEX theirs ON t (id, a)";
    watcher.batch_execute(others).await.unwrap();
    let invalid = "CREATE UNIQUE INDEX CONCURRENTLY their_invalid ON t (a)";
    assert!(watcher.batch_execute(invalid).await.is_err());
    let theirs: BTreeSet<_> = indexes(&watcher).await.into_iter().collect();
    let (mut random, mut left, mut touched, mut unclear) = (Random(0x5eed), 0, 0, 0);
    for round in 0..rounds {
        let fault = FAULTS[round % FAULTS.len()];
        let columns = COLUMNS[usize::try_from(random.below(4)).unwrap()];
        let moment = Duration::from_millis(random.below(60));
        if let Err(error) = strike(&database, fault, columns, moment).await {
            unclear += usize::from(!is_clear(&error));
        }
        // What is left at most until the next call for the table.
        let next = database.client().await;
        match create(&next, columns, &unsuspecting().wait_limit(super::PATIENCE))
            .await
            .unwrap()
        {
            IndexCreation::Created(it) => watcher.batch_execute(&it.rollback_sql).await.unwrap(),
            IndexCreation::Exists(it) => {
                let sql = format!("DROP INDEX CONCURRENTLY {}", it.index);
                watcher.batch_execute(&sql).await.unwrap();
            }
            other => panic!("{other:?}"),
        }
        let there: BTreeSet<_> = indexes(&watcher).await.into_iter().collect();
        left += there.difference(&theirs).count();
        touched += theirs.difference(&there).count();
    }
    println!("soak create_index_faults {rounds} rounds bar >=12 ok");
    report("create_index_left_behind", left, "indexes");
    report("create_index_others_touched", touched, "indexes");
    report("create_index_unclear_errors", unclear, "errors");
    created(create(&watcher, &["a"], &unsuspecting()).await);
}

/// Whether an error says what happened and, with its causes, more than that something did.
fn is_clear(error: &ChangeError) -> bool {
    matches!(
        error,
        ChangeError::Statement { .. }
            | ChangeError::StillInTheWay { .. }
            | ChangeError::Read(_)
            | ChangeError::InTheWay(_)
    )
}

/// Begins a build and lets it meet the fault at a moment of its life.
async fn strike(
    database: &TestDatabase,
    fault: Fault,
    columns: &[&str],
    moment: Duration,
) -> Result<(), ChangeError> {
    let (client, other) = (database.client().await, database.client().await);
    let (builder, options) = (pid(&client).await, unsuspecting());
    let definition = DatabaseOptimizer::new(&client)
        .index_on("t", columns)
        .await?;
    let observed = DatabaseOptimizer::builder(&client).observer(&other).build();
    let alone = DatabaseOptimizer::new(&client);
    let signal = match fault {
        Fault::Killed => Some("SELECT pg_terminate_backend($1)"),
        Fault::Cancelled => Some("SELECT pg_cancel_backend($1)"),
        _ => None,
    };
    match fault {
        Fault::Killed | Fault::Cancelled => {
            let third = database.client().await;
            let later = async {
                tokio::time::sleep(moment).await;
                third.query(signal.unwrap(), &[&builder]).await.unwrap();
            };
            tokio::join!(observed.create(&definition, &options), later)
                .0
                .map(drop)
        }
        Fault::Dropped => {
            let building = alone.create(&definition, &options);
            tokio::time::timeout(moment, building)
                .await
                .map_or(Ok(()), |it| it.map(drop))
        }
        Fault::BlockedByWriter => blocked(&other, &alone, &definition, WRITER).await,
        Fault::BlockedBySnapshot => blocked(&other, &alone, &definition, READER).await,
        Fault::Rivals => {
            let rival = DatabaseOptimizer::new(&other);
            let options = options.wait_limit(super::PATIENCE);
            let both = tokio::join!(
                alone.create(&definition, &options),
                rival.create(&definition, &options)
            );
            both.0.and(both.1).map(drop)
        }
    }
}

const WRITER: &str = "BEGIN; UPDATE t SET a = a WHERE id = 1";
const READER: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other";

async fn blocked(
    blocker: &Client,
    optimizer: &DatabaseOptimizer<'_, Client>,
    definition: &ruleiq_db_optimizer::IndexDefinition,
    begin: &str,
) -> Result<(), ChangeError> {
    blocker.batch_execute(begin).await.unwrap();
    let options = unsuspecting().wait_limit(Duration::from_millis(100));
    let outcome = optimizer.create(definition, &options).await;
    blocker.batch_execute("COMMIT").await.unwrap();
    outcome.map(drop)
}
