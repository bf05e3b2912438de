use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use ruleiq_pools::{
    BuildError, CheckoutError, PoolManager, PostgresConfig, ReplicaConfig, ReplicaRole,
    ReplicaStats,
};
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_scope::{CausalToken, Scope};
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec, Which, eventually};
use tokio_postgres::{Client, NoTls};

use crate::fixture::{PATIENCE, config, manager};

/// A primary, its standby, and a table.
pub(crate) struct Pair {
    pub(crate) servers: OwnServers,
}

impl Pair {
    pub(crate) async fn start() -> Pair {
        let servers = OwnServers::start(Spec {
            postgres: Some(PostgresSpec::default()),
            standby: true,
            ..Spec::default()
        })
        .await;
        let pair = Pair { servers };
        let primary = pair.primary().await;
        let table = "CREATE TABLE notes (n bigint PRIMARY KEY)";
        primary.batch_execute(table).await.unwrap();
        let standby = pair.standby().await;
        eventually(PATIENCE, || async {
            standby.query("SELECT n FROM notes", &[]).await.is_ok()
        })
        .await;
        pair
    }

    /// Past the pools.
    pub(crate) async fn primary(&self) -> Client {
        client(self.servers.postgres_url()).await
    }

    pub(crate) async fn standby(&self) -> Client {
        client(self.servers.standby_url()).await
    }

    /// Both hosts, the standby first.
    pub(crate) fn url(&self) -> String {
        let (credentials, place) = self.servers.postgres_url().split_once('@').unwrap();
        let (standby, _) = host(self.servers.standby_url());
        format!("{credentials}@{standby},{place}")
    }

    pub(crate) fn config(&self, replicas: ReplicaConfig) -> PostgresConfig {
        PostgresConfig {
            replicas: Some(replicas),
            ..config(&self.url())
        }
    }

    pub(crate) fn pools(&self, replicas: ReplicaConfig) -> PoolManager {
        manager(self.config(replicas))
    }
}

fn host(url: &str) -> (&str, &str) {
    let (_, place) = url.split_once('@').unwrap();
    place.split_once('/').unwrap()
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Quick to notice things.
pub(crate) fn quick() -> ReplicaConfig {
    ReplicaConfig {
        check_every: Duration::from_millis(20),
        ..ReplicaConfig::default()
    }
}

/// Writes a row in a scope of its own. Answers the position after it.
pub(crate) async fn write(pools: &PoolManager, n: i64) -> Result<CausalToken, String> {
    let scope = Scope::builder().build();
    let write = async {
        let session = pools.session().await.map_err(|it| it.to_string())?;
        let insert = session
            .execute("INSERT INTO notes VALUES ($1)", &[&n])
            .await;
        insert.map_err(|it| format!("{it:?}"))
    };
    scope.clone().run(write).await?;
    scope.causal_token().ok_or_else(|| "no token".to_owned())
}

/// Whether the row is there, for whoever has the token, and whether a standby said so.
pub(crate) async fn read(
    pools: &PoolManager,
    token: Option<CausalToken>,
    n: i64,
) -> Result<(bool, bool), CheckoutError> {
    let scope = match token {
        Some(token) => Scope::builder().causal_token(token),
        None => Scope::builder(),
    };
    let read = async {
        let session = pools.read_session().await?;
        let rows = session
            .query("SELECT n FROM notes WHERE n = $1", &[&n])
            .await;
        Ok((!rows.unwrap().is_empty(), !session.is_on_primary()))
    };
    scope.build().run(read).await
}

fn server(pools: &PoolManager, url: &str) -> ReplicaStats {
    let replicas = pools.stats().replicas;
    let found = replicas.into_iter().find(|it| it.server == host(url).0);
    found.unwrap()
}

async fn until_role(pools: &PoolManager, url: &str, role: ReplicaRole) {
    eventually(PATIENCE, || async { server(pools, url).role == role }).await;
}

#[tokio::test]
async fn each_server_is_found_to_be_what_it_is() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let session = pools.session().await.unwrap();
    let row = session.query_one("SELECT pg_is_in_recovery()", &[]).await;
    assert!(!row.unwrap().get::<_, bool>(0));
    until_role(&pools, pair.servers.postgres_url(), ReplicaRole::Primary).await;
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Standby).await;
    let session = pools.read_session().await.unwrap();
    assert!(!session.is_on_primary());
    let row = session.query_one("SELECT pg_is_in_recovery()", &[]).await;
    assert!(row.unwrap().get::<_, bool>(0));
    assert_eq!(server(&pools, pair.servers.standby_url()).reads, 1);
    // The shared connections lead to the primary.
    for _ in 0..10 {
        let reader = pools.reader();
        let row = reader.query_one("SELECT pg_is_in_recovery()", &[]);
        assert!(!row.await.unwrap().get::<_, bool>(0));
    }
}

