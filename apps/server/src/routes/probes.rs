//! What orchestrators and monitoring ask.
//!
//! `/livez` says that the process turns, whatever state its neighbours are in. `/readyz` says
//! whether it wants traffic: the database answers and has the schema that this program knows, and
//! the server is not going down. `/metrics` is closed unless a token is set; with an address of its
//! own it is served there instead, without one.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web,
};
use ruleiq_metrics::Metrics;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::time;
use utoipa::ToSchema;

use super::{reading, resource};
use crate::{
    app::App,
    auth::sha256,
    error::{ApiError, Problem},
    store::schema,
};

/// How long the database may take to answer the question for readiness. Whoever asks waits for a
/// second or a few, and far less than a request may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const GET: &[Method] = &[Method::GET];
    config
        .service(resource("/livez", GET).route(reading().to(livez)))
        .service(resource("/readyz", GET).route(reading().to(readyz)))
        .service(resource("/metrics", GET).route(reading().to(metrics)));
}

/// Mounts `/metrics` alone, for an address that only monitoring reaches.
pub(crate) fn metrics_only(config: &mut web::ServiceConfig) {
    config.service(resource("/metrics", &[Method::GET]).route(reading().to(exposition)));
}

/// Whether the process turns.
#[utoipa::path(get, path = "/livez", tag = "probes", responses((status = 200, body = Alive)))]
pub(crate) async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(Alive { status: "ok" })
}

/// Whether the server wants traffic.
#[utoipa::path(get, path = "/readyz", tag = "probes",
    responses((status = 200, body = Alive), (status = 503, body = Problem)))]
pub(crate) async fn readyz(app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    if app.is_draining() {
        return Err(ApiError::unavailable(
            "draining",
            "the server is going down",
        ));
    }
    let is_expected = async { Ok(schema::is_expected(&app.session().await?).await?) };
    let is_expected: Result<bool, ApiError> =
        time::timeout(PATIENCE, is_expected).await.map_err(|_| {
            ApiError::unavailable("database_slow", "the database does not answer in time")
        })?;
    if !is_expected? {
        return Err(ApiError::unavailable(
            "schema_outdated",
            "the database lacks migrations that this program needs",
        ));
    }
    Ok(HttpResponse::Ok().json(Alive { status: "ok" }))
}

async fn metrics(
    request: HttpRequest,
    app: web::Data<App>,
    all: web::Data<Metrics>,
) -> Result<HttpResponse, ApiError> {
    let expected = app
        .metrics_token
        .as_ref()
        .ok_or_else(|| ApiError::not_found("route"))?;
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "))
        .unwrap_or_default();
    // Comparing digests tells nothing about the token by the time that it takes.
    if sha256(given.as_bytes()) != sha256(expected.expose_secret().as_bytes()) {
        return Err(ApiError::unauthorized(
            "token_invalid",
            "the token is not valid",
        ));
    }
    exposition(all).await
}

async fn exposition(metrics: web::Data<Metrics>) -> Result<HttpResponse, ApiError> {
    let text = metrics.encode().map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text))
}
