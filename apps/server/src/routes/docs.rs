//! The description of the API, as a document and as a page. Its assets are inside the program.

use actix_web::{HttpResponse, http::Method, web};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{assessments, auth, business_profiles, frameworks, probes, resource, users};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "RuleIQ",
        description = "Compliance assessments, and how fast they are served.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        auth::register, auth::login, auth::refresh, auth::logout,
        users::get,
        frameworks::list, frameworks::get,
        business_profiles::list, business_profiles::create,
        assessments::list, assessments::get, assessments::create, assessments::respond,
        assessments::complete,
        probes::livez, probes::readyz,
    ),
    modifiers(&Token)
)]
struct Document;

/// The access token, as the document names it.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description of every route.
fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(ruleiq_performance::openapi());
    document
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    let page = SwaggerUi::new("/docs/{_:.*}")
        .url("/api/openapi.json", openapi())
        .config(Config::default().validator_url("none"));
    config
        .service(
            resource("/docs", &[Method::GET]).route(web::get().to(|| async {
                HttpResponse::PermanentRedirect()
                    .insert_header(("Location", "/docs/"))
                    .finish()
            })),
        )
        .service(page);
}
