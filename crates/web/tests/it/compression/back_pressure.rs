//! A stream is read as fast as its client takes it.

use std::{cell::Cell, future::ready, rc::Rc, task::Poll};

use actix_web::{
    App,
    body::{BodyStream, MessageBody as _},
    test::{self, call_service},
    web,
};
use futures_util::{future::poll_fn, poll, stream::repeat_with};
use ruleiq_compression::Coding;

use super::{get, json, noise, unhurried};

#[actix_web::test]
async fn no_more_is_read_of_a_stream_than_its_client_takes() {
    const PIECE: usize = 64 * 1024;
    let middleware = unhurried().build().unwrap();
    let noise = noise(64 * PIECE);
    for coding in Coding::ALL {
        let read = Rc::new(Cell::new(0));
        let (reads, source) = (Rc::clone(&read), noise.clone());
        let handler = move || {
            let (reads, source) = (Rc::clone(&reads), source.clone());
            let pieces = repeat_with(move || {
                let from = reads.replace(reads.get() + PIECE);
                Ok::<_, actix_web::Error>(source.slice(from..from + PIECE))
            });
            ready(json(BodyStream::new(pieces)))
        };
        let app = App::new()
            .default_service(web::to(handler))
            .wrap(middleware.clone());
        let app = test::init_service(app).await;
        let answer = call_service(&app, get(coding.as_str()).to_request()).await;
        let mut body = Box::pin(answer.map_into_boxed_body().into_body());
        assert_eq!(read.get(), 0);
        let mut taken = 0;
        while read.get() < 48 * PIECE {
            if let Poll::Ready(piece) = poll!(poll_fn(|context| body.as_mut().poll_next(context))) {
                taken += piece.unwrap().unwrap().len();
            }
            let ahead = read.get().saturating_sub(taken);
            // A block of an encoder, and the piece that it did not fit in.
            assert!(ahead <= 8 * PIECE, "{coding}: {ahead} bytes");
        }
    }
}
