use std::{error::Error as _, io, num::NonZeroUsize, time::Duration};

use futures_util::future::join_all;
use ruleiq_pools::{CheckoutError, ConnectError, PostgresConfig, ReaderConfig};
use ruleiq_query::{Error, Read as _};
use ruleiq_scope::Scope;
use ruleiq_test_support::{FaultProxy, TestDatabase, eventually};
use tokio::time::Instant;

use crate::{
    fixture::{
        PATIENCE, PLACES, SIZE, config, connections, every_place_is_usable, manager, single, stats,
        until_running,
    },
    log::Log,
};

/// Whether anything below the error is a failure of the network.
fn is_network(error: &CheckoutError) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[tokio::test]
async fn a_refused_connect_is_an_error_at_once() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(config(&proxy.url(database.url())));
    every_place_is_usable(&pools).await;

    proxy.refuse().await;

    // The pool's time-out is longer than this test may take. Those that are open find out first.
    eventually(PATIENCE, || async {
        match pools.session().await {
            Ok(session) => {
                session.query("SELECT 1", &[]).await.unwrap_err();
                false
            }
            Err(error) => {
                assert!(matches!(error, CheckoutError::Connect { .. }), "{error:?}");
                assert!(is_network(&error), "{error:?}");
                true
            }
        }
    })
    .await;
    // So do all of many callers, of whom most must wait for a place first.
    let callers = (0..PLACES * 10).map(|_| pools.session());
    for result in join_all(callers).await {
        assert!(
            matches!(result, Err(CheckoutError::Connect { .. })),
            "{result:?}"
        );
    }
    assert_eq!(pools.health_check().await.database, Some(false));

    proxy.heal().await;

    every_place_is_usable(&pools).await;
    assert_eq!(pools.health_check().await.database, Some(true));
}

#[tokio::test]
async fn nobody_listens_and_the_error_says_where() {
    let pools = manager(single("postgres://app:hunter2@127.0.0.1:1/app"));
    let error = pools.session().await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(is_network(&error), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_as_what_it_is() {
    let database = TestDatabase::empty().await;
    let mut url = url_parts(database.url());
    url.1 = "hunter2".to_owned();
    let pools = manager(single(&format!("{}:{}@{}", url.0, url.1, url.2)));
    let error = pools.session().await.unwrap_err();
    let CheckoutError::Connect { source, .. } = &error else {
        panic!("{error:?}");
    };
    let ConnectError::Failed(source) = &**source else {
        panic!("{error:?}");
    };
    assert_eq!(source.code().unwrap().code(), "28P01");
    assert!(!format!("{error:?}").contains("hunter2"));
}

/// What stands before the password, the password, and what stands behind.
fn url_parts(url: &str) -> (String, String, String) {
    let (credentials, rest) = url.split_once('@').unwrap();
    let (user, password) = credentials.rsplit_once(':').unwrap();
    (user.to_owned(), password.to_owned(), rest.to_owned())
}

#[tokio::test]
async fn a_stalled_network_costs_the_deadline_and_the_connection() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(config(&proxy.url(database.url())));
    every_place_is_usable(&pools).await;

    proxy.stall().await;

    let scope = || {
        let soon = Instant::now() + Duration::from_millis(100);
        Scope::builder().deadline(soon).build()
    };
    // The open ones take the statement and do not answer; then none can be opened.
    let mut statements = 0;
    loop {
        let ended = scope().run(async {
            let session = match pools.session().await {
                Ok(session) => session,
                Err(error) => {
                    assert!(
                        matches!(error, CheckoutError::DeadlinePassed { .. }),
                        "{error:?}"
                    );
                    return true;
                }
            };
            let error = session.query("SELECT 1", &[]).await.unwrap_err();
            assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
            false
        });
        if ended.await {
            break;
        }
        statements += 1;
    }
    assert!((1..=PLACES).contains(&statements), "{statements}");

    proxy.heal().await;
    every_place_is_usable(&pools).await;
}

#[tokio::test]
async fn a_connect_that_hangs_ends_by_its_own_limit() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    proxy.stall().await;
    let pools = manager(PostgresConfig {
        connect_timeout: Duration::from_millis(50),
        ..single(&proxy.url(database.url()))
    });
    let error = pools.session().await.unwrap_err();
    let CheckoutError::Connect { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        matches!(**source, ConnectError::TimedOut { .. }),
        "{error:?}"
    );
    assert_eq!(pools.health_check().await.database, Some(false));
}

