//! The future of an answer.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::ServiceResponse,
};
use pin_project_lite::pin_project;

use super::{asked::Asked, worker::Worker};

pub(super) type Response<B> = ServiceResponse<EitherBody<B>>;

/// An answer, or that of a body which is encoded elsewhere. Most answers need no more room than the handler's.
pub(super) enum Answer<B> {
    Now(Response<B>),
    Later(Pin<Box<dyn Future<Output = Response<B>>>>),
}

pin_project! {
    /// The answer of a [`CompressionService`](super::CompressionService).
    #[must_use = "a future does nothing unless it is polled"]
    pub struct CompressionFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B> {
        // The client accepts nothing that there is.
        Refused { response: Option<Response<B>> },
        // The handler works.
        Asking { #[pin] asking: F, asked: Option<Asked>, worker: Rc<Worker> },
        // Its answer is encoded.
        Encoding { encoding: Pin<Box<dyn Future<Output = Response<B>>>> },
    }
}

impl<F, B> CompressionFuture<F, B> {
    pub(super) fn refused(response: Response<B>) -> CompressionFuture<F, B> {
        let response = Some(response);
        CompressionFuture {
            state: State::Refused { response },
        }
    }

    /// Without `asked`, the answer passes as it is.
    pub(super) fn asking(
        asking: F,
        asked: Option<Asked>,
        worker: Rc<Worker>,
    ) -> CompressionFuture<F, B> {
        let state = State::Asking {
            asking,
            asked,
            worker,
        };
        CompressionFuture { state }
    }
}

impl<F, B> Future for CompressionFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody + 'static,
{
    type Output = Result<Response<B>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let encoding = match state.as_mut().project() {
                StateProjection::Refused { response } => {
                    let response = response.take().expect("it is polled to its end once");
                    return Poll::Ready(Ok(response));
                }
                StateProjection::Asking {
                    asking,
                    asked,
                    worker,
                } => {
                    let response = ready!(asking.poll(context))?;
                    let answer = match asked.take() {
                        Some(asked) => worker.answer(asked, response),
                        None => Answer::Now(response.map_into_left_body()),
                    };
                    match answer {
                        Answer::Now(response) => return Poll::Ready(Ok(response)),
                        Answer::Later(encoding) => encoding,
                    }
                }
                StateProjection::Encoding { encoding } => {
                    return encoding.as_mut().poll(context).map(Ok);
                }
            };
            state.set(State::Encoding { encoding });
        }
    }
}

impl<F, B> fmt::Debug for CompressionFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressionFuture").finish_non_exhaustive()
    }
}
