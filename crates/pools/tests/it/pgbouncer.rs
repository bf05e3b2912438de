//! The core of all this through `PgBouncer` in transaction pooling, where each transaction may meet
//! another server process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    TryStreamExt as _,
    future::{join_all, try_join_all},
    stream,
};
use ruleiq_pools::{PoolManager, PostgresConfig, Session};
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec, eventually};
use tokio::time::Instant;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::{
    cancellation, deadlines,
    fixture::{PATIENCE, Place, config, is_running, manager, poll_times},
    reader, storms, transactions,
};

struct Behind {
    servers: OwnServers,
    /// Past the pooler.
    owner: tokio_postgres::Client,
}

impl Behind {
    async fn start() -> Behind {
        let servers = OwnServers::start(Spec {
            postgres: Some(PostgresSpec::default()),
            pgbouncer: true,
            ..Spec::default()
        })
        .await;
        let connecting = tokio_postgres::connect(servers.postgres_url(), NoTls);
        let (owner, connection) = connecting.await.unwrap();
        tokio::spawn(connection);
        owner
            .batch_execute(
                "CREATE TYPE mood AS ENUM ('glad', 'sad');
                 CREATE TABLE t (n int, mood mood DEFAULT 'glad')",
            )
            .await
            .unwrap();
        Behind { servers, owner }
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig {
            transaction_pooling: true,
            ..config(self.servers.pgbouncer_url())
        }
    }

    /// A database of its own.
    async fn place(&self) -> Place {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("place_{}", NUMBER.fetch_add(1, Relaxed));
        let create = format!("CREATE DATABASE {name}");
        self.owner.batch_execute(&create).await.unwrap();
        let at = |url: &str| format!("{}/{name}", url.rsplit_once('/').unwrap().0);
        Place {
            config: PostgresConfig {
                url: at(self.servers.pgbouncer_url()).into(),
                ..self.config()
            },
            owner_url: at(self.servers.postgres_url()),
        }
    }

    async fn rows(&self) -> i64 {
        let row = self.owner.query_one("SELECT count(*) FROM t", &[]).await;
        row.unwrap().get(0)
    }
}

/// How many statements are prepared on the server process that answers.
async fn prepared(session: &Session) -> i64 {
    let sql = "SELECT count(*) FROM pg_prepared_statements";
    let messages = session.driver().simple_query(sql).await.unwrap();
    messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        })
        .unwrap()
}

/// Sees that nothing was left on any of the server processes, by holding all of them at once.
async fn nothing_is_left(pools: &PoolManager) {
    let sessions = join_all((0..4).map(|_| pools.session())).await;
    for mut session in sessions.into_iter().map(Result::unwrap) {
        assert_eq!(prepared(&session).await, 0);
        let transaction = session.transaction().await.unwrap();
        transaction.query_one("SELECT 1", &[]).await.unwrap();
        transaction.rollback().await.unwrap();
    }
}

async fn use_all_there_is(session: &mut Session, n: i32) -> Result<(), Error> {
    let row = session
        .query_one("SELECT $1::int AS n, $2::text AS word", &[&n, &"word"])
        .await?;
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (n, "word"));

    let statement = session.prepare("SELECT $1::int + 1").await?;
    assert_eq!(
        (statement.params().len(), statement.columns().len()),
        (1, 1)
    );
    let row = session.query_one(&statement, &[&n]).await?;
    assert_eq!(row.get::<_, i32>(0), n + 1);

    let inserted = session.execute("INSERT INTO t VALUES ($1)", &[&n]).await?;
    assert_eq!(inserted, 1);
    let chunks = stream::iter([Bytes::from(format!("{n}\tsad\n"))]);
    assert_eq!(session.copy_in("COPY t FROM STDIN", chunks).await?, 1);
    let rows = session
        .stream("SELECT generate_series(1, $1)", &[&100_i32])
        .await?;
    assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 100);

    let transaction = session.transaction().await?;
    let chunks = stream::iter([Bytes::from(format!("{n}\n"))]);
    transaction.copy_in("COPY t (n) FROM STDIN", chunks).await?;
    let text = format!("SELECT count(*), {n} FROM t WHERE n = $1");
    let row = transaction.query_one(&text, &[&n]).await?;
    assert_eq!(row.get::<_, i64>(0), 3);
    transaction.commit().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_and_leaves_no_name_behind() {
    let behind = Behind::start().await;
    // As two services would.
    let pools = [manager(behind.config()), manager(behind.config())];
    let users = (0..40).map(|n| {
        let pools = &pools[usize::from(n % 2 == 0)];
        async move {
            let mut session = pools.session().await.unwrap();
            use_all_there_is(&mut session, n).await
        }
    });
    try_join_all(users).await.unwrap();
    assert_eq!(behind.rows().await, 3 * 40);
    nothing_is_left(&pools[0]).await;
    let statements = pools[0].stats().statements.unwrap();
    assert!(
        statements.hits > 0 && statements.misses > 0,
        "{statements:?}"
    );
    assert_eq!(pools[0].health_check().await.database, Some(true));
}

