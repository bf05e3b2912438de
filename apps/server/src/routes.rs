//! The HTTP surface: one file per resource.

mod assessments;
mod auth;
mod business_profiles;
mod docs;
mod frameworks;
mod input;
mod probes;
mod users;

use actix_web::{
    HttpResponse, Resource, ResponseError as _, Route, guard,
    http::{Method, StatusCode, header},
    web,
};

pub(crate) use self::{
    auth::{check_password, checked_email},
    probes::metrics_only,
};
use crate::error::ApiError;

/// Mounts everything but the performance endpoints.
pub(crate) fn configure(config: &mut web::ServiceConfig, max_body_bytes: usize) {
    input::configure(config, max_body_bytes);
    probes::configure(config);
    docs::configure(config);
    auth::configure(config);
    users::configure(config);
    frameworks::configure(config);
    business_profiles::configure(config);
    assessments::configure(config);
    config.default_service(web::to(no_such_route));
}

/// A route for GET and for HEAD, which wants the same answer without its body (RFC 9110 §9.1).
fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A resource that answers methods it does not know with 405 and the list of those it does. Where
/// it knows GET it knows HEAD: see [`reading`].
fn resource(path: &str, methods: &'static [Method]) -> Resource {
    web::resource(path).default_service(web::to(move || async move {
        let mut allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
        if methods.contains(&Method::GET) {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        let problem = ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this resource knows {allowed}"),
        );
        let mut response = problem.error_response();
        response.headers_mut().insert(
            header::ALLOW,
            allowed.parse().expect("methods are valid in a header"),
        );
        response
    }))
}

async fn no_such_route() -> HttpResponse {
    ApiError::not_found("route").error_response()
}
