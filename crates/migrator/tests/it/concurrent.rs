//! Many migrators, and what a crash leaves.

use std::{future::Future, time::Duration};

use futures_util::future::join_all;
use ruleiq_migrator::{Error, Migrator, Target};
use ruleiq_test_support::{FaultProxy, TestDatabase, eventually};
use tokio_postgres::IsolationLevel;

use crate::{
    files::{INDEX_DOWN, INDEX_UP, TABLE_DOWN, TABLE_UP, table, table_and_index},
    seen::{exists, is_valid, owned, versions},
};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn ten_at_once_apply_each_migration_once() {
    let database = TestDatabase::empty().await;
    let migrator = Migrator::embedded();

    let reports = join_all((0..10).map(|_| migrator.up(database.url()))).await;

    let applied: Vec<i64> = reports
        .into_iter()
        .flat_map(|report| report.unwrap().versions)
        .collect();
    assert_eq!(
        applied,
        versions(&database).await,
        "one of the ten did all of it"
    );
}

#[tokio::test]
async fn ten_at_once_build_an_index_concurrently() {
    let database = TestDatabase::empty().await;
    table().up(database.url()).await.unwrap();
    let migrator = table_and_index();

    let reports = join_all((0..10).map(|_| migrator.up(database.url()))).await;

    let applied: Vec<i64> = reports
        .into_iter()
        .flat_map(|report| report.unwrap().versions)
        .collect();
    assert_eq!(applied, [2]);
    assert!(is_valid(&database, "t_x").await);
}

#[tokio::test]
async fn the_remains_of_a_failed_build_are_built_again() {
    let database = TestDatabase::empty().await;
    table().up(database.url()).await.unwrap();
    let client = database.client().await;
    client
        .batch_execute("UPDATE t SET x = 1 WHERE id < 3")
        .await
        .unwrap();

    let error = table_and_index().up(database.url()).await.unwrap_err();
    assert!(
        matches!(error, Error::Migration { version: 2, .. }),
        "{error}"
    );
    assert!(
        !is_valid(&database, "t_x").await,
        "duplicates left an invalid index"
    );
    client.batch_execute("UPDATE t SET x = id").await.unwrap();

    let report = table_and_index().up(database.url()).await.unwrap();
    assert_eq!(report.versions, [2]);
    assert!(is_valid(&database, "t_x").await);
}

#[tokio::test]
async fn a_migrator_killed_while_it_builds_is_followed_by_one_that_succeeds() {
    let database = TestDatabase::empty().await;
    table().up(database.url()).await.unwrap();
    let migrator = table_and_index();
    let building = "%CREATE UNIQUE INDEX CONCURRENTLY%";

    let killed = kill_while_it_waits(&database, building, migrator.up(database.url())).await;

    assert!(killed.is_err());
    assert!(exists(&database, "t_x").await && !is_valid(&database, "t_x").await);
    assert_eq!(versions(&database).await, [1]);
    migrator.up(database.url()).await.unwrap();
    assert!(is_valid(&database, "t_x").await);
    assert_eq!(versions(&database).await, [1, 2]);
}

#[tokio::test]
async fn a_migrator_killed_while_it_drops_an_index_can_go_on_either_way() {
    let database = TestDatabase::empty().await;
    let migrator = table_and_index();
    let ownership = owned(&database);
    let dropping = "%DROP INDEX CONCURRENTLY%";
    for goes_on_down in [true, false] {
        migrator.up(database.url()).await.unwrap();
        let down = migrator.down(database.url(), Target::One, &ownership);

        assert!(
            kill_while_it_waits(&database, dropping, down)
                .await
                .is_err()
        );

        let status = migrator.status(database.url()).await.unwrap();
        assert!(status[0].applied && !status[1].applied, "{status:?}");
        if goes_on_down {
            let down = migrator.down(database.url(), Target::One, &ownership);
            assert_eq!(down.await.unwrap().versions, [2]);
            assert!(!exists(&database, "t_x").await);
        } else {
            assert_eq!(migrator.up(database.url()).await.unwrap().versions, [2]);
            assert!(is_valid(&database, "t_x").await);
        }
    }
}

/// Kills the backend of a migrator that waits for a transaction which reads the table.
async fn kill_while_it_waits<T>(
    database: &TestDatabase,
    statement: &str,
    work: impl Future<Output = T>,
) -> T {
    let mut reader = database.client().await;
    let reading = reader
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    reading.query("SELECT count(*) FROM t", &[]).await.unwrap();
    let killer = database.client().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'ruleiq-migrator'
          AND wait_event_type = 'Lock' AND query LIKE $1";
    let killed = eventually(PATIENCE, || async {
        !killer.query(kill, &[&statement]).await.unwrap().is_empty()
    });
    let (outcome, ()) = tokio::join!(work, killed);
    reading.commit().await.unwrap();
    outcome
}

