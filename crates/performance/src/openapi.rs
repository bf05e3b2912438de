//! The description of the endpoints.

use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::routes::{advice, benchmark, cache, database, health, metrics, optimize, pool};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Performance",
        description = "How fast the service is, and what holds it up."
    ),
    tags((name = "performance", description = "How fast the service is, and what holds it up.")),
    paths(
        health::health,
        health::health_beside,
        metrics::metrics,
        database::stats,
        optimize::optimize,
        database::health,
        advice::advice,
        cache::stats,
        pool::stats,
        pool::optimize,
        benchmark::benchmark,
    ),
    modifiers(&Token)
)]
struct Document;

/// The scheme by which administrators say who they are.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description of the endpoints, to be merged into the application's own.
///
/// Those for administrators name the security scheme `token`. It is described as a bearer token;
/// an application whose guard looks for something else describes its own scheme of that name, which
/// stays when this is merged into it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
