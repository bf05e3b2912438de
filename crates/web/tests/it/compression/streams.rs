//! Bodies that come in pieces. That what is sent of them decodes is the encoder's own test.

use std::{cell::RefCell, pin::Pin, rc::Rc, sync::Arc, task::Poll};

use actix_web::{
    App, HttpResponse,
    body::{BodySize, BodyStream, BoxBody, MessageBody, SizedStream},
    http::Method,
    test::{self, TestRequest, call_service},
    web,
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::poll_fn,
    poll,
    stream::{iter, once, unfold},
};
use ruleiq_compression::{Coding, Config, Encoder, StreamEncoder};
use ruleiq_web::CompressionMiddleware;
use tokio::sync::mpsc;

use super::{Counted, get, json, text, unhurried};

/// An encoder as the middleware has one for a stream.
pub(super) fn stream(coding: Coding) -> StreamEncoder {
    let encoder = Encoder::new(&Config::default()).unwrap();
    Arc::new(encoder).stream(coding).unwrap()
}

fn pieces(pieces: Vec<Bytes>) -> HttpResponse {
    let pieces = pieces.into_iter().map(Ok::<_, actix_web::Error>);
    json(BodyStream::new(iter(pieces)))
}

#[actix_web::test]
async fn a_stream_is_encoded_however_it_is_cut() {
    let large: Bytes = text().repeat(350).into();
    let cuts = [
        vec![],
        vec![Bytes::new(), text(), Bytes::new()],
        text().chunks(1).map(Bytes::copy_from_slice).collect(),
        // Between the bytes of one character.
        "für 3 € 😀"
            .as_bytes()
            .chunks(1)
            .map(Bytes::copy_from_slice)
            .collect(),
        vec![large.clone()],
        vec![text(), large],
    ];
    for coding in Coding::ALL {
        for cut in &cuts {
            let counted = Counted::default();
            let sent = cut.clone();
            let asked = get(coding.as_str());
            let answer = counted.ask(asked, move || pieces(sent.clone())).await;
            assert_eq!(answer.header("content-encoding"), Some(coding.as_str()));
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
            assert_eq!(answer.size, BodySize::Stream);

            let (mut encoder, mut expect) = (stream(coding), Vec::new());
            for piece in cut {
                encoder.write(piece, &mut expect).unwrap();
            }
            encoder.finish(&mut expect).unwrap();
            assert_eq!(answer.body, expect, "{coding}");

            let read: u64 = counted.counts("input_bytes").iter().map(|(_, n)| n).sum();
            assert_eq!(read, u64::try_from(cut.concat().len()).unwrap());
            let sent: u64 = counted.counts("output_bytes").iter().map(|(_, n)| n).sum();
            assert_eq!(sent, u64::try_from(expect.len()).unwrap());
        }
    }
}

#[actix_web::test]
async fn a_stream_of_a_known_size_loses_it() {
    let sized = || {
        let chunk = once(async { Ok::<_, actix_web::Error>(text()) });
        let size = u64::try_from(text().len()).unwrap();
        json(SizedStream::new(size, Box::pin(chunk)))
    };
    let counted = Counted::default();
    let answer = counted.ask(get("zstd"), sized).await;
    assert_eq!(answer.size, BodySize::Stream);
    assert_eq!(answer.header("content-encoding"), Some("zstd"));
    let answer = counted.ask(get("identity"), sized).await;
    assert_eq!(answer.body, text());
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));

    let head = TestRequest::default().method(Method::HEAD);
    let head = head.insert_header(("accept-encoding", "br"));
    let answer = counted.ask(head, sized).await;
    assert_eq!(answer.size, BodySize::None);
    assert_eq!(answer.header("content-encoding"), Some("br"));
}

type Event = Result<Bytes, actix_web::Error>;

/// The body of an answer that is made of what is sent to it.
async fn events(
    middleware: &CompressionMiddleware,
    coding: Coding,
) -> (mpsc::UnboundedSender<Event>, Pin<Box<BoxBody>>) {
    let (events, received) = mpsc::unbounded_channel();
    let received = Rc::new(RefCell::new(Some(received)));
    let handler = move || {
        let received: mpsc::UnboundedReceiver<Event> = received.take().unwrap();
        let events = unfold(received, |mut it| async { Some((it.recv().await?, it)) });
        async move {
            HttpResponse::Ok()
                .content_type("text/event-stream")
                .body(BodyStream::new(events.boxed_local()))
        }
    };
    let app = App::new()
        .default_service(web::to(handler))
        .wrap(middleware.clone());
    let app = test::init_service(app).await;
    let answer = call_service(&app, get(coding.as_str()).to_request()).await;
    (events, Box::pin(answer.map_into_boxed_body().into_body()))
}