#[tokio::test]
async fn an_index_may_be_dropped_on_the_way_up_and_built_on_the_way_down() {
    let database = TestDatabase::empty().await;
    table_and_index().up(database.url()).await.unwrap();
    let third_up = ("3_drop.up.sql", INDEX_DOWN.1);
    let third_down = ("3_drop.down.sql", INDEX_UP.1);
    let files = [
        TABLE_UP, TABLE_DOWN, INDEX_UP, INDEX_DOWN, third_up, third_down,
    ];
    let migrator = Migrator::new(&files).unwrap();

    migrator.up(database.url()).await.unwrap();
    assert!(!exists(&database, "t_x").await);
    let report = migrator
        .down(database.url(), Target::One, &owned(&database))
        .await
        .unwrap();
    assert_eq!(report.versions, [3]);
    assert!(is_valid(&database, "t_x").await);
}

#[tokio::test]
async fn a_bound_on_statements_does_not_cut_a_migration_off() {
    let database = TestDatabase::empty().await;
    let name = database.name();
    let bound = format!("ALTER DATABASE {name} SET statement_timeout = '1s'");
    database.client().await.batch_execute(&bound).await.unwrap();
    let up = ("1_long.up.sql", "SELECT pg_sleep(1.5)");
    let long = Migrator::new(&[up, ("1_long.down.sql", "SELECT 1")]).unwrap();

    assert_eq!(long.up(database.url()).await.unwrap().versions, [1]);
}

#[tokio::test]
async fn a_lock_that_is_not_given_back_ends_the_waiting_and_names_its_holder() {
    let database = TestDatabase::empty().await;
    let holder = database.client().await;
    let key: i64 = 0x5255_4c45_4951;
    holder
        .execute("SET application_name = 'the holder'", &[])
        .await
        .unwrap();
    holder
        .execute("SELECT pg_advisory_lock($1)", &[&key])
        .await
        .unwrap();

    let migrator = table().lock_timeout(Duration::from_millis(200));
    let error = migrator.up(database.url()).await.unwrap_err();

    assert!(error.to_string().contains("the holder"), "{error}");
    drop(holder);
    eventually(PATIENCE, || async {
        migrator.up(database.url()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_network_that_stalls_ends_the_waiting_for_the_lock() {
    let database = TestDatabase::empty().await;
    let holder = database.client().await;
    let key: i64 = 0x5255_4c45_4951;
    holder
        .execute("SELECT pg_advisory_lock($1)", &[&key])
        .await
        .unwrap();
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let url = proxy.url(database.url());
    let polling = "SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'ruleiq-migrator' AND query LIKE '%pg_try_advisory_lock%'";
    let stall = async {
        eventually(PATIENCE, || async {
            !holder.query(polling, &[]).await.unwrap().is_empty()
        })
        .await;
        proxy.stall().await;
    };
    let migrator = table();
    let waiting = tokio::time::timeout(PATIENCE, migrator.up(&url));
    let (waited, ()) = tokio::join!(waiting, stall);
    let error = waited.expect("it waits for ever").unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_changed_file_and_an_unknown_migration_are_refused() {
    let database = TestDatabase::empty().await;
    table_and_index().up(database.url()).await.unwrap();

    let changed = ("1_table.up.sql", "CREATE TABLE other ()");
    let changed = Migrator::new(&[changed, TABLE_DOWN, INDEX_UP, INDEX_DOWN]).unwrap();
    let error = changed.up(database.url()).await.unwrap_err();
    assert!(
        matches!(error, Error::Changed { version: 1, .. }),
        "{error}"
    );
    assert!(changed.status(database.url()).await.unwrap()[0].changed);

    let third = [("3_c.up.sql", "SELECT 1"), ("3_c.down.sql", "SELECT 1")];
    let skipping = Migrator::new(&[TABLE_UP, TABLE_DOWN, third[0], third[1]]).unwrap();
    let error = skipping.up(database.url()).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { version: 2 }), "{error}");
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let database = TestDatabase::empty().await;
    table_and_index().up(database.url()).await.unwrap();
    let report = table().up(database.url()).await.unwrap();
    assert_eq!((report.versions, report.newer), (vec![], Some(2)));

    let error = table()
        .down(database.url(), Target::Zero, &owned(&database))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unknown { version: 2 }), "{error}");
    assert_eq!(versions(&database).await, [1, 2]);
}

#[tokio::test]
async fn a_failing_migration_leaves_what_was_applied_before_it() {
    let database = TestDatabase::empty().await;
    let broken = [
        ("2_broken.up.sql", "CREATE TABLE half (); SELECT 1 / 0"),
        ("2_broken.down.sql", "SELECT 1"),
    ];
    let migrator = Migrator::new(&[TABLE_UP, TABLE_DOWN, broken[0], broken[1]]).unwrap();

    let error = migrator.up(database.url()).await.unwrap_err();

    assert_eq!(error.to_string(), "migration 2 (`broken`) failed");
    assert_eq!(versions(&database).await, [1]);
    let row = database
        .client()
        .await
        .query_one("SELECT to_regclass('half') IS NULL", &[])
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn an_error_never_shows_the_address() {
    let unreachable = "postgres://somebody:hunter2@127.0.0.1:1/nowhere";
    let error = table().up(unreachable).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    let error = table().up("not an address: hunter2").await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}