#[tokio::test]
async fn whoever_has_written_sees_it() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Standby).await;
    let standby = pair.standby().await;
    for n in 0..40 {
        let is_paused = n % 4 == 3;
        if is_paused {
            standby
                .batch_execute("SELECT pg_wal_replay_pause()")
                .await
                .unwrap();
        }
        let token = write(&pools, n).await.unwrap();
        let (is_there, is_on_standby) = read(&pools, Some(token), n).await.unwrap();
        assert!(is_there, "{n}");
        assert!(!(is_paused && is_on_standby), "{n}");
        if is_paused {
            standby
                .batch_execute("SELECT pg_wal_replay_resume()")
                .await
                .unwrap();
        }
    }
    assert!(server(&pools, pair.servers.standby_url()).reads > 0);
}

/// Sees that a later position stands in the scope each time that it is called.
fn later(scope: &Scope) -> impl FnMut(&str) {
    let mut last = 0;
    move |what| {
        let token = scope.causal_token();
        let token = token.unwrap_or_else(|| panic!("{what} left none"));
        assert!(token.lsn > last, "{what}");
        last = token.lsn;
    }
}

#[tokio::test]
async fn whatever_writes_leaves_a_token() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let session = pools.session().await.unwrap();
    let scope = Scope::builder().build();
    let mut is_later = later(&scope);
    let work = async {
        session.query("SELECT n FROM notes", &[]).await.unwrap();
        assert_eq!(scope.causal_token(), None);
        let insert = "INSERT INTO notes VALUES (1)";
        session.execute(insert, &[]).await.unwrap();
        is_later("execute");
        for (what, sql) in [
            ("query", "INSERT INTO notes VALUES (2) RETURNING n"),
            (
                "with",
                "WITH new AS (INSERT INTO notes VALUES (3) RETURNING n) SELECT n FROM new",
            ),
            ("explain", "EXPLAIN ANALYZE DELETE FROM notes WHERE n = 3"),
            ("into", "SELECT 1 AS a INTO other"),
        ] {
            session.query(sql, &[]).await.unwrap();
            is_later(what);
        }
        let batch = "INSERT INTO notes VALUES (4)";
        session.batch_execute(batch).await.unwrap();
        is_later("batch_execute");
        // Something was committed before it failed.
        let half = "BEGIN; INSERT INTO notes VALUES (10); COMMIT; SELECT 1 / 0";
        session.batch_execute(half).await.unwrap_err();
        is_later("a text that fails");
        let rows = stream::iter([Bytes::from("5\n")]);
        let copied = session.copy_in("COPY notes FROM STDIN", rows).await;
        copied.unwrap();
        is_later("copy_in");
        let returning = "INSERT INTO notes VALUES (11) RETURNING n";
        let rows = session.stream(returning, &[]).await.unwrap();
        let rows: Vec<_> = rows.try_collect().await.unwrap();
        assert_eq!(rows.len(), 1);
        is_later("a stream");
    };
    scope.clone().run(work).await;
}

#[tokio::test]
async fn a_transaction_leaves_a_token_when_it_is_committed() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let mut session = pools.session().await.unwrap();
    let scope = Scope::builder().build();
    let mut is_later = later(&scope);
    let insert = "INSERT INTO notes VALUES ($1)";
    let work = async {
        let transaction = session.transaction().await.unwrap();
        transaction.execute(insert, &[&1_i64]).await.unwrap();
        assert_eq!(scope.causal_token(), None);
        let token = transaction.commit().await.unwrap();
        assert_eq!(scope.causal_token(), token);
        is_later("commit");

        let before = scope.causal_token();
        let transaction = session.transaction().await.unwrap();
        transaction.execute(insert, &[&2_i64]).await.unwrap();
        transaction.rollback().await.unwrap();
        assert_eq!(scope.causal_token(), before);

        let begin = "BEGIN; INSERT INTO notes VALUES (3)";
        session.batch_execute(begin).await.unwrap();
        assert_eq!(scope.causal_token(), before);
        session.batch_execute("COMMIT").await.unwrap();
        is_later("a commit by hand");

        let before = scope.causal_token();
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        session.execute(begin, &[]).await.unwrap();
        // Nothing of ours takes the snapshot before this.
        let set = "SET TRANSACTION READ WRITE; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";
        session.batch_execute(set).await.unwrap();
        session.execute(insert, &[&4_i64]).await.unwrap();
        assert_eq!(scope.causal_token(), before);
        session.execute("COMMIT", &[]).await.unwrap();
        is_later("a commit as a statement");
    };
    scope.clone().run(work).await;

    // Who throws everything away gets another connection the next time.
    session.batch_execute("DISCARD ALL").await.unwrap();
    drop(session);
    write(&pools, 20).await.unwrap();
    let token = write(&pools, 21).await.unwrap();
    assert!(token.lsn < u64::MAX);
}

