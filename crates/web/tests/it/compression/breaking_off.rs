//! Streams that break off on a connection.

use std::io;

use actix_web::{HttpResponse, body::BodyStream};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::unfold};
use ruleiq_compression::Coding;
use tokio::{
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use super::{
    noise,
    sockets::{LIMIT, Received, Server, read_until, rest},
    streams::stream,
    text, unhurried,
};

type Event = io::Result<Bytes>;

/// A handler whose bodies are what is sent to them, and those to whom it is to be sent.
fn live() -> (
    impl Fn() -> HttpResponse + Clone + Send + 'static,
    UnboundedReceiver<UnboundedSender<Event>>,
) {
    let (begun, streams) = unbounded_channel();
    let answer = move || {
        let (events, received) = unbounded_channel::<Event>();
        begun.send(events).unwrap();
        let events = unfold(received, |mut it| async { Some((it.recv().await?, it)) });
        HttpResponse::Ok()
            .content_type("text/event-stream")
            .body(BodyStream::new(events.boxed_local()))
    };
    (answer, streams)
}

#[actix_web::test]
async fn a_stream_that_fails_is_never_taken_for_a_whole_one() {
    for coding in Coding::ALL {
        let (answer, mut streams) = live();
        let server = Server::default(answer);
        let mut connection = server.send("HTTP/1.1", coding.as_str().as_bytes()).await;
        let events = timeout(LIMIT, streams.recv()).await.unwrap().unwrap();
        events.send(Ok(text())).unwrap();
        let (mut encoder, mut expect) = (stream(coding), Vec::new());
        encoder.write(&text(), &mut expect).unwrap();
        encoder.flush(&mut expect).unwrap();
        let mut received = read_until(&mut connection, &expect).await;
        events
            .send(Err(io::Error::other("the source is gone")))
            .unwrap();
        received.append(&mut rest(&mut connection).await);
        assert_eq!(Received::of(received).chunks(), (expect, false), "{coding}");
        server.handle.stop(false).await;
    }
}

#[actix_web::test]
async fn a_client_that_leaves_gives_the_place_of_its_stream_back() {
    let middleware = unhurried().stream_limit(1).build();
    let (answer, mut streams) = live();
    let server = Server::start(middleware.unwrap(), answer);
    for _ in 0..3 {
        let is_encoded = async |events: &UnboundedSender<Event>, connection: &mut TcpStream| {
            events.send(Ok(noise(100))).unwrap();
            let head = read_until(connection, b"\r\n\r\n").await;
            Received::of(head).header("content-encoding").is_some()
        };
        // The place of the one before comes back when the server has seen that its client is gone.
        let begun = async {
            loop {
                let mut connection = server.send("HTTP/1.1", b"br").await;
                let events = streams.recv().await.unwrap();
                if is_encoded(&events, &mut connection).await {
                    return (events, connection);
                }
            }
        };
        let (events, connection) = timeout(LIMIT, begun).await.unwrap();
        // It is the only one.
        let mut other = server.send("HTTP/1.1", b"br").await;
        let others = timeout(LIMIT, streams.recv()).await.unwrap().unwrap();
        assert!(!is_encoded(&others, &mut other).await);
        drop((connection, other));
        timeout(LIMIT, events.closed()).await.unwrap();
        timeout(LIMIT, others.closed()).await.unwrap();
    }
    server.handle.stop(false).await;
}
