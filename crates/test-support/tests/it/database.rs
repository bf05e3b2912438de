//! A database per test.

use std::{os::unix::process::ExitStatusExt as _, process::Command, time::Duration};

use ruleiq_migrator::Migrator;
use ruleiq_servers::{DATABASE_URL_VARIABLE, REDIS_URL_VARIABLE};
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec, TestDatabase, eventually};
use tokio_postgres::{Client, NoTls, error::SqlState};

const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn databases_like(client: &Client, pattern: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_database WHERE datname LIKE $1";
    client.query_one(sql, &[&pattern]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_migrated_database_has_the_whole_schema_and_no_data() {
    let database = TestDatabase::migrated().await;
    let status = Migrator::embedded().status(database.url()).await.unwrap();
    assert!(status.len() > 1 && status.iter().all(|it| it.applied && !it.changed));
    let client = database.client().await;
    assert_eq!(count(&client, "SELECT count(*) FROM users").await, 0);
    assert_eq!(
        count(&client, "SELECT count(*) FROM ruleiq_marker").await,
        1
    );
}

#[tokio::test]
async fn an_empty_database_has_nothing() {
    let database = TestDatabase::empty().await;
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(count(&database.client().await, tables).await, 0);
}

#[tokio::test]
async fn databases_do_not_see_each_other() {
    let (a, b) = tokio::join!(TestDatabase::migrated(), TestDatabase::migrated());
    assert_ne!(a.name(), b.name());
    let client = a.client().await;
    client.batch_execute("CREATE TABLE t ()").await.unwrap();
    let b = b.client().await;
    let found = count(&b, "SELECT count(*) FROM pg_class WHERE relname = 't'");
    assert_eq!(found.await, 0);
}

#[tokio::test]
async fn a_database_is_dropped_with_its_value_whoever_is_connected() {
    let watcher = TestDatabase::empty().await;
    let database = TestDatabase::migrated().await;
    let name = database.name().to_owned();
    database.owned_by_ordinary_role().await;
    let (owner, app) = (database.client().await, connect(database.app_url()).await);

    drop(database);

    let watcher = watcher.client().await;
    assert_eq!(databases_like(&watcher, &name).await, 0);
    let roles = "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, $1)";
    let roles: i64 = watcher.query_one(roles, &[&name]).await.unwrap().get(0);
    assert_eq!(roles, 0);
    for client in [owner, app] {
        assert!(client.batch_execute("SELECT 1").await.is_err());
    }
}

#[test]
fn a_database_may_be_dropped_where_no_runtime_is() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (watcher, database) =
        runtime.block_on(async { (TestDatabase::empty().await, TestDatabase::empty().await) });
    let name = database.name().to_owned();

    drop(database);

    let left = runtime.block_on(async { databases_like(&watcher.client().await, &name).await });
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_application_has_the_rights_of_its_role_and_no_others() {
    let database = TestDatabase::migrated().await;
    let app = connect(database.app_url()).await;
    let identity = "SELECT current_user::text, rolsuper OR rolcreatedb OR rolcreaterole
                           OR rolreplication OR rolbypassrls,
                           (SELECT array_agg(roleid::regrole::text) FROM pg_auth_members
                            WHERE member = pg_roles.oid)
                    FROM pg_roles WHERE rolname = current_user";
    let row = app.query_one(identity, &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<String>>(2), ["ruleiq_app"]);
    assert!(!row.get::<_, bool>(1));

    app.batch_execute("INSERT INTO users (id, email, full_name, password_hash) VALUES (gen_random_uuid(), 'a@example.com', 'A', '')")
        .await
        .unwrap();
    for refused in [
        "CREATE TABLE t ()",
        "DROP TABLE users",
        "DELETE FROM ruleiq_marker",
        "DELETE FROM _sqlx_migrations",
        "CREATE ROLE r",
    ] {
        let error = app.batch_execute(refused).await.unwrap_err();
        let code = error.code();
        assert_eq!(
            code,
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{refused}: {error}"
        );
    }
}

#[tokio::test]
async fn the_monitor_sees_all_statistics_and_no_data() {
    let database = TestDatabase::migrated().await;
    let monitor = connect(database.monitor_url()).await;
    let sees = "SELECT pg_has_role(current_user, 'pg_monitor', 'USAGE')";
    let sees = monitor.query_one(sees, &[]).await.unwrap();
    assert!(sees.get::<_, bool>(0));
    let error = monitor.query("SELECT FROM users", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn an_ordinary_owner_owns_the_database_and_nothing_else() {
    let database = TestDatabase::empty().await;
    let owner = connect(&database.owned_by_ordinary_role().await).await;
    owner.batch_execute("CREATE TABLE t ()").await.unwrap();
    for refused in [
        "CREATE ROLE r",
        "CREATE DATABASE d",
        "CREATE EXTENSION file_fdw",
    ] {
        let error = owner.batch_execute(refused).await.unwrap_err();
        let code = error.code();
        assert_eq!(
            code,
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{refused}: {error}"
        );
    }
}

#[tokio::test]
async fn nobody_can_look_into_the_template() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    let template = format!("ruleiq_template_{}", Migrator::embedded().checksum());
    let sql = "SELECT datistemplate, datallowconn FROM pg_database WHERE datname = $1";
    let row = client.query_one(sql, &[&template]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (true, false));
}

/// Runs one of the tests below, which does nothing else, in a process of its own.
fn another_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1");
    command
}

/// Set for the processes that tests here start.
const CHILD: &str = "RULEIQ_TEST_SUPPORT_CHILD";

#[tokio::test]
async fn what_a_killed_process_has_left_is_swept_and_what_a_living_one_has_stays() {
    if std::env::var_os(CHILD).is_some() {
        let database = TestDatabase::empty().await;
        database.owned_by_ordinary_role().await;
        // Ends at once, with no destructor run.
        std::process::abort();
    }
    let living = TestDatabase::empty().await;
    let client = living.client().await;
    let lease = living.name().rsplit_once('_').unwrap().0;
    let test = "database::what_a_killed_process_has_left_is_swept_and_what_a_living_one_has_stays";
    let mut process = another_process(test);
    let ended = tokio::task::spawn_blocking(move || process.output().unwrap());
    // By SIGABRT: a panic would mean that it has left nothing.
    assert_eq!(ended.await.unwrap().status.signal(), Some(6));

    // Other tests of this kind run at the same time: their databases may be there for a moment.
    let left_over = "SELECT count(*) FROM pg_database
        WHERE datname ~ '^ruleiq_test_[0-9a-f]{12}_'
          AND NOT EXISTS (SELECT FROM pg_stat_activity
                          WHERE application_name = 'ruleiq-test-lease ' || split_part(pg_database.datname, '_', 3))";
    assert!(databases_like(&client, &format!("{lease}%")).await > 0);
    eventually(PATIENCE, || async {
        let mut process = another_process("database::an_empty_database_has_nothing");
        let swept = tokio::task::spawn_blocking(move || process.output().unwrap());
        assert!(swept.await.unwrap().status.success());
        count(&client, left_over).await == 0
    })
    .await;
    assert_eq!(databases_like(&client, living.name()).await, 1);
}

#[tokio::test]
async fn many_processes_make_one_template_on_a_server_that_has_nothing() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        ..Spec::default()
    })
    .await;
    let url = servers.postgres_url();
    let tests = [
        "database::a_migrated_database_has_the_whole_schema_and_no_data",
        "database::the_application_has_the_rights_of_its_role_and_no_others",
        "database::an_ordinary_owner_owns_the_database_and_nothing_else",
    ];
    let processes: Vec<_> = tests
        .iter()
        .cycle()
        .take(9)
        .map(|test| {
            let mut process = another_process(test);
            process.env(DATABASE_URL_VARIABLE, url);
            tokio::task::spawn_blocking(move || process.output().unwrap())
        })
        .collect();
    for process in processes {
        let output = process.await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }

    let client = connect(url).await;
    assert_eq!(databases_like(&client, "ruleiq\\_template\\_%").await, 1);
    assert_eq!(databases_like(&client, "ruleiq\\_test\\_%").await, 0);
}

#[tokio::test]
async fn a_test_without_servers_says_how_to_start_them() {
    for (test, variable) in [
        (
            "database::an_empty_database_has_nothing",
            DATABASE_URL_VARIABLE,
        ),
        ("redis::a_namespace_hides_its_password", REDIS_URL_VARIABLE),
    ] {
        for address in [None, Some("postgres://u:hunter2@127.0.0.1:1/x")] {
            let mut process = another_process(test);
            match address {
                Some(address) => process.env(variable, address),
                None => process.env_remove(variable),
            };
            let output = tokio::task::spawn_blocking(move || process.output().unwrap());
            let output = output.await.unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success());
            assert!(told.contains("cargo xtask services up"), "{told}");
            assert!(
                told.contains("eval \"$(cargo xtask services env)\""),
                "{told}"
            );
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_database_hides_its_passwords() {
    let database = TestDatabase::empty().await;
    let shown = format!("{database:?}");
    assert!(shown.contains(database.name()));
    assert!(!shown.contains("postgres"), "{shown}");
}
