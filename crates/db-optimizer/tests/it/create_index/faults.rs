//! Builds that cannot begin, cannot end, or are ended.

use std::time::Duration;

use ruleiq_db_optimizer::{
    CreateIndexOptions, DatabaseOptimizer, Failure, IndexDefinition, Key, Obstacle,
};
use ruleiq_query::Queries;
use ruleiq_test_support::{FaultProxy, OwnServers, PostgresSpec, Spec, eventually};
use tokio_postgres::Client;

use super::{
    PATIENCE, TABLE, create, created, failure, impatient, made, obstacle, pid, unsuspecting, waits,
};
use crate::{connect, database};

/// An index whose build takes as long as it may.
async fn endless(client: &Client) -> IndexDefinition {
    let sql = "CREATE FUNCTION endless(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN IF $1 = 1 THEN PERFORM pg_sleep(3600); END IF; RETURN $1; END'";
    client.batch_execute(sql).await.unwrap();
    let optimizer = DatabaseOptimizer::new(client);
    let mut definition = optimizer.index_on("t", &["id"]).await.unwrap();
    definition.keys = vec![Key::expression("endless(id)")];
    definition
}

async fn is_building(client: &Client) -> bool {
    // The view shows the builds of all databases.
    let sql = "SELECT FROM pg_stat_progress_create_index
               WHERE datname = current_database() AND phase LIKE 'building index%'";
    client.query_opt(sql, &[]).await.unwrap().is_some()
}

#[tokio::test]
async fn in_a_transaction_nothing_is_begun() {
    let (database, mut client) = database(TABLE).await;
    let transaction = client.transaction().await.unwrap();
    let outcome = create(&transaction, &["a"], &impatient()).await;
    assert_eq!(obstacle(outcome), Obstacle::InTransaction);
    let optimizer = DatabaseOptimizer::new(&transaction);
    assert_eq!(
        obstacle(optimizer.vacuum("t").await),
        Obstacle::InTransaction
    );
    let plan = optimizer.plan_create_index("t", &["a"]).await.unwrap();
    assert_eq!(plan.obstacles, [Obstacle::InTransaction]);
    assert!(transaction.batch_execute("SELECT 1 / 0").await.is_err());
    let definition = DatabaseOptimizer::new(&database.client().await)
        .index_on("t", &["a"])
        .await
        .unwrap();
    let optimizer = DatabaseOptimizer::new(&transaction);
    let outcome = optimizer.create(&definition, &impatient()).await;
    assert_eq!(
        obstacle(outcome),
        Obstacle::InTransaction,
        "in a failed one as well"
    );
    transaction.rollback().await.unwrap();
    created(create(&client, &["a"], &impatient()).await);
}

#[tokio::test]
async fn an_old_transaction_is_shown_before_anything_is_begun() {
    let (database, client) = database(TABLE).await;
    client
        .batch_execute("CREATE TABLE other (x int)")
        .await
        .unwrap();
    let (reader, writer) = (database.client().await, database.client().await);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other";
    reader.batch_execute(begin).await.unwrap();
    writer
        .batch_execute("BEGIN; UPDATE t SET a = 0 WHERE id = 1")
        .await
        .unwrap();
    let expected = [(pid(&reader).await, false), (pid(&writer).await, true)];
    // One that only waits for its client, with neither a lock nor a snapshot, is in nobody's way.
    database
        .client()
        .await
        .batch_execute("BEGIN; SELECT 1")
        .await
        .unwrap();

    let outcome = create(&client, &["a"], &impatient()).await;

    let Obstacle::OldTransactions { blockers } = obstacle(outcome) else {
        panic!("they are in the way")
    };
    let found: Vec<_> = blockers
        .iter()
        .map(|it| (it.pid.unwrap(), it.holds_lock))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(made(&client).await, []);
    for blocker in [&reader, &writer] {
        blocker.batch_execute("COMMIT").await.unwrap();
    }
    created(create(&client, &["a"], &impatient()).await);
}

#[tokio::test]
async fn a_transaction_that_was_prepared_is_in_the_way() {
    let servers = with_settings(&[("max_prepared_transactions", "2")]).await;
    let client = connect(servers.postgres_url()).await;
    client.batch_execute(TABLE).await.unwrap();
    let prepare = "BEGIN; UPDATE t SET a = 0 WHERE id = 1; PREPARE TRANSACTION 'one'";
    client.batch_execute(prepare).await.unwrap();
    let Obstacle::OldTransactions { blockers } =
        obstacle(create(&client, &["a"], &impatient()).await)
    else {
        panic!("it is in the way")
    };
    assert_eq!((blockers.len(), blockers[0].pid), (1, None));
    client.batch_execute("COMMIT PREPARED 'one'").await.unwrap();
    created(create(&client, &["a"], &impatient()).await);
}

