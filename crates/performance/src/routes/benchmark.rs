//! Measures the running service.

use std::time::Duration;

use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError as _,
    error::InternalError,
    http::{
        StatusCode,
        header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
    },
};
use ruleiq_web::Problem;
use tokio::time::Instant;

use super::parameters::{BenchmarkOf, query};
use crate::{
    Performance,
    benchmark::{COMPONENTS, Limits, is_busy, run},
    problem::{Described, deadline_exceeded, unavailable},
};

const DEFAULT_ITERATIONS: u64 = 2_000;
pub(crate) const MAX_ITERATIONS: u64 = 10_000;
/// How long a run takes at most.
const LIMIT: Duration = Duration::from_secs(10);
/// What a run leaves of the request's time for its answer.
const MARGIN: Duration = Duration::from_millis(500);
/// Less time than this is not worth beginning.
const LEAST: Duration = Duration::from_secs(2);

/// Measures the service while it runs: statements that read, the cache in a namespace of its own,
/// checkouts, compression.
///
/// It uses at most two connections to the database, and at most ten seconds: what was measured until
/// then is answered with `"partial": true`. One run at a time. A cookie does not open it.
#[utoipa::path(get, path = "/api/v1/performance/benchmark", tag = "performance",
    params(BenchmarkOf),
    responses(
        (status = 200, description = "What was measured, as `cargo xtask bench --json` writes it: schema `ruleiq-bench/1`, without CPU times and controls", body = Object),
        (status = 400, description = "Unknown parameters, component or number of iterations", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid bearer token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator, or turned off", body = Described, content_type = "application/problem+json"),
        (status = 409, description = "Another run is under way", body = Described, content_type = "application/problem+json"),
        (status = 503, description = "The application needs its connections itself", body = Described, content_type = "application/problem+json"),
        (status = 504, description = "The request's deadline is too near", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn benchmark(
    performance: Performance,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    bears_token(&request, "the benchmark")?;
    let asked = query::<BenchmarkOf>(&request)?;
    let inner = performance.inner();
    let benchmark = &inner.benchmark;
    if let Some(how) = benchmark.how_to_turn_on() {
        let detail = format!("the benchmark is turned off: {how}");
        return Err(Problem::new(StatusCode::FORBIDDEN, "benchmark_disabled", detail).into());
    }
    let limits = Limits {
        component: component(asked.component.as_deref())?,
        iterations: iterations(asked.iterations)?,
        until: until()?,
    };
    let Some(turn) = benchmark.take_turn() else {
        let detail = "another run is under way: it takes ten seconds at most";
        return Err(Problem::new(StatusCode::CONFLICT, "benchmark_running", detail).into());
    };
    if is_busy(inner) {
        return Err(unavailable(
            "pool_busy",
            "more than 80 % of the connections to the database are in use",
        ));
    }
    match run(inner, benchmark, &limits, turn).await {
        Ok(report) => Ok(HttpResponse::Ok().json(report)),
        Err(fault) => {
            tracing::error!(%fault, "a benchmark could not begin");
            let detail = "the benchmark could not begin; the log has the reason";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into())
        }
    }
}

/// A browser sends cookies wherever a page wants it to; a bearer token is sent on purpose. Whether
/// the token is good is the guard's to say.
pub(super) fn bears_token(request: &HttpRequest, what: &str) -> Result<(), Error> {
    let header = request.headers().get(AUTHORIZATION);
    let scheme = header.and_then(|it| it.as_bytes().get(..7));
    if scheme.is_some_and(|it| it.eq_ignore_ascii_case(b"bearer ")) {
        return Ok(());
    }
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "token_missing",
        format!("{what} wants a bearer token in `Authorization`, and nothing else opens it"),
    );
    let mut response = problem.error_response();
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(InternalError::from_response(problem, response).into())
}

fn component(asked: Option<&str>) -> Result<Option<&'static str>, Error> {
    let Some(asked) = asked.filter(|it| *it != "all") else {
        return Ok(None);
    };
    let known = COMPONENTS.into_iter().find(|it| *it == asked);
    known.map(Some).ok_or_else(|| {
        // What was asked for is the caller's own text, which the answer carries as JSON.
        let detail = format!(
            "there is no component `{asked}`: {}, all",
            COMPONENTS.join(", ")
        );
        Problem::new(StatusCode::BAD_REQUEST, "unknown_component", detail).into()
    })
}

fn iterations(asked: Option<u64>) -> Result<u64, Error> {
    let iterations = asked.unwrap_or(DEFAULT_ITERATIONS);
    if (1..=MAX_ITERATIONS).contains(&iterations) {
        return Ok(iterations);
    }
    let detail = format!("`iterations` is {iterations}, and may be 1 to {MAX_ITERATIONS}");
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_iterations", detail).into())
}

/// When the run has to end: in time for the answer.
fn until() -> Result<Instant, Error> {
    let now = Instant::now();
    let limit = now + LIMIT;
    let deadline = ruleiq_scope::deadline().and_then(|it| it.checked_sub(MARGIN));
    let until = deadline.map_or(limit, |it| it.min(limit));
    match until.saturating_duration_since(now) < LEAST {
        true => Err(deadline_exceeded()),
        false => Ok(until),
    }
}
