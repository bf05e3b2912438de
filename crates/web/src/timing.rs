//! Middleware that measures each request.
//!
//! - The histogram of the operation `METHOD /route/{template}` counts it: as an error from status
//!   500 on, as cancelled when it is dropped because its client left. Requests that match no route
//!   share the operation `unmatched`; a path never becomes an operation's name.
//! - `X-Process-Time` tells the client the time in seconds, `Server-Timing` in milliseconds and, of
//!   a request that ran in a scope, what of it was spent waiting for a connection (`queue`), in the
//!   database (`db`) and for the cache's second tier (`cache`). Concurrent statements add up, so a
//!   part can exceed the total.
//! - A request that took as long as the threshold or longer is logged, with its path and without its
//!   query, where secrets may stand.
//!
//! The time ends with the response's head: what a streamed body takes is not in it.
//!
//! It stands outside of all that takes time, and inside of [`RequestId`](crate::RequestId), so that
//! a slow request is logged with its id.

mod operations;
mod watch;

use std::{
    fmt::Write as _,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use actix_web::{
    Error, HttpMessage as _,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::header::{HeaderMap, HeaderName, HeaderValue},
};
use ruleiq_metrics::Metrics;
use ruleiq_scope::Scope;

use self::{operations::Operations, watch::Watch};
use crate::{failure, request_scope::ScopeSlot, route};

const X_PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

const SLOW_THRESHOLD: Duration = Duration::from_secs(1);

/// Measures each request.
///
/// See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct Timing {
    metrics: Metrics,
    slow_threshold: Duration,
}

/// The service that [`Timing`] wraps around another.
#[derive(Debug)]
pub struct TimingMiddleware<S> {
    service: Rc<S>,
    operations: Operations,
    slow_threshold: Duration,
}

impl Timing {
    /// Records into these metrics.
    pub fn new(metrics: Metrics) -> Timing {
        Timing {
            metrics,
            slow_threshold: SLOW_THRESHOLD,
        }
    }

    /// The time from which on a request is logged. Default: 1 s.
    ///
    /// Too low: the log fills with requests that are as they should be. Too high: nobody hears of
    /// those that users complain about.
    #[must_use]
    pub fn slow_threshold(mut self, slow_threshold: Duration) -> Timing {
        self.slow_threshold = slow_threshold;
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for Timing
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = TimingMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(TimingMiddleware {
            service: Rc::new(service),
            operations: Operations::new(self.metrics.clone()),
            slow_threshold: self.slow_threshold,
        }))
    }
}

impl<S, B> Service<ServiceRequest> for TimingMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let template = route::template(&request);
        let operation = self.operations.of(request.method(), template.as_deref());
        let watch = Watch::start(operation, &request, self.slow_threshold);
        let slot = ScopeSlot::default();
        request.extensions_mut().insert(slot.clone());

        let service = Rc::clone(&self.service);
        Box::pin(async move {
            match service.call(request).await {
                Ok(mut response) => {
                    let elapsed = watch.finish(response.status());
                    tell(response.headers_mut(), elapsed, slot.scope().as_ref());
                    Ok(response)
                }
                Err(error) => Err(failure::answered(error, |response| {
                    let elapsed = watch.finish(response.status());
                    tell(response.headers_mut(), elapsed, slot.scope().as_ref());
                })),
            }
        })
    }
}

/// Tells the client where the time went.
fn tell(headers: &mut HeaderMap, elapsed: Duration, scope: Option<&Scope>) {
    let seconds = format!("{:.6}", elapsed.as_secs_f64());
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut parts = format!("total;dur={:.3}", milliseconds(elapsed));
    if let Some(times) = scope.map(Scope::times) {
        let (queue, db, cache) = (times.queue, times.database, times.cache);
        for (name, spent) in [("queue", queue), ("db", db), ("cache", cache)] {
            write!(parts, ", {name};dur={:.3}", milliseconds(spent))
                .expect("a string takes what it is given");
        }
    }
    let value = |text: &str| HeaderValue::from_str(text).expect("names, digits and punctuation");
    headers.insert(X_PROCESS_TIME, value(&seconds));
    // The application may have parts of its own.
    headers.append(SERVER_TIMING, value(&parts));
}