#[tokio::test]
async fn a_start_that_is_blocked_ends_with_the_blockers_name_and_nothing_left() {
    let (database, client) = database(TABLE).await;
    let other = database.client().await;
    other
        .batch_execute("BEGIN; LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
        .await
        .unwrap();

    let (failure, leftover) = failure(create(&client, &["a"], &unsuspecting()).await);

    let Failure::Blocked { blockers } = failure else {
        panic!("{failure}")
    };
    assert_eq!(blockers[0].pid, Some(pid(&other).await));
    assert_eq!((leftover, made(&client).await), (None, vec![]));
}

#[tokio::test]
async fn a_start_that_a_writer_blocks_leaves_what_the_next_call_removes() {
    let (database, client) = database(TABLE).await;
    let other = database.client().await;
    other
        .batch_execute("BEGIN; UPDATE t SET a = 0 WHERE id = 1")
        .await
        .unwrap();

    let (failure, leftover) = failure(create(&client, &["a"], &unsuspecting()).await);

    assert!(
        matches!(&failure, Failure::Blocked { blockers } if blockers[0].holds_lock),
        "{failure}"
    );
    // It can only be dropped once the writer has ended, which the error says.
    let left = made(&client).await;
    assert_eq!(left.len(), 1);
    assert_eq!(leftover, Some(format!("public.{}", left[0].0)));
    other.batch_execute("COMMIT").await.unwrap();
    created(create(&client, &["a"], &unsuspecting()).await);
    assert_eq!(made(&client).await, [("idx_t_a".to_owned(), true)]);
}

#[tokio::test]
async fn an_end_that_is_blocked_leaves_nothing() {
    let (database, client) = database(TABLE).await;
    client
        .batch_execute("CREATE TABLE other (x int)")
        .await
        .unwrap();
    let other = database.client().await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other";
    other.batch_execute(begin).await.unwrap();

    let (failure, leftover) = failure(create(&client, &["a"], &unsuspecting()).await);

    let Failure::Blocked { blockers } = failure else {
        panic!("{failure}")
    };
    let expected = (Some(pid(&other).await), false);
    assert_eq!((blockers[0].pid, blockers[0].holds_lock), expected);
    assert_eq!((leftover, made(&client).await), (None, vec![]));
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_stopped_and_leaves_nothing() {
    let (_database, client) = database(TABLE).await;
    let definition = endless(&client).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let options = unsuspecting().time_limit(Duration::from_secs(2));

    let (failure, leftover) = failure(optimizer.create(&definition, &options).await);

    assert!(matches!(failure, Failure::TimedOut { .. }), "{failure}");
    assert_eq!((leftover, made(&client).await), (None, vec![]));
}

#[tokio::test]
async fn a_build_that_somebody_cancels_leaves_nothing() {
    let (database, client) = database(TABLE).await;
    let (other, builder) = (database.client().await, pid(&client).await);
    let definition = endless(&client).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let options = unsuspecting();
    let cancelling = async {
        eventually(PATIENCE, || is_building(&other)).await;
        let cancel = "SELECT pg_cancel_backend($1)";
        other.query(cancel, &[&builder]).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(optimizer.create(&definition, &options), cancelling);
    let (failure, leftover) = failure(outcome);
    assert!(matches!(failure, Failure::Cancelled), "{failure}");
    assert_eq!((leftover, made(&client).await), (None, vec![]));
}

/// Ends the session that builds, and answers what was said of it.
async fn kill_the_builder(with_observer: bool) -> (Client, ruleiq_test_support::TestDatabase) {
    let (database, client) = database(TABLE).await;
    let (other, third) = (database.client().await, database.client().await);
    let builder = pid(&client).await;
    let definition = endless(&client).await;
    let options = unsuspecting();
    let killing = async {
        eventually(PATIENCE, || is_building(&third)).await;
        let kill = "SELECT pg_terminate_backend($1)";
        third.query(kill, &[&builder]).await.unwrap();
    };
    let watched = DatabaseOptimizer::builder(&client).observer(&other).build();
    let alone = DatabaseOptimizer::new(&client);
    let building = async {
        match with_observer {
            true => watched.create(&definition, &options).await,
            false => alone.create(&definition, &options).await,
        }
    };
    let (outcome, ()) = tokio::join!(building, killing);
    let (failure, leftover) = failure(outcome);
    assert!(matches!(failure, Failure::ConnectionLost), "{failure}");
    assert_eq!(leftover.is_none(), with_observer, "{leftover:?}");
    (third, database)
}

#[tokio::test]
async fn an_observer_cleans_up_after_a_session_that_was_killed() {
    let (client, _database) = kill_the_builder(true).await;
    assert_eq!(made(&client).await, []);
    let locks = "SELECT FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(client.query(locks, &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn without_an_observer_the_next_call_cleans_up_after_a_killed_session() {
    let (client, _database) = kill_the_builder(false).await;
    let left = made(&client).await;
    assert_eq!((left.len(), left[0].1), (1, false), "{left:?}");
    created(create(&client, &["a"], &unsuspecting()).await);
    assert_eq!(made(&client).await, [("idx_t_a".to_owned(), true)]);
}

#[tokio::test]
async fn a_call_that_was_dropped_half_way_is_made_up_for_by_the_next() {
    let (database, client) = database(TABLE).await;
    let (blocker, other, builder) = (
        database.client().await,
        database.client().await,
        pid(&client).await,
    );
    blocker
        .batch_execute("BEGIN; UPDATE t SET a = 0 WHERE id = 1")
        .await
        .unwrap();
    let options = unsuspecting().wait_limit(PATIENCE);
    tokio::select! {
        outcome = create(&client, &["a"], &options) => panic!("{outcome:?}"),
        () = eventually(PATIENCE, || waits(&other, builder)) => {}
    }
    // The server goes on; whoever comes next waits for its turn.
    let next = create(&other, &["a"], &options);
    let freeing = async {
        blocker.batch_execute("COMMIT").await.unwrap();
        drop(client);
    };
    let (outcome, ()) = tokio::join!(next, freeing);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(made(&other).await, [("idx_t_a".to_owned(), true)]);
}

#[tokio::test]
async fn a_dropped_call_does_not_keep_the_turn_of_its_own_connection() {
    let (database, client) = database(TABLE).await;
    let (blocker, other, builder) = (
        database.client().await,
        database.client().await,
        pid(&client).await,
    );
    blocker
        .batch_execute("BEGIN; UPDATE t SET a = 0 WHERE id = 1")
        .await
        .unwrap();
    let options = unsuspecting().wait_limit(PATIENCE);
    tokio::select! {
        outcome = create(&client, &["a"], &options) => panic!("{outcome:?}"),
        () = eventually(PATIENCE, || waits(&other, builder)) => {}
    }
    blocker.batch_execute("COMMIT").await.unwrap();
    created(create(&client, &["a"], &options).await);
    created(create(&other, &["b"], &options).await);
    assert_eq!(made(&other).await.len(), 2);
}

#[tokio::test]
async fn a_full_disk_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let servers = with_settings(&[]).await;
    let client = connect(servers.postgres_url()).await;
    client.batch_execute(TABLE).await.unwrap();
    let more = "INSERT INTO t SELECT it, it, repeat(md5(it::text), 3), it
                FROM generate_series(5001, 60000) it";
    client.batch_execute(more).await.unwrap();
    let space = format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder());
    client.batch_execute(&space).await.unwrap();
    client
        .batch_execute("SET default_tablespace = small")
        .await
        .unwrap();

    let (failure, leftover) = failure(create(&client, &["b"], &unsuspecting()).await);

    assert!(matches!(failure, Failure::DiskFull), "{failure}");
    assert_eq!((leftover, made(&client).await), (None, vec![]));
    client
        .batch_execute("RESET default_tablespace")
        .await
        .unwrap();
    created(create(&client, &["b"], &unsuspecting()).await);
    client.batch_execute("DROP TABLESPACE small").await.unwrap();
}

#[tokio::test]
async fn a_value_of_a_row_is_in_no_error() {
    let (_database, client) = database(TABLE).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let mut definition = optimizer.index_on("t", &["b"]).await.unwrap();
    definition.keys = vec![Key::expression("b::int")];

    let error = optimizer
        .create(&definition, &unsuspecting())
        .await
        .unwrap_err();

    let (mut texts, mut source) = (vec![error.to_string()], std::error::Error::source(&error));
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    let all = format!("{texts:?} {error:?}");
    assert!(all.contains("22P02") && !all.contains("text 1"), "{all}");
    assert_eq!(made(&client).await, []);
}

#[tokio::test]
async fn what_the_server_refuses_is_said() {
    let (_database, client) = database("CREATE TABLE t (j json)").await;
    let (failure, leftover) = failure(create(&client, &["j"], &unsuspecting()).await);
    assert!(
        failure.to_string().contains("no default operator class"),
        "{failure}"
    );
    assert_eq!((leftover, made(&client).await), (None, vec![]));
}

async fn with_settings(settings: &[(&str, &str)]) -> OwnServers {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    OwnServers::start(Spec {
        postgres: Some(PostgresSpec {
            settings: settings.iter().map(owned).collect(),
            ..PostgresSpec::default()
        }),
        ..Spec::default()
    })
    .await
}

/// A disk of four megabytes that every user reaches. It is unmounted with this value.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    const MIB: u32 = 4;

    /// `None`, and a line that says so, where this user may not mount.
    #[allow(
        clippy::print_stdout,
        reason = "whoever runs the test should know what it left out"
    )]
    fn mount() -> Option<SmallDisk> {
        let name = format!("ruleiq-small-disk-{}", std::process::id());
        let disk = SmallDisk(std::path::Path::new("/var/tmp").join(name));
        std::fs::create_dir(&disk.0).unwrap();
        let options = format!("size={}m,mode=0777", SmallDisk::MIB);
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&disk.0);
        let is_mounted = mount.output().is_ok_and(|it| it.status.success());
        if !is_mounted {
            println!("left out: a full disk needs a tmpfs, which this user may not mount");
            return None;
        }
        std::fs::create_dir(disk.0.join("space")).unwrap();
        let owner = std::process::Command::new("chown")
            .arg("postgres")
            .arg(disk.folder())
            .status();
        assert!(
            owner.unwrap().success(),
            "the servers of tests run as postgres"
        );
        Some(disk)
    }

    fn folder(&self) -> String {
        self.0.join("space").display().to_string()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may close its files a moment later.
        let unmount = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .output();
        drop(unmount);
        drop(std::fs::remove_dir(&self.0));
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_before_says_what_could_not_be_read() {
    let (database, client) = database(TABLE).await;
    let definition = DatabaseOptimizer::new(&client)
        .index_on("t", &["a"])
        .await
        .unwrap();
    let builder = pid(&client).await;
    let other = database.client().await;
    other
        .query("SELECT pg_terminate_backend($1)", &[&builder])
        .await
        .unwrap();
    eventually(PATIENCE, || async { client.is_closed() }).await;
    let outcome = DatabaseOptimizer::new(&client)
        .create(&definition, &CreateIndexOptions::default())
        .await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "could not read the state of the session"
    );
    assert!(Queries::execute(&other, "SELECT 1", &[]).await.is_ok());
}