#[tokio::test]
async fn what_writes_by_its_text_is_not_read() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    for scope in [
        Scope::builder().build(),
        Scope::builder().build().reading_primary(),
    ] {
        let session = scope.run(pools.read_session()).await.unwrap();
        for sql in [
            "INSERT INTO notes VALUES (1) RETURNING n",
            "EXPLAIN ANALYZE DELETE FROM notes",
            "SELECT 1 AS a INTO other",
        ] {
            let error = session.query(sql, &[]).await.unwrap_err();
            assert!(matches!(error, Error::NotARead { .. }), "{sql}: {error:?}");
        }
    }
}

/// A pool that would not notice by itself, while a test runs, that the standby was promoted; and a token of
/// the new timeline.
async fn unaware_of_a_promotion() -> (Pair, PoolManager, CausalToken) {
    let pair = Pair::start().await;
    let pools = pair.pools(ReplicaConfig {
        check_every: Duration::from_secs(600),
        ..quick()
    });
    let token = write(&pools, 1).await.unwrap();
    let standby = pair.standby().await;
    standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    let newer = CausalToken {
        timeline: token.timeline + 1,
        ..token
    };
    (pair, pools, newer)
}

#[tokio::test]
async fn a_reader_and_a_session_hear_of_a_promotion_by_a_token() {
    let (pair, pools, newer) = unaware_of_a_promotion().await;
    let scope = || Scope::builder().causal_token(newer).build();
    let reader = pools.reader();
    let port = reader.query_one("SELECT inet_server_port()", &[]);
    let port = scope().run(port).await.unwrap().get::<_, i32>(0);
    assert!(
        host(pair.servers.standby_url())
            .0
            .ends_with(&format!(":{port}"))
    );

    let (pair, pools, newer) = unaware_of_a_promotion().await;
    let scope = Scope::builder().causal_token(newer).build();
    let session = scope.run(pools.session()).await.unwrap();
    let inserted = session.execute("INSERT INTO notes VALUES (2)", &[]).await;
    assert_eq!(inserted.unwrap(), 1);
    let old = pair.primary().await;
    let row = old
        .query_one("SELECT count(*) FROM notes WHERE n = 2", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_foreign_token_at_the_start_stops_nobody() {
    let pair = Pair::start().await;
    let foreign = CausalToken {
        system: 1,
        timeline: 99,
        lsn: 5,
    };
    let pools = pair.pools(quick());
    let scope = Scope::builder().causal_token(foreign).build();
    drop(scope.run(pools.session()).await.unwrap());
    write(&pools, 1).await.unwrap();
    assert!(pools.stats().routing.is_some());
}

#[tokio::test]
async fn without_replicas_there_is_no_token_and_the_primary_is_read() {
    let database = ruleiq_test_support::TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    assert_eq!(transaction.commit().await.unwrap(), None);
    drop(session);
    let session = pools.read_session().await.unwrap();
    assert!(session.is_on_primary());
    for sql in [
        "CREATE TABLE t ()",
        "WITH a AS (DELETE FROM t RETURNING *) TABLE a",
    ] {
        let error = session.query(sql, &[]).await.unwrap_err();
        assert!(matches!(error, Error::NotARead { .. }), "{error:?}");
    }
    assert!(pools.stats().replicas.is_empty());
}

#[tokio::test]
async fn who_reads_the_primary_reads_the_primary() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Standby).await;
    let scope = Scope::builder().build().reading_primary();
    let session = scope.run(pools.read_session()).await.unwrap();
    assert!(session.is_on_primary());
    let none = pair.pools(ReplicaConfig {
        share: 0.0,
        ..quick()
    });
    assert!(none.read_session().await.unwrap().is_on_primary());
}

