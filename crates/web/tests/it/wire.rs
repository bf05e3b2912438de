//! What goes over a connection, headers that actix-web adds included.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use ruleiq_metrics::Metrics;
use ruleiq_web::{RequestId, RequestScope, Timing};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};

const LIMIT: Duration = Duration::from_secs(10);

struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    metrics: Metrics,
    /// Told when the handler that is never done has begun.
    stuck: Arc<Notify>,
}

impl Server {
    /// All middlewares, in their order.
    fn start(deadline: Duration) -> Server {
        let metrics = Metrics::new();
        let timing = Timing::new(metrics.clone());
        let compression = crate::compression::unhurried().build().unwrap();
        let stuck = Arc::new(Notify::new());
        let begun = Arc::clone(&stuck);
        let server = HttpServer::new(move || {
            let begun = Arc::clone(&begun);
            let get_stuck = move || {
                begun.notify_one();
                pending::<HttpResponse>()
            };
            App::new()
                .route("/text", web::to(text))
                .route("/stuck", web::get().to(get_stuck))
                .wrap(RequestScope::new(deadline))
                .wrap(compression.clone())
                .wrap(timing.clone())
                .wrap(RequestId::new())
        })
        .workers(1)
        // A client that closes its side has left, instead of merely having said all.
        .h1_allow_half_closed(false)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Server {
            address,
            handle,
            metrics,
            stuck,
        }
    }

    async fn send(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The response's head, in lower case, and its body.
    async fn ask(&self, head: &str) -> (String, Vec<u8>) {
        let request = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept-encoding: gzip\r\n\r\n"
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let reading = stream.read_to_end(&mut received);
        timeout(LIMIT, reading).await.unwrap().unwrap();
        let end = received
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .unwrap();
        let body = received.split_off(end + 4);
        (String::from_utf8(received).unwrap().to_lowercase(), body)
    }
}

async fn text() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain")
        .body("text ".repeat(1000))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        (found == name).then_some(value)
    })
}

#[actix_web::test]
async fn the_length_is_that_of_the_encoded_body() {
    let server = Server::start(LIMIT);
    let (head, body) = server.ask("GET /text").await;
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    assert_eq!(
        header(&head, "content-length"),
        Some(&*body.len().to_string())
    );
    assert_eq!(body[..2], [0x1f, 0x8b]);
    server.handle.stop(false).await;
}

/// One of them that held the request would make the change of its condition a panic.
#[actix_web::test]
async fn a_condition_passes_all_middlewares() {
    let server = Server::start(LIMIT);
    let asked = "GET /text HTTP/1.1\r\nif-none-match: \"x-gzip4\"\r\nx-rest:";
    let (head, body) = server.ask(asked).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body[..2], [0x1f, 0x8b]);
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_head_has_neither_a_body_nor_the_length_of_another_one() {
    let server = Server::start(LIMIT);
    let (head, body) = server.ask("HEAD /text").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    assert_eq!(header(&head, "content-length"), None);
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert!(body.is_empty());
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_request_past_its_deadline_has_the_headers_of_all_middlewares() {
    let server = Server::start(Duration::from_millis(1));
    let (head, body) = server.ask("GET /stuck").await;
    assert!(head.starts_with("http/1.1 504"), "{head}");
    assert_eq!(
        header(&head, "content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        header(&head, "content-length"),
        Some(&*body.len().to_string())
    );
    for name in ["x-request-id", "x-process-time", "server-timing"] {
        assert!(header(&head, name).is_some(), "no `{name}` in {head}");
    }
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("deadline_exceeded")
    );
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_request_whose_client_leaves_counts_as_cancelled() {
    let server = Server::start(Duration::MAX);
    let stream = server.send("GET /stuck").await;
    timeout(LIMIT, server.stuck.notified()).await.unwrap();
    drop(stream);
    let cancelled = async {
        while server.metrics.summary().iter().all(|it| it.cancelled == 0) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, cancelled).await.unwrap();
    assert_eq!(server.metrics.summary()[0].operation, "GET /stuck");
    server.handle.stop(false).await;
}
