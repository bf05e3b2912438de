//! Middleware that gives each request an id.
//!
//! The id is that of the request's `X-Request-Id`, if it is sane, and a fresh UUID of version 7
//! otherwise. It stands in the span `request` around all that is logged for the request, in the
//! response's `X-Request-Id`, and in the request's for the handlers.
//!
//! A sane id has 1 to 128 characters out of letters, digits and `-_.:/+=@`, so that it can be
//! copied into a log, a shell and a URL. It is taken on trust: who needs an id that no client can
//! choose removes the header at the edge. A task that is spawned for the request is in the span
//! only if it is instrumented with it.
//!
//! It stands outermost, so that what the other middlewares log has the id too.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
};

use actix_web::{
    Error,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::header::{HeaderName, HeaderValue},
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::failure;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST_ID: usize = 128;

/// Gives each request an id.
///
/// See the [crate's documentation](crate).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RequestId;

/// The service that [`RequestId`] wraps around another.
#[derive(Debug)]
pub struct RequestIdMiddleware<S> {
    service: Rc<S>,
}

impl RequestId {
    /// Has no options.
    pub fn new() -> RequestId {
        RequestId
    }
}

impl<S, B> Transform<S, ServiceRequest> for RequestId
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = RequestIdMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RequestIdMiddleware {
            service: Rc::new(service),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for RequestIdMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let id = match request.headers().get(X_REQUEST_ID) {
            Some(given) if is_sane(given) => given.clone(),
            _ => fresh(),
        };
        // An error's span, because a filter that turns it off takes the id from every line in it.
        let span = tracing::error_span!("request", request_id = id.to_str().unwrap_or_default());
        request.headers_mut().insert(X_REQUEST_ID, id.clone());

        let service = Rc::clone(&self.service);
        let answer = async move {
            match service.call(request).await {
                Ok(mut response) => {
                    response.headers_mut().insert(X_REQUEST_ID, id);
                    Ok(response)
                }
                Err(error) => Err(failure::answered(error, |response| {
                    response.headers_mut().insert(X_REQUEST_ID, id);
                })),
            }
        };
        Box::pin(answer.instrument(span))
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(is_sane)
}

fn fresh() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("hexadecimal digits and hyphens")
}