#[tokio::test]
async fn a_standby_that_is_behind_or_away_is_left_out() {
    let pair = Pair::start().await;
    let pools = pair.pools(ReplicaConfig {
        max_lag_bytes: 1 << 20,
        ..quick()
    });
    let url = pair.servers.standby_url();
    until_role(&pools, url, ReplicaRole::Standby).await;
    let (primary, standby) = (pair.primary().await, pair.standby().await);
    standby
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    let much =
        "CREATE TABLE much AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 5000) n";
    primary.batch_execute(much).await.unwrap();
    until_role(&pools, url, ReplicaRole::LeftOut).await;
    let lag = server(&pools, url).lag_bytes.unwrap();
    assert!(lag > 1 << 20, "{lag}");
    assert!(pools.read_session().await.unwrap().is_on_primary());
    standby
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    until_role(&pools, url, ReplicaRole::Standby).await;
    assert!(!pools.read_session().await.unwrap().is_on_primary());

    pair.servers.kill(Which::PostgresStandby).await;
    for _ in 0..20 {
        assert!(pools.read_session().await.unwrap().is_on_primary());
    }
    until_role(&pools, url, ReplicaRole::Unreachable).await;
    pair.servers.start_again(Which::PostgresStandby).await;
    until_role(&pools, url, ReplicaRole::Standby).await;
    eventually(PATIENCE, || async {
        !pools.read_session().await.unwrap().is_on_primary()
    })
    .await;
}

#[tokio::test]
async fn a_halted_standby_holds_nobody_for_long() {
    let pair = Pair::start().await;
    let pools = manager(PostgresConfig {
        // Each connection is asked before it is handed out.
        idle_check: Duration::ZERO,
        ..pair.config(quick())
    });
    let url = pair.servers.standby_url();
    until_role(&pools, url, ReplicaRole::Standby).await;
    drop(pools.read_session().await.unwrap());
    pair.servers.pause(Which::PostgresStandby).await;
    // The pool's own time-out is longer than this test.
    assert!(pools.read_session().await.unwrap().is_on_primary());
    until_role(&pools, url, ReplicaRole::Unreachable).await;
    pair.servers.resume(Which::PostgresStandby).await;
    until_role(&pools, url, ReplicaRole::Standby).await;
}