#[tokio::test]
async fn types_of_the_database_s_own_are_known() {
    let behind = Behind::start().await;
    let pools = manager(behind.config());
    let texts = [
        "SELECT $1::text::mood",
        "SELECT ARRAY[$1::text::mood]",
        "SELECT mood FROM t WHERE mood = $1::text::mood",
        "SELECT $1::text::made::text",
    ];
    behind
        .owner
        .batch_execute("CREATE DOMAIN made AS text; INSERT INTO t VALUES (1, 'sad')")
        .await
        .unwrap();
    for _ in 0..3 {
        let sessions = join_all((0..4).map(|_| pools.session())).await;
        for session in sessions.into_iter().map(Result::unwrap) {
            for text in texts {
                let rows = session.query(text, &[&"sad"]).await.unwrap();
                assert_eq!(rows.len(), 1, "{text}");
            }
        }
    }
    nothing_is_left(&pools).await;
}

#[tokio::test]
async fn a_parameter_that_changed_its_type_is_asked_for_again() {
    let behind = Behind::start().await;
    let pools = manager(behind.config());
    let session = pools.session().await.unwrap();
    let text = "INSERT INTO t (n) VALUES ($1)";
    session.execute(text, &[&1_i32]).await.unwrap();
    let change = "ALTER TABLE t ALTER n TYPE bigint";
    behind.owner.batch_execute(change).await.unwrap();
    session.execute(text, &[&2_i64]).await.unwrap();
    let change = "ALTER TABLE t ALTER n TYPE text";
    behind.owner.batch_execute(change).await.unwrap();
    session.execute(text, &[&"three"]).await.unwrap();
    // What never fits is an error, and so are too few and too many parameters.
    session.execute(text, &[&4_i32]).await.unwrap_err();
    session.execute(text, &[]).await.unwrap_err();
    session.execute(text, &[&"5", &"6"]).await.unwrap_err();
    session.query("SELECT nonsense", &[]).await.unwrap_err();
    session.execute(text, &[&"seven"]).await.unwrap();
    assert_eq!(behind.rows().await, 4);
    drop(session);
    nothing_is_left(&pools).await;
}

#[tokio::test]
async fn what_is_asked_in_between_undoes_nobody_else_s_work() {
    let behind = Behind::start().await;
    let pools = manager(behind.config());
    // Given up at any step of asking,
    for polls in 1..12 {
        let session = pools.session().await.unwrap();
        let text = format!("SELECT {polls} + $1::int");
        drop(poll_times(polls, session.query(&text, &[&1_i32])).await);
        session
            .batch_execute("INSERT INTO t VALUES (1)")
            .await
            .unwrap();
    }
    assert_eq!(behind.rows().await, 11);
    // and failed while somebody else works on the same session.
    let session = pools.session().await.unwrap();
    for n in 0..20 {
        let text = format!("SELECT nonsense_{n}");
        let (failed, one, two) = tokio::join!(
            session.query(&text, &[]),
            session.batch_execute("INSERT INTO t VALUES (2)"),
            session.execute("INSERT INTO t VALUES ($1)", &[&3_i32]),
        );
        failed.unwrap_err();
        one.unwrap();
        two.unwrap();
    }
    assert_eq!(behind.rows().await, 11 + 40);
    drop(session);
    nothing_is_left(&pools).await;
}

