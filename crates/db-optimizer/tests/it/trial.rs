//! Trying advice out on a database that nobody else uses.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ruleiq_db_optimizer::{
    Advice, AdviseOptions, Budget, DatabaseOptimizer, DiscardReason, NotRunReason, Trial,
    TrialError, TrialOptions, TrialStep, Workload,
};
use ruleiq_test_support::TestDatabase;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{WITHOUT_AUTOVACUUM, connect, database};

/// Rows that lie in another order than `made` has them. All that are rare were made last, which the planner
/// does not know.
const EVENTS: &str = "
    CREATE TABLE events (id integer PRIMARY KEY, made integer, rare boolean, x text);
    INSERT INTO events
    SELECT n, n * 7919 % 100003, n * 7919 % 100003 > 99000, repeat('x', 40) FROM generate_series(1, 100002) n";
const BY_MADE: &str = "-- name: newest weight: 100
SELECT id FROM events ORDER BY made DESC LIMIT 5;
-- name: at
SELECT id FROM events WHERE made = 7;
";
const PARTED: &str = "
    CREATE TABLE parted (id integer, made integer) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (50000);
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (50000) TO (200000);
    INSERT INTO parted SELECT n, n * 7919 % 100003 FROM generate_series(1, 100002) n";
const AT_PARTED: &str = "-- name: at
SELECT id FROM parted WHERE made = 7;
";
/// By the planner's costs, the index on `made` finds ten rare ones soon.
const RARE: &str = "-- name: at
SELECT id FROM events WHERE made = 7;
-- name: rare
SELECT id, x FROM events WHERE rare ORDER BY made LIMIT 10;
";

async fn with_hypopg(sql: &str) -> (TestDatabase, Client) {
    let sql = format!("CREATE EXTENSION hypopg; {sql}; {WITHOUT_AUTOVACUUM}; ANALYZE");
    database(&sql).await
}

async fn advise(client: &Client, workload: &str) -> Advice {
    let workload = Workload::parse(workload).unwrap();
    let mut options = AdviseOptions::default();
    options.budget = Budget::Share(3.0);
    let optimizer = DatabaseOptimizer::new(client);
    let advice = optimizer.advise(&workload, &options, |_| ()).await;
    advice.unwrap()
}

async fn try_out(client: &Client, workload: &str, advice: &Advice) -> Result<Trial, TrialError> {
    let workload = Workload::parse(workload).unwrap();
    let optimizer = DatabaseOptimizer::new(client);
    let options = TrialOptions::default();
    optimizer.trial(&workload, advice, &options, |_| ()).await
}

/// The indexes and rows that there are, and whether a transaction is open.
async fn state(client: &Client, table: &str) -> (i64, i64, bool) {
    let sql = format!(
        "SELECT (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'),
                (SELECT count(*) FROM {table})"
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    // Outside of a transaction there is no savepoint.
    let is_open = client.batch_execute("SAVEPOINT probe").await.is_ok();
    (row.get(0), row.get(1), is_open)
}

#[tokio::test]
async fn an_index_that_makes_a_statement_slower_is_left_out() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    let [by_made] = &advice.indexes[..] else {
        panic!("{advice}");
    };
    let trial = try_out(&client, RARE, &advice).await.unwrap();
    assert!(trial.is_complete && trial.not_run.is_empty(), "{trial:?}");
    let [discarded] = &trial.discarded[..] else {
        panic!("{trial:?}");
    };
    assert_eq!(discarded.name, by_made.name);
    let DiscardReason::Slower { statement, .. } = &discarded.reason else {
        panic!("{discarded:?}");
    };
    assert_eq!(statement, "rare");
    assert!(trial.statements.iter().all(|it| !it.is_slower), "{trial:?}");
    assert_eq!(state(&client, "events").await, (1, 100_002, false));

    let name = by_made.name.clone();
    let advice = advice.tried(trial);
    assert!(advice.indexes.is_empty() && advice.size_bytes == 0);
    let left = advice.cost_after / advice.cost_before;
    assert!((left - 1.0).abs() < 1e-6, "{left}");
    let text = advice.to_string();
    assert!(!text.contains("no index helps"), "{text}");
    let told = format!("-- left out: {name}: with it, rare was slower: ");
    assert!(text.contains(&told), "{text}");
    let json = serde_json::to_value(&advice).unwrap();
    let discarded = &json["trial"]["discarded"][0];
    assert_eq!(discarded["reason"], "slower", "{json}");
    assert!(discarded["before_ms"].as_f64().unwrap() > 0.0, "{json}");
}

