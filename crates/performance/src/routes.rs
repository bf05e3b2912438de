//! The endpoints: one file per resource.
//!
//! None may be stored by anybody on the way, errors included: what they tell is true for a moment,
//! and for administrators.

pub(crate) mod advice;
pub(crate) mod benchmark;
pub(crate) mod cache;
pub(crate) mod database;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod optimize;
mod parameters;
pub(crate) mod pool;

use actix_web::{
    Error, HttpRequest, HttpResponse, Resource, ResponseError as _, Route, guard,
    http::{
        StatusCode,
        header::{ALLOW, CACHE_CONTROL, HeaderValue},
    },
    middleware::DefaultHeaders,
    web::{self, ServiceConfig},
};
use ruleiq_web::Problem;

use crate::Performance;

/// Mounts what only administrators see.
pub(crate) fn configure(performance: &Performance, config: &mut ServiceConfig) {
    let paths = [
        ("metrics", admin(performance, metrics::metrics)),
        ("database/stats", admin(performance, database::stats)),
        ("database/health", admin(performance, database::health)),
        ("database/advice", admin(performance, advice::advice)),
        ("cache/stats", admin(performance, cache::stats)),
        ("pool/stats", admin(performance, pool::stats)),
    ];
    for (path, route) in paths {
        let resource = resource(&format!("/api/v1/performance/{path}"));
        config.service(resource.route(route).wrap(no_store()));
    }
    let route = admin_by(web::get(), performance, benchmark::benchmark);
    let resource = resource_of("/api/v1/performance/benchmark", "GET");
    config.service(resource.route(route).wrap(no_store()));
    let changes = [
        (
            "database/optimize",
            changing(performance, optimize::optimize),
        ),
        ("pool/optimize", changing(performance, pool::optimize)),
    ];
    for (path, route) in changes {
        let resource = resource_of(&format!("/api/v1/performance/{path}"), "POST");
        config.service(resource.route(route).wrap(no_store()));
    }
}

/// Mounts what everybody sees.
pub(crate) fn configure_health(performance: &Performance, config: &mut ServiceConfig) {
    for path in ["/health", "/api/v1/performance/health"] {
        let resource = resource(path).route(open(performance));
        config.service(resource.wrap(no_store()));
    }
}

/// A route that reads, and asks the guard first.
fn admin<H, R>(performance: &Performance, handler: H) -> Route
where
    H: Fn(Performance, HttpRequest) -> R + Copy + 'static,
    R: Future<Output = Result<HttpResponse, Error>> + 'static,
{
    admin_by(reading(), performance, handler)
}

fn admin_by<H, R>(route: Route, performance: &Performance, handler: H) -> Route
where
    H: Fn(Performance, HttpRequest) -> R + Copy + 'static,
    R: Future<Output = Result<HttpResponse, Error>> + 'static,
{
    let performance = performance.clone();
    route.to(move |request: HttpRequest| {
        let performance = performance.clone();
        async move {
            performance.admit(&request)?;
            handler(performance, request).await
        }
    })
}

/// A route that changes, and asks the guard before it reads the body.
fn changing<H, R>(performance: &Performance, handler: H) -> Route
where
    H: Fn(Performance, HttpRequest, web::Payload) -> R + Copy + 'static,
    R: Future<Output = Result<HttpResponse, Error>> + 'static,
{
    let performance = performance.clone();
    web::post().to(move |request: HttpRequest, payload: web::Payload| {
        let performance = performance.clone();
        async move {
            performance.admit(&request)?;
            handler(performance, request, payload).await
        }
    })
}

fn open(performance: &Performance) -> Route {
    let performance = performance.clone();
    reading().to(move || health::health(performance.clone()))
}

/// A route for GET and for HEAD, which wants the same answer without its body (RFC 9110 §9.1).
fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

fn resource(path: &str) -> Resource {
    resource_of(path, "GET, HEAD")
}

/// A resource that answers other methods with 405 and those that it knows.
fn resource_of(path: &str, methods: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move {
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this resource knows {methods}"),
        );
        let mut response = problem.error_response();
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(methods));
        response
    }))
}

fn no_store() -> DefaultHeaders {
    DefaultHeaders::new().add((CACHE_CONTROL, "no-store"))
}
