//! How bodies are framed on a connection.

use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    body::{BodyStream, SizedStream},
    dev::ServerHandle,
    web,
};
use bytes::Bytes;
use futures_util::stream::iter;
use ruleiq_compression::Coding;
use ruleiq_web::CompressionMiddleware;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{encoded, json, streams::stream, text, unhurried};

pub(super) const LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Server {
    address: SocketAddr,
    pub(super) handle: ServerHandle,
}

/// A response as it came.
pub(super) struct Received {
    /// In lower case.
    head: String,
    body: Vec<u8>,
}

impl Server {
    pub(super) fn start(
        middleware: CompressionMiddleware,
        answer: impl Fn() -> HttpResponse + Clone + Send + 'static,
    ) -> Server {
        let server = HttpServer::new(move || {
            let answer = answer.clone();
            let handler = move || {
                let answer = answer();
                async move { answer }
            };
            App::new()
                .default_service(web::to(handler))
                .wrap(middleware.clone())
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
        Server { address, handle }
    }

    pub(super) fn default(answer: impl Fn() -> HttpResponse + Clone + Send + 'static) -> Server {
        Server::start(unhurried().build().unwrap(), answer)
    }

    pub(super) async fn send(&self, version: &str, accepts: &[u8]) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET / {version}\r\nhost: x\r\nconnection: close\r\naccept-encoding: ");
        let request = [head.as_bytes(), accepts, b"\r\n\r\n"].concat();
        connection.write_all(&request).await.unwrap();
        connection
    }

    /// What comes until the connection is closed.
    async fn ask(&self, version: &str, accepts: &[u8]) -> Received {
        let mut connection = self.send(version, accepts).await;
        Received::of(rest(&mut connection).await)
    }
}

impl Received {
    pub(super) fn of(mut received: Vec<u8>) -> Received {
        let mut windows = received.windows(4);
        let end = windows.position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let body = received.split_off(end);
        let head = String::from_utf8(received).unwrap().to_lowercase();
        Received { head, body }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// What the chunks hold, and whether the last one is there.
    pub(super) fn chunks(&self) -> (Vec<u8>, bool) {
        assert_eq!(self.header("transfer-encoding"), Some("chunked"));
        assert_eq!(self.header("content-length"), None);
        let (mut content, mut rest) = (Vec::new(), &self.body[..]);
        while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
            let size = std::str::from_utf8(&rest[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            rest = &rest[end + 2..];
            if size == 0 {
                assert_eq!(rest, b"\r\n");
                return (content, true);
            }
            content.extend_from_slice(&rest[..size.min(rest.len())]);
            rest = rest.get(size + 2..).unwrap_or_default();
        }
        (content, false)
    }
}

pub(super) async fn rest(connection: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let reading = connection.read_to_end(&mut rest);
    // A server that gives up may also say so by a reset.
    let read = timeout(LIMIT, reading).await.unwrap();
    if let Err(error) = read {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    rest
}

/// Reads on until all of this was there.
pub(super) async fn read_until(connection: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.windows(end.len()).any(|it| it == end) {
        let reading = connection.read_buf(&mut read);
        assert_ne!(timeout(LIMIT, reading).await.unwrap().unwrap(), 0);
    }
    read
}

#[actix_web::test]
async fn an_old_client_gets_a_whole_body_of_the_length_that_it_is_told() {
    let server = Server::default(|| json(text()));
    for coding in Coding::ALL {
        let accepts = coding.as_str().as_bytes();
        let received = server.ask("HTTP/1.0", accepts).await;
        assert_eq!(received.header("content-encoding"), Some(coding.as_str()));
        assert_eq!(received.header("transfer-encoding"), None);
        let body = encoded(coding, &text());
        let length = body.len().to_string();
        assert_eq!(received.header("content-length"), Some(&*length));
        assert_eq!(received.body, body);
    }
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_stream_comes_in_chunks_whatever_its_handler_says_of_its_length() {
    let body = || iter([text(), Bytes::new(), text()].map(Ok::<_, io::Error>));
    let length = 2 * u64::try_from(text().len()).unwrap();
    let answers: [fn(_, _) -> HttpResponse; 3] = [
        |body, _| json(BodyStream::new(body)),
        |body, length| json(SizedStream::new(length, body)),
        |body, length| {
            HttpResponse::Ok()
                .content_type("text/plain")
                .no_chunking(length)
                .streaming(body)
        },
    ];
    for answer in answers {
        let server = Server::default(move || answer(body(), length));
        for coding in Coding::ALL {
            let received = server.ask("HTTP/1.1", coding.as_str().as_bytes()).await;
            assert_eq!(received.header("content-encoding"), Some(coding.as_str()));
            let (mut encoder, mut expect) = (stream(coding), Vec::new());
            for _ in 0..2 {
                encoder.write(&text(), &mut expect).unwrap();
            }
            encoder.finish(&mut expect).unwrap();
            assert_eq!(received.chunks(), (expect, true));
        }
        server.handle.stop(false).await;
    }
}

#[actix_web::test]
async fn whatever_stands_in_a_header_what_it_says_of_a_coding_counts() {
    let server = Server::default(|| json(text()));
    let mut long = String::new();
    while long.len() < 64 * 1024 {
        write!(long, "deflate;q=0.{:03}, ", long.len() % 1000).unwrap();
    }
    long.push_str("zstd");
    for accepts in [
        long.as_bytes(),
        b"g\xc3\xbcip, br\xa0, \xff\xfe, zstd",
        b"\"br\", \"gzip, br\";q=1, br;q=\"1\", zstd",
        b"zstd\t;\tq=0.5 , identity;q=0.1",
    ] {
        let received = server.ask("HTTP/1.1", accepts).await;
        assert_eq!(received.header("content-encoding"), Some("zstd"));
        assert_eq!(received.body, encoded(Coding::Zstd, &text()));
    }
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn an_old_client_gets_a_stream_up_to_the_end_of_the_connection() {
    let body = || iter([text(), text()].map(Ok::<_, io::Error>));
    let length = 2 * u64::try_from(text().len()).unwrap();
    let answers: [fn(_, _) -> HttpResponse; 2] = [
        |body, _| json(BodyStream::new(body)),
        |body, length| json(SizedStream::new(length, body)),
    ];
    for answer in answers {
        let server = Server::default(move || answer(body(), length));
        for coding in Coding::ALL {
            let mut connection = TcpStream::connect(server.address).await.unwrap();
            let request = format!(
                "GET / HTTP/1.0\r\nconnection: keep-alive\r\naccept-encoding: {coding}\r\n\r\n"
            );
            connection.write_all(request.as_bytes()).await.unwrap();
            let received = Received::of(rest(&mut connection).await);
            assert_eq!(received.header("content-encoding"), Some(coding.as_str()));
            // RFC 9112 §6.1: it knows no chunks.
            assert_eq!(received.header("transfer-encoding"), None);
            assert_eq!(received.header("content-length"), None);
            let (mut encoder, mut expect) = (stream(coding), Vec::new());
            for _ in 0..2 {
                encoder.write(&text(), &mut expect).unwrap();
            }
            encoder.finish(&mut expect).unwrap();
            assert_eq!(received.body, expect);
        }
        server.handle.stop(false).await;
    }
}