#[tokio::test]
async fn an_index_that_helps_stays_and_its_plan_is_told() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    let mut steps = Vec::new();
    let workload = Workload::parse(BY_MADE).unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let options = TrialOptions::default();
    let trial = optimizer.trial(&workload, &advice, &options, |it| steps.push(it));
    let trial = trial.await.unwrap();
    assert!(trial.discarded.is_empty(), "{trial:?}");
    assert!(trial.size_bytes > 100_000 && trial.after() == trial.with_all);
    let expected = [TrialStep::Before, TrialStep::Building, TrialStep::After];
    let told: Vec<TrialStep> = steps.iter().map(|it| it.step).collect();
    assert_eq!(told[..2], [TrialStep::Before; 2]);
    assert!(expected.iter().all(|it| told.contains(it)), "{told:?}");
    assert!(steps.iter().all(|it| it.done < it.of), "{steps:?}");

    let name = advice.indexes[0].name.clone();
    let after = trial.statements[0].plan_after.as_ref().unwrap();
    assert!(after.contains(&name), "{after}");
    let cost = advice.cost_after;
    let advice = advice.tried(trial);
    assert!((advice.cost_after - cost).abs() < 1e-9 && advice.indexes.len() == 1);
}

#[tokio::test]
async fn only_what_reads_is_run() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let sql = "CREATE SEQUENCE s; CREATE FUNCTION writes() RETURNS bigint LANGUAGE sql VOLATILE AS
               'DELETE FROM events RETURNING 1::bigint'";
    client.batch_execute(sql).await.unwrap();
    let advice = advise(&client, BY_MADE).await;
    let statements = [
        ("reads", "SELECT id FROM events WHERE made = 7"),
        ("deletes", "DELETE FROM events"),
        ("calls", "SELECT writes()"),
        ("counts", "SELECT nextval('s')"),
        ("locks", "SELECT * FROM events WHERE id = 1 FOR UPDATE"),
        ("parameter", "SELECT * FROM events WHERE id = $1"),
        ("command", "VACUUM events"),
        ("two", "SELECT 1; DELETE FROM events"),
        ("ends", "COMMIT"),
        ("breaks", "SELECT 1 / 0"),
        (
            "escapes",
            "SELECT set_config('transaction_read_only', 'off', false)",
        ),
        ("options", "(ANALYZE) DELETE FROM events"),
    ];
    let statements =
        statements.map(|(name, sql)| ruleiq_db_optimizer::WorkloadStatement::new(name, sql, 1.0));
    let optimizer = DatabaseOptimizer::new(&client);
    let options = TrialOptions::default();
    let workload = Workload::new(statements);
    let trial = optimizer.trial(&workload, &advice, &options, |_| ());
    let trial = trial.await.unwrap();
    let refused = |state: &str| NotRunReason::Refused {
        sql_state: state.to_owned(),
    };
    let expected = [
        ("deletes", NotRunReason::Writes),
        ("calls", NotRunReason::Writes),
        ("counts", NotRunReason::Writes),
        ("locks", NotRunReason::Writes),
        ("parameter", NotRunReason::Parameters),
        ("command", NotRunReason::Command),
        ("two", refused("42601")),
        ("ends", NotRunReason::Command),
        ("breaks", refused("22012")),
        ("escapes", refused("25001")),
        ("options", NotRunReason::Command),
    ];
    let not_run = trial.not_run.iter();
    let not_run: Vec<_> = not_run
        .map(|it| (it.name.as_str(), it.reason.clone()))
        .collect();
    assert_eq!(not_run, expected);
    let called = "SELECT is_called FROM s";
    let row = client.query_one(called, &[]).await.unwrap();
    assert!(!row.get::<_, bool>(0));
    assert_eq!(state(&client, "events").await, (1, 100_002, false));
    client
        .batch_execute("DELETE FROM events WHERE id = 1")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_index_that_no_plan_takes_or_that_cannot_be_built_is_left_out() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let workload = "-- name: at
SELECT id FROM events WHERE made = 7;
-- name: part
SELECT id FROM events WHERE 1000000 / (made + 1) = 77;
";
    let advice = advise(&client, workload).await;
    assert_eq!(advice.indexes.len(), 2, "{advice}");
    // Few rows, of which one has no such value.
    let change = "TRUNCATE events; INSERT INTO events VALUES (1, -1, true, ''); ANALYZE events";
    client.batch_execute(change).await.unwrap();
    let trial = try_out(&client, BY_MADE, &advice).await.unwrap();
    let mut reasons: Vec<_> = trial.discarded.iter().map(|it| it.reason.clone()).collect();
    assert_eq!(
        reasons.remove(0),
        DiscardReason::NotBuilt {
            sql_state: "22012".to_owned()
        }
    );
    assert_eq!(reasons, [DiscardReason::Unused]);
    assert_eq!(trial.size_bytes, 0);
}