#[tokio::test]
async fn a_promotion_is_followed_and_the_old_primary_written_no_more() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let standby = pair.standby().await;
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Standby).await;
    let safe = write(&pools, 1).await.unwrap();
    eventually(PATIENCE, || async {
        read(&pools, Some(safe), 1).await.unwrap() == (true, true)
    })
    .await;
    // This one does not get there.
    standby
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    pair.servers.pause(Which::PostgresStandby).await;
    let lost = write(&pools, 2).await.unwrap();
    pair.servers.kill(Which::Postgres).await;
    pair.servers.resume(Which::PostgresStandby).await;
    standby
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    let promoted = standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    assert!(promoted.get::<_, bool>(0));

    eventually(PATIENCE, || async { write(&pools, 3).await.is_ok() }).await;
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Primary).await;
    let written = write(&pools, 4).await.unwrap();
    assert_eq!(written.timeline, safe.timeline + 1);
    assert!(read(&pools, Some(written), 4).await.unwrap().0);
    assert!(read(&pools, Some(safe), 1).await.unwrap().0);
    let error = read(&pools, Some(lost), 2).await.unwrap_err();
    assert!(
        matches!(error, CheckoutError::TokenLost { .. }),
        "{error:?}"
    );

    pair.servers.start_again(Which::Postgres).await;
    until_role(&pools, pair.servers.postgres_url(), ReplicaRole::Superseded).await;
    for n in 100..150 {
        write(&pools, n).await.unwrap();
        assert!(read(&pools, None, n).await.unwrap().0);
    }
    // One that knows nothing of all this finds the same.
    let fresh = pair.pools(quick());
    write(&fresh, 150).await.unwrap();
    // What nobody has watched may be lost.
    let error = read(&fresh, Some(safe), 1).await.unwrap_err();
    assert!(
        matches!(error, CheckoutError::TokenLost { .. }),
        "{error:?}"
    );
    let old = pair.primary().await;
    let row = old
        .query_one("SELECT count(*) FROM notes WHERE n > 2", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_session_that_is_out_writes_no_more_on_an_old_primary() {
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO notes VALUES (1)", &[])
        .await
        .unwrap();
    let standby = pair.standby().await;
    standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Primary).await;
    until_role(&pools, pair.servers.postgres_url(), ReplicaRole::Superseded).await;
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, Error::Unusable), "{error:?}");
    drop(session);
    write(&pools, 2).await.unwrap();
    let old = pair.primary().await;
    let row = old
        .query_one("SELECT count(*) FROM notes", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn who_hears_of_a_promotion_by_a_token_writes_no_more_on_the_old_primary() {
    let (_pair, pools, newer) = unaware_of_a_promotion().await;
    assert!(read(&pools, Some(newer), 1).await.is_ok());
    assert_eq!(write(&pools, 2).await.unwrap().timeline, newer.timeline);
    let foreign = CausalToken {
        system: newer.system + 1,
        timeline: newer.timeline + 5,
        ..newer
    };
    assert!(read(&pools, Some(foreign), 2).await.unwrap().0);
}

#[tokio::test]
async fn another_cluster_is_not_read() {
    let pair = Pair::start().await;
    let other = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        ..Spec::default()
    })
    .await;
    let (credentials, _) = pair.servers.postgres_url().split_once('@').unwrap();
    let (_, password) = credentials.rsplit_once(':').unwrap();
    // All let us in.
    let alter = format!("ALTER ROLE postgres PASSWORD '{password}'");
    let foreign = other.postgres_url();
    client(foreign).await.batch_execute(&alter).await.unwrap();
    let url = pair
        .url()
        .replacen('@', &format!("@{},", host(foreign).0), 1);
    let pools = manager(PostgresConfig {
        replicas: Some(quick()),
        ..config(&url)
    });
    write(&pools, 1).await.unwrap();
    until_role(&pools, foreign, ReplicaRole::Foreign).await;
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Standby).await;
    for _ in 0..20 {
        assert!(!pools.read_session().await.unwrap().is_on_primary());
    }
    assert_eq!(server(&pools, foreign).reads, 0);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let build = |url: &str, replicas: ReplicaConfig, transaction_pooling| {
        let config = PostgresConfig {
            replicas: Some(replicas),
            transaction_pooling,
            ..config(url)
        };
        PoolManager::builder().postgres(config).build()
    };
    let two = "postgres://u:p@127.0.0.1:1,127.0.0.1:2/d";
    build(two, quick(), false).unwrap();
    let bad_share = ReplicaConfig {
        share: 1.5,
        ..quick()
    };
    for result in [
        build("postgres://u:p@127.0.0.1:1/d", quick(), false),
        build(two, bad_share, false),
        build(two, quick(), true),
    ] {
        assert!(matches!(result, Err(BuildError::Replicas)), "{result:?}");
    }
}

#[tokio::test]
async fn where_no_server_can_be_reached_that_is_told() {
    let url = "postgres://u:hunter2@127.0.0.1:1,127.0.0.1:2/d";
    let pools = manager(PostgresConfig {
        replicas: Some(quick()),
        ..config(url)
    });
    for error in [
        pools.session().await.unwrap_err(),
        pools.read_session().await.unwrap_err(),
    ] {
        assert!(matches!(error, CheckoutError::Connect { .. }), "{error:?}");
        assert!(error.is_transient(), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_role_without_privileges_sees_enough() {
    let pair = Pair::start().await;
    let primary = pair.primary().await;
    primary
        .batch_execute(
            "CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT SELECT, INSERT ON notes TO plain",
        )
        .await
        .unwrap();
    let (_, hosts) = pair
        .url()
        .split_once('@')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let pools = manager(PostgresConfig {
        replicas: Some(quick()),
        ..config(&format!("postgres://plain:plain@{hosts}"))
    });
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Standby).await;
    let mut on_standby = 0;
    for n in 0..50 {
        let token = write(&pools, n).await.unwrap();
        let (is_there, is_on_standby) = read(&pools, Some(token), n).await.unwrap();
        assert!(is_there);
        on_standby += u32::from(is_on_standby);
    }
    assert!(on_standby > 0);
    // After a promotion nothing says that a standby follows, and nothing old is read.
    let standby = pair.standby().await;
    standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    until_role(&pools, pair.servers.standby_url(), ReplicaRole::Primary).await;
    let token = write(&pools, 100).await.unwrap();
    assert_eq!(read(&pools, Some(token), 100).await.unwrap(), (true, false));
}
