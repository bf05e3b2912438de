use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, future::try_join_all, stream};
use ruleiq_pools::{PostgresConfig, Session};
use ruleiq_query::{Fingerprint, Queries as _, Read as _};
use ruleiq_scope::{
    ArgumentPattern::{Different, Same, Unknown},
    Scope,
};
use ruleiq_test_support::TestDatabase;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;

use crate::fixture::{manager, single};

const PREPARED: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%probe%'";

async fn prepared(session: &Session) -> i64 {
    // By the simple protocol, which prepares nothing itself.
    let messages = session.driver().simple_query(PREPARED).await.unwrap();
    messages
        .iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        })
        .unwrap()
}

#[tokio::test]
async fn a_text_is_prepared_once_per_connection() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    for n in 0..5_i32 {
        let mut session = pools.session().await.unwrap();
        let row = session
            .query_one("SELECT $1::int AS probe", &[&n])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i32>(0), n);
        let transaction = session.transaction().await.unwrap();
        transaction
            .query_one("SELECT $1::int AS probe", &[&n])
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        session.prepare("SELECT $1::int AS probe").await.unwrap();
        assert_eq!(prepared(&session).await, 1);
    }
}

#[tokio::test]
async fn only_so_many_statements_are_kept_and_the_last_used_stay() {
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        prepared_statements: NonZeroUsize::new(3).unwrap(),
        ..single(database.url())
    });
    let session = pools.session().await.unwrap();
    for n in 0..20 {
        session
            .query(&format!("SELECT {n} AS probe"), &[])
            .await
            .unwrap();
        session.query("SELECT 'kept' AS probe", &[]).await.unwrap();
        assert!(prepared(&session).await <= 3);
    }
    let sql = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%kept%probe'";
    let kept: i64 = session.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_schema_change_is_not_seen() {
    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    observer
        .batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let pools = manager(single(database.url()));
    let mut session = pools.session().await.unwrap();
    let statement = session.prepare("SELECT *, 1 FROM t").await.unwrap();
    session.query("SELECT * FROM t", &[]).await.unwrap();
    session.query(&statement, &[]).await.unwrap();

    observer
        .batch_execute("ALTER TABLE t ADD b int")
        .await
        .unwrap();
    let rows = session.query("SELECT * FROM t", &[]).await.unwrap();
    assert_eq!(rows[0].len(), 2);
    assert_eq!(session.query(&statement, &[]).await.unwrap()[0].len(), 3);
    observer
        .batch_execute("ALTER TABLE t ADD c int")
        .await
        .unwrap();
    let rows: Vec<_> = session
        .stream("SELECT * FROM t", &[])
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows[0].len(), 3);

    session.batch_execute("DEALLOCATE ALL").await.unwrap();
    session.query("SELECT * FROM t", &[]).await.unwrap();

    // In a transaction the statement has failed; afterwards it is prepared anew.
    observer
        .batch_execute("ALTER TABLE t ADD d int")
        .await
        .unwrap();
    let transaction = session.transaction().await.unwrap();
    let error = transaction.query("SELECT * FROM t", &[]).await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "0A000");
    drop(transaction);
    assert_eq!(
        session.query("SELECT * FROM t", &[]).await.unwrap()[0].len(),
        4
    );
}

#[tokio::test]
async fn a_refused_statement_is_not_run_again() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    session
        .batch_execute(
            "CREATE SEQUENCE calls;
             CREATE FUNCTION refuse() RETURNS int LANGUAGE plpgsql AS
             $$BEGIN PERFORM nextval('calls'); RAISE EXCEPTION SQLSTATE '0A000'; END$$",
        )
        .await
        .unwrap();
    let error = session.query("SELECT refuse()", &[]).await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "0A000");
    let calls: i64 = session
        .query_one("SELECT last_value FROM calls", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(calls, 1);

    session
        .batch_execute(
            "CREATE TABLE done (n int);
             CREATE PROCEDURE work() LANGUAGE plpgsql AS
             $$BEGIN INSERT INTO done VALUES (1); COMMIT; EXECUTE 'DEALLOCATE x'; END$$",
        )
        .await
        .unwrap();
    let error = session.execute("CALL work()", &[]).await.unwrap_err();
    assert_eq!(error.sql_state().unwrap().code(), "26000");
    let done = session.query("SELECT n FROM done", &[]).await.unwrap();
    assert_eq!(done.len(), 1);
}

