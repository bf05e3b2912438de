//! What the cache has done.

use actix_web::{Error, HttpRequest, HttpResponse};

use super::parameters::{Nothing, query};
use crate::{Performance, problem::Described};

/// What the cache has done: hits in both tiers, misses, loads, and its size.
#[utoipa::path(get, path = "/api/v1/performance/cache/stats", tag = "performance",
    responses(
        (status = 200, description = "Counts since the server started, and the present state",
            body = Object),
        (status = 400, description = "Unknown parameters", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn stats(
    performance: Performance,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    query::<Nothing>(&request)?;
    Ok(HttpResponse::Ok().json(performance.inner().cache.stats()))
}