#[tokio::test]
async fn what_cannot_be_tried_is_an_error_and_changes_nothing() {
    let (database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    client.batch_execute("BEGIN").await.unwrap();
    let error = try_out(&client, BY_MADE, &advice).await.unwrap_err();
    assert!(matches!(error, TrialError::InTransaction), "{error}");
    client.batch_execute("ROLLBACK").await.unwrap();

    let error = try_out(&client, "SELECT $1::int; COMMIT", &advice).await;
    let Err(TrialError::NothingRuns { not_run }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(not_run.len(), 2, "{not_run:?}");

    let somebody = connect(database.url()).await;
    let error = try_out(&client, BY_MADE, &advice).await.unwrap_err();
    assert!(matches!(error, TrialError::InUse { clients: 1 }), "{error}");
    drop(somebody);

    let role = format!("trial_reader_{}", database.name());
    let become_it =
        format!("CREATE ROLE {role}; GRANT SELECT ON events TO {role}; SET ROLE {role}");
    client.batch_execute(&become_it).await.unwrap();
    let error = try_out(&client, BY_MADE, &advice).await.unwrap_err();
    assert!(matches!(error, TrialError::Build { .. }), "{error}");
    let leave_it = format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}");
    client.batch_execute(&leave_it).await.unwrap();
    assert_eq!(state(&client, "events").await, (1, 100_002, false));
}

#[tokio::test]
async fn a_trial_ends_at_its_limits_and_when_it_is_told_to() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    let workload = Workload::parse(BY_MADE).unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let stop = Arc::new(AtomicBool::new(false));
    let mut options = TrialOptions::default();
    options.stop = Some(Arc::clone(&stop));
    let trial = optimizer.trial(&workload, &advice, &options, |it| {
        let is_building = it.step == TrialStep::Building;
        stop.fetch_or(is_building, std::sync::atomic::Ordering::Relaxed);
    });
    let trial = trial.await.unwrap();
    assert!(
        !trial.is_complete && trial.statements.len() == 2,
        "{trial:?}"
    );
    assert!(trial.discarded.is_empty(), "{trial:?}");
    assert!(
        trial.statements.iter().all(|it| it.after.is_none()),
        "{trial:?}"
    );
    assert_eq!(state(&client, "events").await, (1, 100_002, false));
    let costs = |it: &Advice| (it.cost_after, it.create_statements());
    let (before, advice) = (costs(&advice), advice.tried(trial));
    assert_eq!(costs(&advice), before, "nothing was seen with them");
    let text = advice.to_string();
    assert!(text.contains("a limit ended the trial"), "{text}");
    assert!(!text.contains("with all of them"), "{text}");

    // Of three statements, two take too long without indexes.
    let slow = "SELECT 1; SELECT pg_sleep(60); SELECT pg_sleep(70)";
    let workload = Workload::parse(slow).unwrap();
    let mut options = TrialOptions::default();
    options.timeout = Duration::from_secs(2);
    let trial = optimizer.trial(&workload, &advice, &options, |_| ());
    let trial = trial.await.unwrap();
    let reasons: Vec<_> = trial.not_run.iter().map(|it| &it.reason).collect();
    assert_eq!(reasons, [&NotRunReason::TooSlow; 2]);
}

#[tokio::test]
async fn an_index_with_which_a_statement_fails_is_left_out() {
    // The function fails once the table has a second index.
    let sql = "CREATE TABLE facts (id integer PRIMARY KEY, kind integer);
        INSERT INTO facts SELECT n, n % 1000 FROM generate_series(1, 50000) n;
        CREATE FUNCTION number(value integer) RETURNS integer LANGUAGE plpgsql STABLE COST 1000 AS
        'BEGIN IF (SELECT count(*) FROM pg_indexes WHERE tablename = ''facts'') > 1 THEN
         RAISE invalid_text_representation; END IF; RETURN 1; END'";
    let (_database, client) = with_hypopg(sql).await;
    let workload = "-- name: kind
SELECT id FROM facts WHERE kind = 7 AND number(kind) = 1;
";
    let advice = advise(&client, workload).await;
    assert_eq!(advice.indexes.len(), 1, "{advice}");
    let trial = try_out(&client, workload, &advice).await.unwrap();
    let [discarded] = &trial.discarded[..] else {
        panic!("{trial:?}");
    };
    let DiscardReason::Slower { fails, .. } = &discarded.reason else {
        panic!("{trial:?}");
    };
    let refused = NotRunReason::Refused {
        sql_state: "22P02".to_owned(),
    };
    assert_eq!(fails.as_ref(), Some(&refused));
    let [statement] = &trial.statements[..] else {
        panic!("{trial:?}");
    };
    assert_eq!(
        (statement.fails.clone(), statement.is_slower),
        (None, false)
    );
}