#[tokio::test]
async fn the_scope_has_each_statement_with_its_line() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let scope = Scope::builder().build();
    let mut lines = Vec::new();
    let work = async {
        let mut session = pools.session().await.unwrap();
        let run = session.batch_execute("CREATE TABLE t (n int)");
        lines.push((line!() - 1, "CREATE TABLE t (n int)", 0));
        run.await.unwrap();
        let run = session.execute("INSERT INTO t VALUES (1), (2)", &[]);
        lines.push((line!() - 1, "INSERT INTO t VALUES (1), (2)", 2));
        run.await.unwrap();
        let chunks = stream::iter([Bytes::from_static(b"3\n")]);
        let run = session.copy_in("COPY t FROM STDIN", chunks);
        lines.push((line!() - 1, "COPY t FROM STDIN", 1));
        run.await.unwrap();
        let run = session.query("SELECT n FROM t", &[]);
        lines.push((line!() - 1, "SELECT n FROM t", 3));
        run.await.unwrap();
        let run = session.query_one("SELECT sum(n) FROM t", &[]);
        lines.push((line!() - 1, "SELECT sum(n) FROM t", 1));
        run.await.unwrap();
        let run = session.query_opt("SELECT n FROM t WHERE n = 3", &[]);
        lines.push((line!() - 1, "SELECT n FROM t WHERE n = 3", 1));
        run.await.unwrap();
        let run = session.stream("SELECT n FROM t OFFSET 1", &[]);
        lines.push((line!() - 1, "SELECT n FROM t OFFSET 1", 2));
        let rows = run.await.unwrap();
        rows.try_for_each(|_| async { Ok(()) }).await.unwrap();
        let run = session.transaction();
        lines.push((line!() - 1, "BEGIN", 0));
        let transaction = run.await.unwrap();
        let run = transaction.execute("DELETE FROM t", &[]);
        lines.push((line!() - 1, "DELETE FROM t", 3));
        run.await.unwrap();
        let run = transaction.commit();
        lines.push((line!() - 1, "COMMIT", 0));
        run.await.unwrap();
        let run = session.query("SELECT nonsense FROM t", &[]);
        lines.push((line!() - 1, "SELECT nonsense FROM t", 0));
        run.await.unwrap_err();
    };
    scope.clone().run(work).await;

    let summary = scope.summary();
    let logged = summary.statements.distinct();
    assert_eq!(logged.len(), lines.len());
    for (logged, (line, sql, rows)) in logged.iter().zip(lines) {
        assert_eq!(logged.fingerprint, Fingerprint::of(sql), "{sql}");
        assert_eq!(
            (logged.call_site.line(), logged.rows),
            (line, rows),
            "{sql}"
        );
        assert_eq!(logged.call_site.file(), file!());
    }
    assert!(summary.times.database > Duration::ZERO);
}

#[tokio::test]
async fn the_scope_knows_whether_a_statement_was_asked_the_same_each_time() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let scope = Scope::builder().build();
    let work = async {
        for n in 0..4_i32 {
            session.query("SELECT $1::int", &[&n]).await.unwrap();
            session.query("SELECT $1::text", &[&"a"]).await.unwrap();
            session
                .execute(&format!("DO 'BEGIN END' -- {n}"), &[])
                .await
                .unwrap();
            session
                .batch_execute(&format!("SELECT 1, {n}"))
                .await
                .unwrap();
            session.batch_execute("SELECT 'a'").await.unwrap();
            let wide: &[&(dyn ToSql + Sync)] = &[&i64::from(n)];
            let rows = session.stream("SELECT $1::int8", wide).await.unwrap();
            rows.try_for_each(|_| async { Ok(()) }).await.unwrap();
        }
        // None of them is over when the last begins.
        let all = (0..4_i16).map(async |n| session.query("SELECT $1::int2", &[&n]).await);
        try_join_all(all).await.unwrap();
        session.query("SELECT $1::float8", &[&1.0]).await.unwrap();
    };
    scope.clone().run(work).await;

    let summary = scope.summary();
    let logged = summary.statements.distinct().iter();
    let logged: Vec<_> = logged
        .map(|it| (it.statement().into_owned(), it.count, it.arguments()))
        .collect();
    let expected = [
        ("select ? : : int", 4, Different),
        ("select ? : : text", 4, Same),
        ("do ?", 4, Different),
        ("select ?", 4, Different),
        ("select ?", 4, Same),
        ("select ? : : int8", 4, Different),
        ("select ? : : int2", 4, Different),
        ("select ? : : float8", 1, Unknown),
    ];
    assert_eq!(
        logged,
        expected.map(|(it, n, pattern)| (it.to_owned(), n, pattern))
    );
}

#[tokio::test]
async fn what_is_given_up_before_it_is_prepared_is_in_the_log() {
    let database = TestDatabase::empty().await;
    let owner = database.client().await;
    owner
        .batch_execute("CREATE TABLE t (n int); BEGIN; LOCK TABLE t")
        .await
        .unwrap();
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let scope = Scope::builder()
        .deadline(Instant::now() + Duration::from_millis(200))
        .build();
    let late = scope.clone().run(session.query("SELECT n FROM t", &[]));
    late.await.unwrap_err();
    let summary = scope.summary();
    let logged = summary.statements.distinct();
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].fingerprint, Fingerprint::of("SELECT n FROM t"));
}

#[tokio::test]
async fn statements_polled_together_run_on_one_connection() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let session = pools.session().await.unwrap();
    let (one, two, three) = tokio::join!(
        session.query_one("SELECT 1", &[]),
        session.query_one("SELECT 2", &[]),
        session.query_one("SELECT 1", &[]),
    );
    let value = |row: Result<tokio_postgres::Row, _>| row.map(|row| row.get::<_, i32>(0)).unwrap();
    assert_eq!((value(one), value(two), value(three)), (1, 2, 1));
}

#[tokio::test]
async fn futures_are_small_whatever_they_are_wrapped_in() {
    let database = TestDatabase::empty().await;
    let pools = manager(single(database.url()));
    let request = async {
        let session = pools.session().await.unwrap();
        session.query_one("SELECT 1", &[]).await.unwrap()
    };
    // They are moved with each layer around them: of 12 kB, that was a third of a request's time.
    let request = Scope::builder().build().run(request);
    let size = size_of_val(&request);
    assert!(size < 2_500, "{size} bytes");
    request.await;
}
