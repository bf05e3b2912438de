//! What a client sees of each fault.

use std::{io, time::Duration};

use fred::interfaces::ClientLike as _;
use ruleiq_test_support::{FaultProxy, TestDatabase, TestRedis, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that sends back what it gets, and a proxy in front of it.
struct Echo {
    proxy: FaultProxy,
    address: String,
    _server: Server,
}

/// Ends with this value.
struct Server(JoinHandle<()>);

impl Echo {
    async fn start() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let original = format!("redis://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let proxy = FaultProxy::in_front_of(&original).await;
        let url = proxy.url(&original);
        assert_ne!(url, original);
        Echo {
            address: url.strip_prefix("redis://").unwrap().to_owned(),
            proxy,
            _server: Server(server),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a byte and waits for it to come back.
async fn echo(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"x").await?;
    let mut byte = [0];
    let read = stream.read_exact(&mut byte);
    timeout(PATIENCE, read).await.expect("an answer")?;
    assert_eq!(&byte, b"x");
    Ok(())
}

/// What reading ends with: a reset, or the kind of error.
async fn broken(stream: &mut TcpStream) -> io::ErrorKind {
    let read = stream.read_u8();
    let outcome = timeout(PATIENCE, read).await.expect("an end");
    outcome.unwrap_err().kind()
}

/// Whether nothing arrives although the proxy's task has had its turn.
async fn is_silent(stream: &mut TcpStream) -> bool {
    let read = stream.read_u8();
    timeout(Duration::from_millis(100), read).await.is_err()
}

#[tokio::test]
async fn bytes_and_the_end_of_either_side_pass() {
    let echo = Echo::start().await;
    let mut stream = echo.connect().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut from, mut to) = stream.split();
    let mut received = Vec::new();
    let (written, read) = tokio::join!(
        async {
            to.write_all(&sent).await?;
            to.shutdown().await
        },
        from.read_to_end(&mut received)
    );
    written.unwrap();
    read.unwrap();
    assert!(received == sent, "{} bytes came back", received.len());
}

#[tokio::test]
async fn a_cut_resets_what_is_connected_and_lets_others_in() {
    let server = Echo::start().await;
    let mut old = server.connect().await;
    echo(&mut old).await.unwrap();
    let mut idle = server.connect().await;

    server.proxy.cut().await;

    assert_eq!(broken(&mut old).await, io::ErrorKind::ConnectionReset);
    assert_eq!(broken(&mut idle).await, io::ErrorKind::ConnectionReset);
    echo(&mut server.connect().await).await.unwrap();
}

#[tokio::test]
async fn a_refusing_proxy_resets_what_is_connected_and_refuses_others_until_it_heals() {
    let server = Echo::start().await;
    for _ in 0..3 {
        let mut old = server.connect().await;
        echo(&mut old).await.unwrap();

        server.proxy.refuse().await;

        assert_eq!(broken(&mut old).await, io::ErrorKind::ConnectionReset);
        for _ in 0..10 {
            let refused = TcpStream::connect(&server.address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        server.proxy.refuse().await;
        server.proxy.heal().await;
        echo(&mut server.connect().await).await.unwrap();
    }
}

#[tokio::test]
async fn a_stalled_proxy_accepts_and_lets_nothing_pass_until_it_heals() {
    let server = Echo::start().await;
    let mut old = server.connect().await;
    echo(&mut old).await.unwrap();

    server.proxy.stall().await;

    let mut late = server.connect().await;
    old.write_all(b"y").await.unwrap();
    late.write_all(b"z").await.unwrap();
    assert!(is_silent(&mut old).await && is_silent(&mut late).await);

    server.proxy.heal().await;

    assert_eq!(old.read_u8().await.unwrap(), b'y');
    assert_eq!(late.read_u8().await.unwrap(), b'z');
    echo(&mut old).await.unwrap();
}

#[tokio::test]
async fn a_stall_takes_effect_in_the_middle_of_a_stream() {
    let server = Echo::start().await;
    let stream = server.connect().await;
    let (mut from, mut to) = stream.into_split();
    let writer = tokio::spawn(async move {
        let block = [7; 4_096];
        while to.write_all(&block).await.is_ok() {}
    });
    let mut block = [0; 4_096];
    from.read_exact(&mut block).await.unwrap();

    server.proxy.stall().await;

    // What had passed is in the system's buffers; then there is silence.
    let silent = async {
        while let Ok(read) = timeout(Duration::from_millis(100), from.read(&mut block)).await {
            assert_ne!(read.unwrap(), 0);
        }
    };
    timeout(PATIENCE, silent).await.unwrap();
    server.proxy.heal().await;
    let read = from.read_exact(&mut block);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    server.proxy.cut().await;
    writer.await.unwrap();
}

#[tokio::test]
async fn a_delay_holds_bytes_back_and_ends_when_it_heals() {
    let server = Echo::start().await;
    let mut stream = server.connect().await;
    echo(&mut stream).await.unwrap();

    server.proxy.delay(Duration::from_secs(3_600)).await;
    stream.write_all(b"y").await.unwrap();
    assert!(is_silent(&mut stream).await);

    server.proxy.heal().await;
    echo(&mut server.connect().await).await.unwrap();
}

#[tokio::test]
async fn a_short_delay_lets_all_bytes_pass_in_order() {
    let server = Echo::start().await;
    server.proxy.delay(Duration::from_millis(1)).await;
    let mut stream = server.connect().await;
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    stream.write_all(&sent).await.unwrap();
    let mut received = vec![0; sent.len()];
    timeout(PATIENCE, stream.read_exact(&mut received))
        .await
        .unwrap()
        .unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_proxy_ends_with_its_connections() {
    let server = Echo::start().await;
    let mut stream = server.connect().await;
    echo(&mut stream).await.unwrap();
    let address = server.address.clone();

    drop(server.proxy);

    assert_eq!(broken(&mut stream).await, io::ErrorKind::ConnectionReset);
    eventually(PATIENCE, || async {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_resets_connections() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let original = format!("postgres://{}/x", closed.local_addr().unwrap());
    drop(closed);
    let proxy = FaultProxy::in_front_of(&original).await;

    let error = tokio_postgres::connect(&proxy.url(&original), NoTls).await;

    assert!(error.is_err());
}

#[tokio::test]
async fn postgresql_is_reached_through_a_proxy() {
    let database = TestDatabase::empty().await;
    let proxy = FaultProxy::in_front_of(database.app_url()).await;
    let url = proxy.url(database.app_url());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.query_one("SELECT 1", &[]).await.unwrap();

    proxy.cut().await;

    assert!(connection.await.unwrap().is_err());
    assert!(client.query_one("SELECT 1", &[]).await.is_err());
    assert!(tokio_postgres::connect(&url, NoTls).await.is_ok());
}

#[tokio::test]
async fn redis_is_reached_through_a_proxy() {
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(redis.url()).await;
    let config = fred::types::config::Config::from_url(&proxy.url(redis.url())).unwrap();
    let client = fred::types::Builder::from_config(config).build().unwrap();
    client.init().await.unwrap();
    client.ping::<()>(None).await.unwrap();

    proxy.refuse().await;

    // The first client tries again and again; one that makes its first connection does not.
    let late = client.clone_new();
    assert!(timeout(PATIENCE, late.init()).await.unwrap().is_err());
}
