//! What the cache has done.

use actix_web::{Error, HttpRequest, HttpResponse};
use ruleiq_cache::{PrefixStats, Stats};
use serde::Serialize;

use super::parameters::{Nothing, query};
use crate::{Performance, problem::Described};

/// The whole cache, and each prefix of keys.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    all: Stats,
    /// First those for which a longer time to live would have saved most.
    prefixes: Vec<PrefixStats>,
}

/// What the cache has done: hits in both tiers, misses, loads, and its size; and the same for each prefix of keys, first
/// those for which a longer time to live would have saved most.
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
    let cache = &performance.inner().cache;
    Ok(HttpResponse::Ok().json(Told {
        all: cache.stats(),
        prefixes: cache.prefix_stats(),
    }))
}
