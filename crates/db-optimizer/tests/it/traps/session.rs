//! What asking leaves behind, and what it needs.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use ruleiq_db_optimizer::{
    AdviseError, AdviseOptions, DatabaseOptimizer, NotPlanned, Workload, WorkloadStatement,
};
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec, TestDatabase, eventually};
use tokio_postgres::Client;

use super::{ORDERS, advice, hidden, indexes, options, prepared};
use crate::connect;

const BY_CUSTOMER: &str = "SELECT * FROM orders WHERE customer_id = 42;";
/// With constants and with parameters: they are planned in different ways.
const BOTH: &str = "SELECT * FROM orders WHERE customer_id = 42;
    SELECT * FROM orders WHERE placed_at = $1;";
/// How long a standby may take to learn what its primary knows.
const LIMIT: Duration = Duration::from_secs(30);
const FOR_BOTH: [&str; 2] = [
    "ON public.orders (customer_id)",
    "ON public.orders (placed_at)",
];

/// Hypothetical and hidden indexes, statements that SQL prepared, and settings that are not the session's first.
async fn left(client: &Client) -> (i64, i64, Vec<String>) {
    const LEFT: &str = "
        SELECT (SELECT count(*) FROM hypopg()),
               (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
               ARRAY(SELECT name || ' = ' || setting FROM pg_settings
                     WHERE source = 'session' AND setting <> reset_val ORDER BY name)";
    let row = client.query_one(LEFT, &[]).await.unwrap();
    (
        row.get::<_, i64>(0) + hidden(client).await.unwrap_or(0),
        row.get(1),
        row.get(2),
    )
}

/// Polls a future so often and drops it; answers whether it ended before.
async fn drop_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn a_call_that_fails_leaves_nothing() {
    let (_database, client) = prepared(ORDERS).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let workload = "SELECT * FROM nowhere; SELECT 1 / 0 FROM orders WHERE id = ;";
    let workload = Workload::parse(workload).unwrap();
    let failed = optimizer.advise(&workload, &options(), |_| ()).await;
    let error = failed.unwrap_err();
    let AdviseError::NothingPlanned { unplanned } = &error else {
        panic!("{error}");
    };
    assert_eq!(unplanned.len(), 2);
    assert_eq!(left(&client).await, (0, 0, vec![]));
}

#[tokio::test]
async fn settings_of_the_caller_are_as_they_were() {
    let (_database, client) = prepared(ORDERS).await;
    let set =
        "SET statement_timeout = '7s'; SET jit = off; SET plan_cache_mode = force_custom_plan";
    client.batch_execute(set).await.unwrap();
    let before = left(&client).await;
    assert_eq!(indexes(&advice(&client, BOTH, &options()).await), FOR_BOTH);
    assert_eq!(left(&client).await, before);
}

/// Dropped after every number of polls until it ends: the next call, once the caller has rolled back
/// and reset the settings, finds what the first would have, and leaves nothing.
#[tokio::test]
async fn a_call_that_is_dropped_anywhere_does_not_spoil_the_next() {
    let spare = "CREATE INDEX one ON orders (state, id); CREATE INDEX two ON orders (state, note);";
    let (_database, client) = prepared(&format!("{ORDERS} {spare}")).await;
    let workload = format!("{BOTH}; SELECT count(*) FROM orders WHERE state = 'lost'");
    let workload = Workload::parse(&workload).unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let (mut polls, mut dropped) = (1, 0);
    while !drop_after(polls, optimizer.advise(&workload, &options(), |_| ())).await {
        dropped += 1;
        polls += 1 + polls / 4;
        client.batch_execute("ROLLBACK; RESET ALL").await.unwrap();
        assert_eq!(indexes(&advice(&client, BOTH, &options()).await), FOR_BOTH);
        assert_eq!(left(&client).await, (0, 0, vec![]), "after {polls} polls");
    }
    assert!(dropped > 5, "it was dropped {dropped} times");
}

#[tokio::test]
async fn functions_with_effects_are_not_called() {
    let schema = format!("{ORDERS} CREATE SEQUENCE numbers;");
    let (_database, client) = prepared(&schema).await;
    let workload = "SELECT *, nextval('numbers') FROM orders WHERE customer_id = 42;
        SELECT * FROM orders WHERE id = (SELECT nextval('numbers')) OR customer_id = $1;
        INSERT INTO orders SELECT nextval('numbers'), 1, 'x', now(), now(), 'x';
        DELETE FROM orders WHERE customer_id = 43;";
    let advice = advice(&client, workload, &options()).await;
    assert!(advice.unplanned.is_empty(), "{advice}");
    const COUNTS: &str = "SELECT (SELECT is_called FROM numbers), (SELECT count(*) FROM orders)";
    let row = client.query_one(COUNTS, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, bool>(0), row.get::<_, i64>(1)),
        (false, 20_000)
    );
}