/// All that there is without anything else happening.
async fn there_is(body: &mut Pin<Box<BoxBody>>) -> Vec<u8> {
    let mut there_is = Vec::new();
    loop {
        match poll!(poll_fn(|context| body.as_mut().poll_next(context))) {
            Poll::Ready(Some(Ok(piece))) => there_is.extend_from_slice(&piece),
            Poll::Ready(Some(Err(error))) => panic!("{error}"),
            Poll::Ready(None) | Poll::Pending => return there_is,
        }
    }
}

#[actix_web::test]
async fn each_event_is_there_when_it_was_sent() {
    let middleware = unhurried().build().unwrap();
    for coding in Coding::ALL {
        let (events, mut body) = events(&middleware, coding).await;
        let mut encoder = stream(coding);
        for n in 0..20 {
            let event = format!("data: event {n}\n\n");
            let mut expect = Vec::new();
            encoder.write(event.as_bytes(), &mut expect).unwrap();
            encoder.flush(&mut expect).unwrap();
            events.send(Ok(event.into())).unwrap();
            assert_eq!(there_is(&mut body).await, expect, "{coding}, event {n}");
            // And nothing more as long as there is nothing more.
            assert!(there_is(&mut body).await.is_empty());
        }
        drop(events);
        let mut expect = Vec::new();
        encoder.finish(&mut expect).unwrap();
        assert_eq!(there_is(&mut body).await, expect);
    }
}

#[actix_web::test]
async fn a_stream_that_fails_has_no_end() {
    let middleware = unhurried().build().unwrap();
    for coding in Coding::ALL {
        let (events, mut body) = events(&middleware, coding).await;
        events.send(Ok(text())).unwrap();
        assert!(!there_is(&mut body).await.is_empty());
        let failed = actix_web::error::ErrorInternalServerError("the source is gone");
        events.send(Err(failed)).unwrap();
        let next = poll_fn(|context| body.as_mut().poll_next(context)).await;
        let error = next.unwrap().unwrap_err().to_string();
        assert!(error.contains("the source is gone"), "{error}");
        let next = poll_fn(|context| body.as_mut().poll_next(context)).await;
        assert!(next.is_none());
    }
}

#[actix_web::test]
async fn what_a_dropped_stream_has_begun_is_in_no_other() {
    let middleware = unhurried().build().unwrap();
    for coding in Coding::ALL {
        for _ in 0..10 {
            let (events, mut body) = events(&middleware, coding).await;
            events.send(Ok(text())).unwrap();
            assert!(!there_is(&mut body).await.is_empty());
            drop(body);
            assert!(events.is_closed());
        }
        let (events, mut body) = events(&middleware, coding).await;
        events.send(Ok(text())).unwrap();
        let (mut encoder, mut expect) = (stream(coding), Vec::new());
        encoder.write(&text(), &mut expect).unwrap();
        encoder.flush(&mut expect).unwrap();
        assert_eq!(there_is(&mut body).await, expect, "{coding}");
    }
}

#[actix_web::test]
async fn beyond_the_limit_streams_are_sent_as_they_are() {
    let middleware = unhurried().stream_limit(1).build();
    let middleware = middleware.unwrap();
    let (first, mut encoded) = events(&middleware, Coding::Gzip).await;
    let (second, mut plain) = events(&middleware, Coding::Gzip).await;
    for events in [&first, &second] {
        events.send(Ok(text())).unwrap();
    }
    assert_ne!(there_is(&mut encoded).await, text());
    assert_eq!(there_is(&mut plain).await, text());
    drop(encoded);
    let (third, mut encoded) = events(&middleware, Coding::Gzip).await;
    third.send(Ok(text())).unwrap();
    assert_ne!(there_is(&mut encoded).await, text());
}

#[actix_web::test]
async fn what_shrinks_to_nothing_lets_others_have_their_turn() {
    let counted = Counted::default();
    let zeros = Bytes::from(vec![b' '; 4 << 20]);
    let sent = zeros.clone();
    let answer = counted.ask(get("zstd"), move || pieces(vec![sent.clone()]));
    let mut polls = 0;
    let mut answer = Box::pin(answer);
    let answer = poll_fn(|context| {
        polls += 1;
        answer.as_mut().poll(context)
    });
    let answer = answer.await;
    assert!(polls > 4, "{polls} polls");
    let (mut encoder, mut expect) = (stream(Coding::Zstd), Vec::new());
    encoder.write(&zeros, &mut expect).unwrap();
    encoder.finish(&mut expect).unwrap();
    assert_eq!(answer.body.len(), expect.len());
}

#[actix_web::test]
async fn the_tag_of_a_stream_is_weak_and_its_length_is_nobodys() {
    let counted = Counted::default();
    let tagged = || {
        let body = iter([Ok::<_, actix_web::Error>(text())]);
        HttpResponse::Ok()
            .content_type("application/json")
            .insert_header(("etag", "\"abc\""))
            .no_chunking(u64::try_from(text().len()).unwrap())
            .streaming(body)
    };
    let answer = counted.ask(get("br"), tagged).await;
    assert_eq!(answer.header("etag"), Some("W/\"abc-br3\""));
    assert_eq!(answer.header("content-length"), None);
}