#[tokio::test]
async fn the_core_of_the_suite_holds_here_too() {
    let behind = Behind::start().await;
    transactions::all(async || behind.place().await).await;
    cancellation::all(async || behind.place().await).await;
    deadlines::all(async || behind.place().await).await;
    reader::all(async || behind.place().await).await;
}

#[tokio::test]
async fn a_type_that_came_later_costs_a_connection_and_is_known_then() {
    let behind = Behind::start().await;
    let pools = manager(behind.config());
    let session = pools.session().await.unwrap();
    session.query("SELECT mood FROM t", &[]).await.unwrap();
    let change = "CREATE TYPE later AS ENUM ('a'); ALTER TABLE t ADD later later";
    behind.owner.batch_execute(change).await.unwrap();
    let ask = "SELECT later FROM t WHERE n = $1";
    let error = session.query(ask, &[&1_i32]).await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "26000");
    assert!(
        session
            .query(ask, &[&1_i32])
            .await
            .unwrap_err()
            .is_connection_lost()
    );
    drop(session);
    eventually(PATIENCE, || async {
        let session = pools.session().await.unwrap();
        session.query(ask, &[&1_i32]).await.is_ok()
    })
    .await;
    nothing_is_left(&pools).await;
}

#[tokio::test]
async fn a_procedure_that_has_committed_is_not_run_again() {
    let behind = Behind::start().await;
    behind
        .owner
        .batch_execute(
            "CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS
             $$BEGIN INSERT INTO t VALUES (n); COMMIT; PERFORM no_such_function(n); END$$",
        )
        .await
        .unwrap();
    let pools = manager(behind.config());
    let session = pools.session().await.unwrap();
    session
        .execute("CALL work($1)", &[&1_i32])
        .await
        .unwrap_err();
    assert_eq!(behind.rows().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_share_a_session_undo_nothing_of_each_other() {
    let behind = Behind::start().await;
    let pools = manager(behind.config());
    let session = Arc::new(pools.session().await.unwrap());
    let writes = tokio::spawn({
        let session = Arc::clone(&session);
        async move {
            for n in 0..300_i32 {
                session
                    .execute("INSERT INTO t VALUES ($1)", &[&n])
                    .await
                    .unwrap();
            }
        }
    });
    let texts = tokio::spawn(async move {
        for n in 0..300 {
            let text = format!("SELECT $1::int + {n}");
            session.query(&text, &[&1_i32]).await.unwrap();
        }
    });
    writes.await.unwrap();
    texts.await.unwrap();
    assert_eq!(behind.rows().await, 300);
}

#[tokio::test]
async fn a_deadline_stops_the_statement_on_the_server() {
    let behind = Behind::start().await;
    let pools = manager(behind.config());
    let session = pools.session().await.unwrap();
    let scope = Scope::builder()
        .deadline(Instant::now() + Duration::from_millis(300))
        .build();
    let late = scope.run(session.query("SELECT pg_sleep(600)", &[])).await;
    assert!(matches!(late, Err(Error::TimedOut { .. })), "{late:?}");
    drop(session);
    eventually(PATIENCE, || async {
        !is_running(&behind.owner, "pg_sleep(600)").await
    })
    .await;
}

#[tokio::test]
async fn without_the_setting_the_refusal_says_why() {
    let behind = Behind::start().await;
    let pools = manager(config(behind.servers.pgbouncer_url()));
    let error = pools.session().await.unwrap_err();
    assert!(!error.is_transient());
    let chain = causes(&error).join(": ");
    assert!(chain.contains("set `transaction_pooling`"), "{chain}");
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_cancellations_through_a_pooler() {
    let behind = Behind::start().await;
    let url = behind.servers.pgbouncer_url();
    storms::cancellation::storm("pgbouncer", behind.config(), url).await;
}