#[tokio::test]
async fn a_connection_cut_in_mid_statement_is_an_error_and_is_replaced() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(config(&proxy.url(database.url())));
    let session = pools.session().await.unwrap();
    let cut = async {
        until_running(&database, "pg_sleep(120)").await;
        proxy.cut().await;
    };
    let (result, ()) = tokio::join!(session.query("SELECT pg_sleep(120)", &[]), cut);
    let error = result.unwrap_err();
    assert!(error.is_connection_lost(), "{error:?}");
    drop(session);
    every_place_is_usable(&pools).await;
}

#[tokio::test]
async fn a_busy_database_is_healthy() {
    let database = TestDatabase::empty().await;
    let waiting = single(database.url());
    let full = PostgresConfig {
        max_waiting: 0,
        ..waiting.clone()
    };
    for config in [waiting, full] {
        let pools = manager(config);
        let session = pools.session().await.unwrap();
        let mut check = std::pin::pin!(pools.health_check());
        // The only connection is in use, and answers.
        let health = loop {
            tokio::select! {
                health = &mut check => break health,
                row = session.query("SELECT pg_sleep(0.01)", &[]) => drop(row.unwrap()),
            }
        };
        assert_eq!(health.database, Some(true));
        assert_eq!(stats(&pools).waiting, 0);
    }
}

#[tokio::test]
async fn a_pool_that_may_open_more_than_the_server_takes_is_told_of() {
    let log = Log::begin();
    let database = TestDatabase::empty().await;
    let check = async |max_overflow| {
        let pools = manager(PostgresConfig {
            max_overflow,
            reader: ReaderConfig {
                connections: 1,
                threads: NonZeroUsize::new(4),
                ..ReaderConfig::default()
            },
            ..config(database.url())
        });
        let health = pools.health_check().await;
        assert!(health.is_healthy());
        pools.health_check().await;
        health.budget.unwrap()
    };
    let fits = check(1).await;
    assert!(!fits.is_exceeded() && fits.allowed > 0, "{fits:?}");
    let exceeded = check(50_000).await;
    assert!(exceeded.is_exceeded(), "{exceeded:?}");
    // Those that readers share are of four threads, and of all others.
    assert_eq!(exceeded.wanted, SIZE + 50_000 + 4 + 1);
    assert_eq!(log.count("than the database takes"), 1, "{}", log.text());
}

#[tokio::test]
async fn one_without_patience_costs_no_connection() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    let pools = manager(PostgresConfig {
        idle_check: Duration::ZERO,
        ..config(&proxy.url(database.url()))
    });
    every_place_is_usable(&pools).await;
    eventually(PATIENCE, || async { stats(&pools).connections() == SIZE }).await;
    for _ in 0..20 {
        let scope = Scope::builder()
            .deadline(Instant::now() + Duration::from_micros(50))
            .build();
        drop(scope.run(pools.session()).await);
    }
    eventually(PATIENCE, || async {
        let stats = stats(&pools);
        stats.closing == 0 && stats.checked_in == SIZE
    })
    .await;
    let seen = connections(&database.client().await).await;
    assert_eq!(usize::try_from(seen).unwrap(), SIZE);
}

#[tokio::test]
async fn a_database_whose_connections_are_all_at_work_is_healthy() {
    let database = TestDatabase::empty().await;
    let pools = manager(config(database.url()));
    let sessions: Vec<_> = join_all((0..PLACES).map(|_| pools.session())).await;
    let sleeps = sessions.iter().map(|session| async {
        let session = session.as_ref().unwrap();
        session.query("SELECT pg_sleep(120)", &[]).await
    });
    tokio::select! {
        _ = join_all(sleeps) => panic!("they sleep"),
        health = pools.health_check() => assert_eq!(health.database, Some(true)),
    }
}

#[tokio::test]
async fn a_host_that_takes_connections_and_says_nothing_is_passed_over() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    proxy.stall().await;
    let (credentials, rest) = database.url().rsplit_once('@').unwrap();
    let silent = proxy.url(database.url());
    let (_, silent) = silent.rsplit_once('@').unwrap();
    let silent = silent.split('/').next().unwrap();
    let pools = manager(PostgresConfig {
        connect_timeout: Duration::from_secs(2),
        ..config(&format!("{credentials}@{silent},{rest}"))
    });
    drop(pools.session().await.unwrap());
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_named() {
    let pools = manager(config("postgres://u:p@no-such-host.invalid/d"));
    let error = pools.session().await.unwrap_err();
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
    assert!(matches!(error, CheckoutError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_not_taken_for_a_full_pool() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.url()).await;
    proxy.stall().await;
    let pools = manager(PostgresConfig {
        timeout: Duration::from_millis(300),
        ..config(&proxy.url(database.url()))
    });
    let message = pools.session().await.unwrap_err().to_string();
    assert!(message.contains("0 of 4 are in use"), "{message}");
    assert!(message.contains("1 are being opened"), "{message}");
    assert!(message.contains("has not let them in yet"), "{message}");
}