#[tokio::test]
async fn what_no_what_if_can_test_is_tried() {
    let sql = "CREATE TABLE documents (id integer PRIMARY KEY, body jsonb);
        INSERT INTO documents SELECT n, jsonb_build_object('n', n, 'x', repeat('x', 200))
        FROM generate_series(1, 20000) n";
    let (_database, client) = with_hypopg(sql).await;
    let workload = "-- name: holds
SELECT id FROM documents WHERE body @> '{\"n\": 7}';
";
    let advice = advise(&client, workload).await;
    assert_eq!(
        (advice.indexes.len(), advice.untested.len()),
        (0, 1),
        "{advice}"
    );
    assert_eq!(advice.create_statements(), "");
    let trial = try_out(&client, workload, &advice).await.unwrap();
    let after = trial.statements[0].plan_after.as_ref().unwrap();
    assert!(after.contains(&advice.untested[0].name), "{after}");
    let advice = advice.tried(trial);
    assert!(advice.create_statements().contains("USING gin"), "{advice}");
}

#[tokio::test]
async fn an_index_of_a_partitioned_table_is_known_by_those_of_its_partitions() {
    let (_database, client) = with_hypopg(PARTED).await;
    let advice = advise(&client, AT_PARTED).await;
    let count = advice.indexes.len() + advice.untested.len();
    assert_eq!(count, 1, "{advice}");
    let trial = try_out(&client, AT_PARTED, &advice).await.unwrap();
    assert!(
        trial.discarded.is_empty() && trial.size_bytes > 100_000,
        "{trial:?}"
    );
}

#[tokio::test]
async fn an_index_that_takes_over_one_of_a_partition_is_not_tried() {
    let (_database, client) = with_hypopg(PARTED).await;
    let advice = advise(&client, AT_PARTED).await;
    let advised = advice
        .indexes
        .iter()
        .chain(&advice.untested)
        .next()
        .unwrap();
    let on = advised.definition.on_clause().replace("parted", "parted_1");
    let sql = format!("CREATE INDEX there {on}");
    client.batch_execute(&sql).await.unwrap();
    let trial = try_out(&client, AT_PARTED, &advice).await.unwrap();
    assert_eq!(trial.passed_over, [advised.name.as_str()]);
    assert!(
        trial.discarded.is_empty() && trial.taken.is_empty(),
        "{trial:?}"
    );
    let row = client.query_one("SELECT to_regclass('there') IS NOT NULL", &[]);
    assert!(row.await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn a_trial_ends_when_its_time_is_over() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    let workload = format!("{BY_MADE}-- name: sleeps\nSELECT pg_sleep(3);\n{RARE}");
    let workload = Workload::parse(&workload).unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let mut options = TrialOptions::default();
    options.time = Duration::from_secs(2);
    let trial = optimizer.trial(&workload, &advice, &options, |_| ());
    let trial = trial.await.unwrap();
    assert!(!trial.is_complete && trial.with_all.is_none(), "{trial:?}");
    let not_tried = trial
        .not_run
        .iter()
        .filter(|it| it.reason == NotRunReason::NotTried);
    assert!(not_tried.count() >= 2, "{trial:?}");
    assert_eq!(state(&client, "events").await, (1, 100_002, false));
}

#[tokio::test]
async fn an_index_that_this_transaction_may_not_use_is_told_and_not_discarded() {
    let (database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    // Whoever is connected to another database may still see the row as it was.
    let elsewhere = TestDatabase::empty().await;
    let old = connect(elsewhere.url()).await;
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()";
    old.batch_execute(snapshot).await.unwrap();
    let change = "ALTER TABLE events SET (fillfactor = 50); VACUUM FULL events;
                  UPDATE events SET x = 'y' WHERE id = 5; UPDATE events SET made = -5 WHERE id = 5";
    for part in change.split(';') {
        client.batch_execute(part).await.unwrap();
    }
    let trial = try_out(&client, BY_MADE, &advice).await.unwrap();
    drop(old);
    assert!(trial.discarded.is_empty(), "{trial:?}");
    assert_eq!(trial.passed_over, [advice.indexes[0].name.as_str()]);
    let text = advice.tried(trial).to_string();
    assert!(text.contains("-- could not be tried: "), "{text}");
    drop(database);
}

#[tokio::test]
async fn a_trial_that_is_dropped_leaves_what_a_rollback_takes_away() {
    let (_database, client) = with_hypopg(EVENTS).await;
    let advice = advise(&client, BY_MADE).await;
    let mut was_dropped = 0;
    for ms in [1, 5, 20, 60, 120, 250] {
        let tried = try_out(&client, RARE, &advice);
        let tried = timeout(Duration::from_millis(ms), tried).await;
        was_dropped += usize::from(tried.is_err());
        client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(state(&client, "events").await, (1, 100_002, false));
    }
    assert!(was_dropped > 0);
    let trial = try_out(&client, BY_MADE, &advice).await.unwrap();
    assert!(trial.is_complete, "{trial:?}");
}
