//! Middleware that answers a request whose handler panicked.
//!
//! Its client gets 500, problem details with the code `internal`, where it would otherwise see its
//! connection break. The request's future is dropped, with all that it holds. The process's panic
//! hook has told of the panic by then, inside the request's span; what the panic says is not sent.
//!
//! It does nothing where panics abort the process. A panic while a body is streamed is not caught:
//! the head is sent already, and a connection that breaks is all that tells the client.
//!
//! It stands inside of [`Timing`](crate::Timing), which counts the request as an error, and outside
//! of all that could panic.

use std::{
    future::{Future, Ready, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

use actix_web::{
    Error,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::StatusCode,
};

use crate::problem::Problem;

/// Answers a request whose handler panicked.
///
/// See the [crate's documentation](crate).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CatchPanic;

/// The service that [`CatchPanic`] wraps around another.
#[derive(Debug)]
pub struct CatchPanicMiddleware<S> {
    service: Rc<S>,
}

impl CatchPanic {
    /// Has no options.
    pub fn new() -> CatchPanic {
        CatchPanic
    }
}

impl<S, B> Transform<S, ServiceRequest> for CatchPanic
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = CatchPanicMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(CatchPanicMiddleware {
            service: Rc::new(service),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for CatchPanicMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let service = Rc::clone(&self.service);
        // The call is inside the future: it can panic, too.
        let mut answer = Box::pin(async move { service.call(request).await });
        Box::pin(poll_fn(move |context| {
            // Nobody looks at what a panic left half done: the future is not polled again.
            catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)))
                .unwrap_or_else(|_| Poll::Ready(Err(panicked().into())))
        }))
    }
}

fn panicked() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the server could not answer; the log has the reason under the request's id",
    )
}
