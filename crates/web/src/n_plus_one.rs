//! Middleware that tells of statements which a request has run again and again from one line.
//!
//! It asks [`Detector`] when the handler has answered, has been dropped at its deadline or with its
//! client, or has panicked. What is told then depends on the [`NPlusOneMode`]:
//!
//! | Mode | A request with findings |
//! | --- | --- |
//! | [`Off`](NPlusOneMode::Off) | is not looked at |
//! | [`Header`](NPlusOneMode::Header) | is counted, and has `X-N-Plus-One` on its answer |
//! | [`Log`](NPlusOneMode::Log) | is counted, and logged: a warning for each route, statement and line, at most once in ten minutes |
//! | [`Fail`](NPlusOneMode::Fail) | is counted and logged, and answered with 500, problem details with the code `n_plus_one` and the report |
//!
//! - The header is a list of structured fields (RFC 9651), of at most four findings:
//!   `n-plus-one;count=12;statement="1f0c…";at="src/store/posts.rs:41:10"`. It holds names of source files,
//!   which is why it is not for everybody.
//! - An answer from status 500 on stays as it is: the request has failed already, and its reason counts for
//!   more.
//! - Nothing that is told holds a constant, a parameter or a path.
//!
//! What a streamed body runs is not seen, nor what runs in tasks outside of the request's scope. A request
//! that is not answered has no header.
//!
//! It stands right outside of [`RequestScope`](crate::RequestScope), whose scope it reads, and inside of
//! compression, so that a problem is encoded like any answer, and of
//! [`CatchPanic`](crate::CatchPanic), so that a panic is seen.

mod header;
mod ledger;
mod metrics;
mod watch;

use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage as _, ResponseError as _,
    body::{BoxBody, EitherBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::StatusCode,
};
use ruleiq_db_optimizer::n_plus_one::{Detector, Report};

use self::{ledger::Ledger, watch::Watch};
pub use self::{ledger::NPlusOneTold, metrics::NPlusOneMetrics};
use crate::{failure, problem::Problem, request_scope::ScopeSlot};

/// What becomes of a request that has run a statement again and again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NPlusOneMode {
    /// Nothing: requests are not looked at.
    #[default]
    Off,
    /// Its answer says so in `X-N-Plus-One`.
    Header,
    /// The log says so.
    Log,
    /// It is answered with 500. For tests and development alone: what the handler has done stays done.
    Fail,
}

/// Tells of statements that a request runs again and again. Clones share what they have told.
///
/// See the [crate's documentation](crate).
#[derive(Clone)]
pub struct NPlusOne {
    inner: Arc<Inner>,
}

struct Inner {
    mode: NPlusOneMode,
    detector: Detector,
    metrics: NPlusOneMetrics,
    ledger: Ledger,
}

/// The service that [`NPlusOne`] wraps around another.
#[derive(Debug)]
pub struct NPlusOneMiddleware<S> {
    service: Rc<S>,
    n_plus_one: NPlusOne,
}

impl NPlusOne {
    /// Tells in this way of what has run five times and more, and counts it nowhere.
    pub fn new(mode: NPlusOneMode) -> NPlusOne {
        NPlusOne::with(mode, Detector::default(), NPlusOneMetrics::default())
    }

    /// Tells in this way of what the detector finds, and counts it there.
    pub fn with(mode: NPlusOneMode, detector: Detector, metrics: NPlusOneMetrics) -> NPlusOne {
        let ledger = Ledger::default();
        NPlusOne {
            inner: Arc::new(Inner {
                mode,
                detector,
                metrics,
                ledger,
            }),
        }
    }

    /// What it does.
    pub fn mode(&self) -> NPlusOneMode {
        self.inner.mode
    }

    /// What was found since the process began, at most 1,024 findings, what ran most often in one request
    /// first.
    pub fn told(&self) -> Vec<NPlusOneTold> {
        self.inner.ledger.told()
    }
}

impl Inner {
    /// Counts, keeps and logs what there is, as the mode says.
    fn tell(&self, report: &Report) {
        for finding in &report.findings {
            let route = report.route.as_deref();
            self.metrics.count(route, finding.kind);
            let is_due = self.ledger.note(route, finding);
            if is_due && matches!(self.mode, NPlusOneMode::Log | NPlusOneMode::Fail) {
                ledger::log(route, finding);
            }
        }
    }
}

impl fmt::Debug for NPlusOne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NPlusOne")
            .field("mode", &self.inner.mode)
            .field("detector", &self.inner.detector)
            .finish_non_exhaustive()
    }
}

impl<S, B> Transform<S, ServiceRequest> for NPlusOne
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = NPlusOneMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(NPlusOneMiddleware {
            service: Rc::new(service),
            n_plus_one: self.clone(),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for NPlusOneMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let inner = Arc::clone(&self.n_plus_one.inner);
        if inner.mode == NPlusOneMode::Off {
            let answer = self.service.call(request);
            return Box::pin(async { Ok(answer.await?.map_into_left_body()) });
        }
        let slot = slot_of(&request);
        let service = Rc::clone(&self.service);
        Box::pin(async move {
            let watch = Watch::start(Arc::clone(&inner), slot);
            let answer = service.call(request).await;
            let report = watch.finish();
            match report.findings.is_empty() {
                true => Ok(answer?.map_into_left_body()),
                false => answered(inner.mode, answer, &report),
            }
        })
    }
}

/// Where the scope will be, which a middleware further out may want to know as well.
fn slot_of(request: &ServiceRequest) -> ScopeSlot {
    let known = request.extensions().get::<ScopeSlot>().cloned();
    known.unwrap_or_else(|| {
        let slot = ScopeSlot::default();
        request.extensions_mut().insert(slot.clone());
        slot
    })
}

/// The answer of a request with findings.
fn answered<B>(
    mode: NPlusOneMode,
    answer: Result<ServiceResponse<B>, Error>,
    report: &Report,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if mode == NPlusOneMode::Fail && !status.is_server_error() {
        return match answer {
            Ok(response) => Ok(response
                .into_response::<BoxBody>(problem(report).error_response())
                .map_into_right_body()),
            Err(_) => Err(problem(report).into()),
        };
    }
    if mode != NPlusOneMode::Header {
        return Ok(answer?.map_into_left_body());
    }
    match answer {
        Ok(mut response) => {
            header::tell(response.headers_mut(), report);
            Ok(response.map_into_left_body())
        }
        Err(error) => Err(failure::answered(error, |response| {
            header::tell(response.headers_mut(), report);
        })),
    }
}

fn problem(report: &Report) -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "n_plus_one",
        report.to_string(),
    )
}
