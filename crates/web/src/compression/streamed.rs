//! A body that is encoded while it comes.

use std::{
    error::Error,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use pin_project_lite::pin_project;
use ruleiq_compression::{Coding, CompressionMetrics, EncodeError, Reason, StreamEncoder};
use tokio::sync::OwnedSemaphorePermit;

/// How much is encoded before it is looked whether something can be sent.
const PIECE: usize = 32 * 1024;
/// How much is encoded before others have their turn.
const AT_ONCE: usize = 8 * PIECE;
/// How much is gathered before it is sent, as long as more is there.
const GATHERED: usize = 8 * 1024;

pin_project! {
    /// Flushes whenever the body has nothing more for now, so that an event is there as soon as it was sent. Holds one
    /// piece of the body and what is to be sent of it. A body that fails, or is dropped, has no end.
    pub(super) struct Streamed<B> {
        #[pin]
        body: B,
        // What has come and is not encoded yet.
        piece: Bytes,
        encoder: Option<StreamEncoder>,
        out: Vec<u8>,
        is_flushed: bool,
        // How much was encoded since others had their turn.
        turn: usize,
        counted: Counted,
        // Among the streams that are encoded at once.
        place: OwnedSemaphorePermit,
    }
}

/// What was read since something was sent, for the metrics.
struct Counted {
    metrics: CompressionMetrics,
    coding: Coding,
    read: usize,
}

impl<B> Streamed<B> {
    pub(super) fn new(
        body: B,
        (encoder, place): (StreamEncoder, OwnedSemaphorePermit),
        (coding, reason): (Coding, Reason),
        metrics: CompressionMetrics,
    ) -> Streamed<B> {
        metrics.record_stream(coding, reason);
        Streamed {
            body,
            piece: Bytes::new(),
            encoder: Some(encoder),
            out: Vec::new(),
            is_flushed: true,
            turn: 0,
            counted: Counted {
                metrics,
                coding,
                read: 0,
            },
            place,
        }
    }
}

impl<B: MessageBody> MessageBody for Streamed<B> {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        let mut this = self.project();
        loop {
            // It has ended, or failed.
            let Some(encoder) = this.encoder else {
                return Poll::Ready(None);
            };
            if !this.piece.is_empty() {
                let piece = this.piece.split_to(this.piece.len().min(PIECE));
                this.counted.read += piece.len();
                *this.turn += piece.len();
                *this.is_flushed = false;
                if let Err(error) = encoder.write(&piece, this.out) {
                    *this.encoder = None;
                    return Poll::Ready(Some(Err(failed(this.counted.coding, error))));
                }
                if this.out.len() >= GATHERED {
                    return Poll::Ready(Some(Ok(send(this.out, this.counted))));
                }
                if *this.turn >= AT_ONCE {
                    // Others have theirs: whoever polls does so again as long as there is something.
                    *this.turn = 0;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            let ended = match this.body.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    *this.piece = piece;
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    *this.encoder = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(None) => true,
                Poll::Pending => {
                    *this.turn = 0;
                    false
                }
            };
            let written = match ended {
                true => encoder.finish(this.out),
                false if *this.is_flushed => Ok(()),
                false => encoder.flush(this.out),
            };
            *this.is_flushed = true;
            if ended || written.is_err() {
                *this.encoder = None;
            }
            return match written {
                Err(error) => Poll::Ready(Some(Err(failed(this.counted.coding, error)))),
                Ok(()) if !this.out.is_empty() => {
                    Poll::Ready(Some(Ok(send(this.out, this.counted))))
                }
                Ok(()) if ended => Poll::Ready(None),
                Ok(()) => Poll::Pending,
            };
        }
    }
}

/// What has come out, which is sent now.
fn send(out: &mut Vec<u8>, counted: &mut Counted) -> Bytes {
    let read = mem::take(&mut counted.read);
    counted
        .metrics
        .record_bytes(counted.coding, read, out.len());
    mem::take(out).into()
}

fn failed(coding: Coding, error: EncodeError) -> Box<dyn Error> {
    tracing::error!(error = &error as &dyn Error, %coding, "a stream was not encoded to its end");
    error.into()
}