#[tokio::test]
async fn an_observer_cleans_up_after_a_network_that_went_silent() {
    let (database, owner) = database(TABLE).await;
    let definition = endless(&owner).await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let client = connect(&proxy.url(database.url())).await;
    let optimizer = DatabaseOptimizer::builder(&client).observer(&owner).build();
    let options = unsuspecting()
        .time_limit(Duration::from_secs(1))
        .wait_limit(Duration::from_secs(10));
    let other = database.client().await;
    let stalling = async {
        eventually(PATIENCE, || is_building(&other)).await;
        proxy.stall().await;
    };

    let (outcome, ()) = tokio::join!(optimizer.create(&definition, &options), stalling);

    let (failure, leftover) = failure(outcome);
    assert!(matches!(failure, Failure::NoAnswer { .. }), "{failure}");
    assert_eq!((leftover, made(&other).await), (None, vec![]));
}

#[tokio::test]
async fn an_expression_is_no_way_to_a_second_statement() {
    let (_database, client) = database(TABLE).await;
    client
        .batch_execute("CREATE TABLE p (a int) PARTITION BY LIST (a)")
        .await
        .unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    for table in ["t", "p"] {
        let mut definition = optimizer.index_on(table, &["a"]).await.unwrap();
        definition.keys = vec![Key::expression("a)); DROP TABLE t; --")];
        let outcome = optimizer.create(&definition, &unsuspecting()).await;
        let (failure, leftover) = failure(outcome);
        let is_refused = matches!(&failure, Failure::Refused { code, .. } if code == "42601");
        assert!(is_refused && leftover.is_none(), "{failure}");
    }
    assert_eq!(
        client.query("SELECT FROM t", &[]).await.unwrap().len(),
        5000
    );
    assert_eq!(made(&client).await, []);
}
