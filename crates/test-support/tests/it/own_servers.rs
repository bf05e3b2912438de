//! Servers of a test's own.

use std::time::Duration;

use fred::interfaces::{ClientLike as _, KeysInterface as _};
use ruleiq_test_support::{OwnServers, PostgresSpec, RedisSpec, Spec, Which, eventually};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, error::SqlState};

const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn a_killed_postgresql_is_away_until_it_is_started_again_and_keeps_what_was_committed() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default().durable()),
        ..Spec::default()
    })
    .await;
    let client = connect(servers.postgres_url()).await.unwrap();
    client.batch_execute("CREATE TABLE t ()").await.unwrap();

    servers.kill(Which::Postgres).await;

    assert!(client.batch_execute("SELECT 1").await.is_err());
    assert!(connect(servers.postgres_url()).await.is_err());

    servers.start_again(Which::Postgres).await;

    let client = connect(servers.postgres_url()).await.unwrap();
    client.query("SELECT FROM t", &[]).await.unwrap();

    servers.pause(Which::Postgres).await;
    let stuck = client.batch_execute("SELECT 1");
    let mut stuck = std::pin::pin!(stuck);
    let limit = Duration::from_millis(100);
    assert!(timeout(limit, &mut stuck).await.is_err());
    servers.resume(Which::Postgres).await;
    timeout(PATIENCE, stuck).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_standby_has_what_its_primary_committed_and_takes_no_writes() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        standby: true,
        ..Spec::default()
    })
    .await;
    let primary = connect(servers.postgres_url()).await.unwrap();
    let standby = connect(servers.standby_url()).await.unwrap();
    primary.batch_execute("CREATE TABLE t ()").await.unwrap();
    eventually(PATIENCE, || async {
        standby.batch_execute("SELECT FROM t").await.is_ok()
    })
    .await;

    let refused = standby.batch_execute("DROP TABLE t").await.unwrap_err();
    let code = refused.code();
    assert_eq!(code, Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
}

#[tokio::test]
async fn a_stopped_redis_is_away_until_it_is_started_again() {
    let servers = OwnServers::start(Spec {
        redis: Some(RedisSpec::default()),
        ..Spec::default()
    })
    .await;
    let ping = || async {
        let config = fred::types::config::Config::from_url(servers.redis_url()).unwrap();
        let client = fred::types::Builder::from_config(config).build().unwrap();
        client.init().await?;
        client.ping::<()>(None).await
    };
    ping().await.unwrap();

    servers.stop(Which::Redis).await;
    assert!(ping().await.is_err());

    servers.start_again(Which::Redis).await;
    eventually(PATIENCE, || async { ping().await.is_ok() }).await;
    assert!(!format!("{servers:?}").contains("redis://"));
}

#[tokio::test]
async fn clients_understand_the_addresses_of_sentinels_and_clusters() {
    let servers = OwnServers::start(Spec {
        redis: Some(RedisSpec::default()),
        sentinels: true,
        cluster: true,
        ..Spec::default()
    })
    .await;
    for url in [servers.sentinel_url(), servers.cluster_url()] {
        let config = fred::types::config::Config::from_url(url).unwrap();
        let client = fred::types::Builder::from_config(config).build().unwrap();
        timeout(PATIENCE, client.init()).await.unwrap().unwrap();
        for key in ["a", "b", "c"] {
            client
                .set::<(), _, _>(key, 1, None, None, false)
                .await
                .unwrap();
        }
    }
    let primary = fred::types::config::Config::from_url(servers.redis_url()).unwrap();
    let client = fred::types::Builder::from_config(primary).build().unwrap();
    client.init().await.unwrap();
    assert_eq!(
        client.exists::<u32, _>(vec!["a", "b", "c"]).await.unwrap(),
        3
    );
    let text = format!("{servers:?}");
    assert!(
        text.contains("Sentinel(2)") && !text.contains("127.0.0.1"),
        "{text}"
    );
}
