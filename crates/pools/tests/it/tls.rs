mod relay;

use std::{io::Write as _, path::PathBuf, time::Duration};

use fred::interfaces::KeysInterface as _;
use ruleiq_pools::{BuildError, CheckoutError, PoolManager, PostgresConfig, RedisConfig};
use ruleiq_query::{Error, Queries as _, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{TestDatabase, TestRedis, eventually};
use tokio::time::Instant;

use self::relay::{Authority, Relay};
use crate::fixture::{
    PATIENCE, backend, is_outside_a_transaction, manager, single, until_not_running, until_running,
};

fn with_mode(url: &str, mode: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}sslmode={mode}")
}

#[tokio::test]
async fn plain_text_is_taken_where_it_may_be() {
    let database = TestDatabase::empty().await;
    for mode in ["disable", "prefer"] {
        let pools = manager(single(&with_mode(database.url(), mode)));
        backend(&pools.session().await.unwrap()).await;
    }
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_required() {
    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    let ssl: String = observer.query_one("SHOW ssl", &[]).await.unwrap().get(0);
    let pools = manager(single(&with_mode(database.url(), "require")));
    let error = pools.session().await.unwrap_err();
    // A server with TLS has a certificate that nobody vouches for.
    assert!(
        matches!(error, CheckoutError::Connect { .. }),
        "ssl = {ssl}: {error:?}"
    );
    assert!(
        format!("{error:?}").contains("Tls"),
        "ssl = {ssl}: {error:?}"
    );
}

#[tokio::test]
async fn a_file_without_certificates_is_refused() {
    let build = |path: PathBuf| {
        let config = PostgresConfig {
            ca_file: Some(path),
            ..PostgresConfig::new("postgres://localhost/x")
        };
        PoolManager::builder().postgres(config).build().unwrap_err()
    };
    let missing = build("/nowhere/ca.pem".into());
    assert!(matches!(missing, BuildError::CaFile { .. }), "{missing:?}");
    assert!(missing.to_string().contains("/nowhere/ca.pem"), "{missing}");

    let path = std::env::temp_dir().join(format!("ruleiq-pools-{}.pem", std::process::id()));
    std::fs::File::create(&path)
        .unwrap()
        .write_all(b"nothing")
        .unwrap();
    let empty = build(path.clone());
    std::fs::remove_file(&path).unwrap();
    assert!(empty.to_string().contains("no certificate"), "{empty}");
}

/// A server with TLS in front of a plain one, and a pool that trusts its authority.
async fn secured(
    database: &TestDatabase,
    authority: &Authority,
    name: &str,
) -> (Relay, PoolManager) {
    let relay = Relay::for_postgres(database.url(), authority, name).await;
    let pools = manager(PostgresConfig {
        ca_file: Some(authority.file()),
        ..single(&with_mode(&relay.url(), "require"))
    });
    (relay, pools)
}

#[tokio::test]
async fn behind_tls_the_wire_is_read_and_statements_are_cancelled() {
    let database = TestDatabase::empty().await;
    let authority = Authority::new();
    let (_relay, pools) = secured(&database, &authority, "localhost").await;

    let mut session = pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction.query_one("SELECT 1", &[]).await.unwrap();
    drop(transaction);
    let first = backend(&session).await;
    drop(session);
    let session = pools.session().await.unwrap();
    assert!(is_outside_a_transaction(&session).await.unwrap());
    assert_eq!(backend(&session).await, first);

    let scope = Scope::builder()
        .deadline(Instant::now() + Duration::from_millis(500))
        .build();
    let sleep = "SELECT pg_sleep(600)";
    let late = scope.run(session.query(sleep, &[]));
    let (late, ()) = tokio::join!(late, until_running(&database, sleep));
    assert!(matches!(late, Err(Error::TimedOut { .. })), "{late:?}");
    until_not_running(&database, sleep).await;
    session.batch_execute("SELECT 1").await.unwrap_err();
    drop(session);
    assert_ne!(backend(&pools.session().await.unwrap()).await, first);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let database = TestDatabase::empty().await;
    let (trusted, other) = (Authority::new(), Authority::new());
    for (authority, name) in [(&other, "localhost"), (&trusted, "elsewhere.example")] {
        let relay = Relay::for_postgres(database.url(), authority, name).await;
        for mode in ["require", "prefer"] {
            let pools = manager(PostgresConfig {
                ca_file: Some(trusted.file()),
                ..single(&with_mode(&relay.url(), mode))
            });
            let error = pools.session().await.unwrap_err();
            assert!(format!("{error:?}").contains("ertificate"), "{error:?}");
        }
        // Without a file there is nothing that `prefer` could check by.
        let pools = manager(single(&with_mode(&relay.url(), "prefer")));
        backend(&pools.session().await.unwrap()).await;
    }
}

#[tokio::test]
async fn redis_is_reached_by_tls_and_by_nobody_else_s() {
    let redis = TestRedis::namespace().await;
    let (trusted, other) = (Authority::new(), Authority::new());
    let key = format!("{}n", redis.prefix());
    let connect = |relay: &Relay| {
        let config = RedisConfig {
            ca_file: Some(trusted.file()),
            ..RedisConfig::new(relay.url())
        };
        PoolManager::builder().redis(config).build().unwrap()
    };
    let relay = Relay::for_redis(redis.url(), &trusted, "localhost").await;
    let pools = connect(&relay);
    eventually(PATIENCE, || async {
        pools.redis().unwrap().incr::<u64, _>(&key).await.is_ok()
    })
    .await;
    let relay = Relay::for_redis(redis.url(), &other, "localhost").await;
    let pools = connect(&relay);
    assert_eq!(pools.health_check().await.redis, Some(false));
    pools
        .redis()
        .unwrap()
        .incr::<u64, _>(&key)
        .await
        .unwrap_err();
}
