//! Small pools, and what tests ask the server about them.

use std::{
    collections::BTreeSet, future::poll_fn, num::NonZeroUsize, pin::pin, task::Poll, time::Duration,
};

use ruleiq_pools::{PoolManager, PostgresConfig, ResourceStats, Session};
use ruleiq_query::{Error, Read as _};
use ruleiq_test_support::{TestDatabase, eventually};

pub(crate) const SIZE: usize = 2;
pub(crate) const MAX_OVERFLOW: usize = 2;
/// All that a small pool can give at once.
pub(crate) const PLACES: usize = SIZE + MAX_OVERFLOW;

/// Longer than anything takes that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A small pool. Who waits for its time-out fails by the time limit of the test.
pub(crate) fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        size: NonZeroUsize::new(SIZE).unwrap(),
        max_overflow: MAX_OVERFLOW,
        overflow_linger: Duration::from_millis(50),
        autosize: false,
        timeout: Duration::from_secs(120),
        ..PostgresConfig::new(url)
    }
}

/// A database of a test's own, and how pools reach it: straight, or through a pooler.
pub(crate) struct Place {
    /// What pools are given.
    pub(crate) config: PostgresConfig,
    /// Past the pooler.
    pub(crate) owner_url: String,
}

/// Makes of functions that take a [`Place`] a test each, straight to the server, and one function that
/// runs them all elsewhere.
macro_rules! anywhere {
    ($($scenario:ident),* $(,)?) => {
        mod straight {
            $(
                #[tokio::test]
                async fn $scenario() {
                    let database = ruleiq_test_support::TestDatabase::empty().await;
                    super::$scenario($crate::fixture::Place::straight_to(&database)).await;
                }
            )*
        }

        /// Each with a place of its own.
        pub(crate) async fn all(place: impl AsyncFn() -> $crate::fixture::Place) {
            $($scenario(place().await).await;)*
        }
    };
}
pub(crate) use anywhere;

impl Place {
    pub(crate) fn straight_to(database: &TestDatabase) -> Place {
        Place {
            config: config(database.url()),
            owner_url: database.url().to_owned(),
        }
    }

    /// A pool of [`PLACES`] connections.
    pub(crate) fn pools(&self) -> PoolManager {
        manager(self.config.clone())
    }

    /// A pool for one caller at a time.
    pub(crate) fn single(&self) -> PoolManager {
        manager(PostgresConfig {
            size: NonZeroUsize::MIN,
            max_overflow: 0,
            ..self.config.clone()
        })
    }

    /// Runs statements past the pooler.
    pub(crate) async fn prepare(&self, sql: &str) {
        let connecting = tokio_postgres::connect(&self.owner_url, tokio_postgres::NoTls);
        let (owner, connection) = connecting.await.unwrap();
        tokio::spawn(connection);
        owner.batch_execute(sql).await.unwrap();
    }
}

/// A pool for one caller at a time.
pub(crate) fn single(url: &str) -> PostgresConfig {
    PostgresConfig {
        size: NonZeroUsize::MIN,
        max_overflow: 0,
        ..config(url)
    }
}

pub(crate) fn manager(config: PostgresConfig) -> PoolManager {
    PoolManager::builder().postgres(config).build().unwrap()
}

pub(crate) fn stats(pools: &PoolManager) -> ResourceStats {
    pools.stats().database.unwrap()
}

pub(crate) async fn backend(session: &Session) -> i32 {
    let row = session
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    row.get(0)
}

/// Whether each statement is a transaction of its own, which has a time of its own.
pub(crate) async fn is_outside_a_transaction(session: &Session) -> Result<bool, Error> {
    let sql = "SELECT now()::text";
    let (first, second) = (
        session.query_one(sql, &[]).await?,
        session.query_one(sql, &[]).await?,
    );
    Ok(first.get::<_, String>(0) != second.get::<_, String>(0))
}

/// A session, as soon as the server can be reached.
pub(crate) async fn session_again(pools: &PoolManager) -> Session {
    loop {
        if let Ok(session) = pools.session().await {
            return session;
        }
        eventually(PATIENCE, || async { pools.session().await.is_ok() }).await;
    }
}

/// Checks everything out at once, and sees that each connection answers and is in no transaction, and
/// that there are as many server processes.
pub(crate) async fn every_place_is_usable(pools: &PoolManager) {
    assert_eq!(every_place_answers(pools).await.len(), PLACES);
}

/// The same where several may share one server process. Gives the processes.
pub(crate) async fn every_place_answers(pools: &PoolManager) -> BTreeSet<i32> {
    let first = tokio::time::timeout(PATIENCE, session_again(pools)).await;
    let mut sessions = vec![first.expect("a place was lost")];
    for _ in 1..PLACES {
        let session = tokio::time::timeout(PATIENCE, pools.session()).await;
        sessions.push(session.expect("a place was lost").unwrap());
    }
    let mut backends = BTreeSet::new();
    for session in &sessions {
        let answer = tokio::time::timeout(PATIENCE, async {
            assert!(is_outside_a_transaction(session).await.unwrap());
            backends.insert(backend(session).await);
        });
        answer.await.expect("a busy connection was handed on");
    }
    let stats = stats(pools);
    assert_eq!(
        (stats.checked_out, stats.connections()),
        (PLACES, PLACES),
        "{stats:?}"
    );
    backends
}

/// Polls the future so many times, then drops it. Gives its output if it has one by then.
pub(crate) async fn poll_times<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Whether somebody runs a statement with this in its text.
pub(crate) async fn is_running(observer: &tokio_postgres::Client, text: &str) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE state = 'active' AND pid <> pg_backend_pid()
                 AND datname = current_database() AND position($1 IN query) > 0";
    let row = observer.query_one(sql, &[&text]).await.unwrap();
    row.get::<_, i64>(0) > 0
}

pub(crate) async fn until_running(database: &TestDatabase, text: &str) {
    let observer = database.client().await;
    eventually(PATIENCE, || is_running(&observer, text)).await;
}

pub(crate) async fn until_not_running(database: &TestDatabase, text: &str) {
    let observer = database.client().await;
    eventually(PATIENCE, || async { !is_running(&observer, text).await }).await;
}

/// How many connections of pools the server sees.
pub(crate) async fn connections(observer: &tokio_postgres::Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'ruleiq/%'";
    observer.query_one(sql, &[]).await.unwrap().get(0)
}