#[tokio::test]
async fn a_text_of_several_commands_is_refused_and_the_others_are_served() {
    let (_database, client) = prepared(ORDERS).await;
    let texts = [
        "SELECT 1; DROP TABLE orders",
        "SELECT $1::int; DROP TABLE orders",
        "SELECT 1 \u{0}; DROP TABLE orders",
        "ANALYZE DELETE FROM orders",
        "WITH x AS (SELECT 1)) SELECT 1; DROP TABLE orders; --",
        "SELECT 1; COMMIT; DROP TABLE orders",
    ];
    let evil = (texts.iter()).map(|it| WorkloadStatement::new(*it, *it, 1.0));
    let good = WorkloadStatement::new("good", BY_CUSTOMER.trim_end_matches(';'), 1.0);
    let workload = Workload::new(evil.chain([good]));
    let optimizer = DatabaseOptimizer::new(&client);
    let advice = optimizer
        .advise(&workload, &options(), |_| ())
        .await
        .unwrap();
    assert_eq!(indexes(&advice), ["ON public.orders (customer_id)"]);
    assert_eq!(
        advice.unplanned.len(),
        texts.len(),
        "{:?}",
        advice.unplanned
    );
    let count = client.query_one("SELECT count(*) FROM orders", &[]).await;
    assert_eq!(count.unwrap().get::<_, i64>(0), 20_000);
}

#[tokio::test]
async fn a_role_that_may_only_read_is_served_and_told_what_it_may_not_see() {
    let (database, owner) = prepared(ORDERS).await;
    let schema = "CREATE TABLE hidden (a int, note text);
        GRANT SELECT ON orders TO ruleiq_monitor; REVOKE ALL ON hidden FROM PUBLIC";
    owner.batch_execute(schema).await.unwrap();
    let client = connect(database.monitor_url()).await;
    let workload = format!("{BY_CUSTOMER} SELECT * FROM hidden WHERE a = 1;");
    let advice = advice(&client, &workload, &options()).await;
    assert_eq!(indexes(&advice), ["ON public.orders (customer_id)"]);
    assert_eq!(advice.unplanned.len(), 1);
    assert_eq!(advice.unplanned[0].reason, NotPlanned::Forbidden);
}

#[tokio::test]
async fn a_standby_is_asked_like_its_primary() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        standby: true,
        ..Spec::default()
    })
    .await;
    let primary = connect(servers.postgres_url()).await;
    primary
        .batch_execute("CREATE EXTENSION hypopg")
        .await
        .unwrap();
    primary.batch_execute(ORDERS).await.unwrap();
    primary.batch_execute("ANALYZE orders").await.unwrap();
    let standby = connect(servers.standby_url()).await;
    eventually(LIMIT, async || {
        let known = "SELECT FROM pg_stats WHERE tablename = 'orders' HAVING count(*) = 6";
        standby.query(known, &[]).await.unwrap().len() == 1
    })
    .await;
    let advice = advice(&standby, BOTH, &options()).await;
    assert_eq!(indexes(&advice), FOR_BOTH);
    assert_eq!(left(&standby).await, (0, 0, vec![]));
}

#[tokio::test]
async fn no_time_and_no_questions_make_an_empty_answer() {
    let (_database, client) = prepared(ORDERS).await;
    let mut without_time = options();
    without_time.time = Duration::ZERO;
    let mut without_questions = options();
    without_questions.explains = 0;
    for options in [without_time, without_questions] {
        let advice = advice(&client, BOTH, &options).await;
        assert!(advice.indexes.is_empty() && !advice.is_complete, "{advice}");
        assert!(
            (advice.cost_after - advice.cost_before).abs() < 1e-9,
            "{advice}"
        );
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let empty = TestDatabase::empty().await;
    let client = empty.client().await;
    let optimizer = DatabaseOptimizer::new(&client);
    let options = AdviseOptions::default();
    let ask = async |workload: Workload| optimizer.advise(&workload, &options, |_| ()).await;
    let without_hypopg = ask(Workload::parse("SELECT 1").unwrap()).await.unwrap();
    assert!(!without_hypopg.has_what_if, "{without_hypopg}");
    let without_statements = ask(Workload::default()).await.unwrap_err();
    assert_eq!(
        without_statements.to_string(),
        "there is no statement in the workload"
    );
}
