//! The description of the API, as a document and as a page. Its assets are inside the program.

use actix_web::{
    HttpResponse,
    http::{Method, header},
    web,
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::Config;

use super::{assessments, auth, business_profiles, frameworks, probes, reading, resource, users};
use crate::error::ApiError;

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
    modifiers(&Token, &Refusals)
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

/// How operations are refused that have something in common, and in what form.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post];
            operations.into_iter().flatten().for_each(add_refusals);
        }
    }
}

fn add_refusals(operation: &mut Operation) {
    let mut refusals = vec![("default", "Anything else that goes wrong")];
    if operation.security.is_some() {
        refusals.push(("401", "No valid token"));
    }
    if operation.parameters.is_some() || operation.request_body.is_some() {
        refusals.push(("400", "Input that cannot be read"));
    }
    if operation.request_body.is_some() {
        refusals.push(("413", "A body over the limit"));
        refusals.push(("415", "A body that is no JSON"));
        refusals.push(("422", "A body that is not acceptable"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in refusals {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", problem);
        responses
            .entry(status.to_owned())
            .or_insert_with(|| response.build().into());
    }
    // The derived descriptions take every schema for plain JSON.
    for response in responses.values_mut() {
        if let RefOr::T(response) = response
            && let Some(content) = response.content.get("application/json")
            && is_problem(content)
            && let Some(content) = response.content.swap_remove("application/json")
        {
            let problem = "application/problem+json".to_owned();
            response.content.insert(problem, content);
        }
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(content) = content else {
        return false;
    };
    content.schema == Some(Ref::from_schema_name("Problem").into())
}

/// The description of every route.
fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(ruleiq_performance::openapi());
    document
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const GET: &[Method] = &[Method::GET];
    let page = Config::from("/api/openapi.json").validator_url("none");
    config
        .app_data(web::Data::new(openapi()))
        .app_data(web::Data::new(page))
        .service(resource("/api/openapi.json", GET).route(reading().to(document)))
        .service(resource("/docs", GET).route(reading().to(to_page)))
        .service(resource("/docs/{file:.*}", GET).route(reading().to(file)));
}

async fn document(document: web::Data<utoipa::openapi::OpenApi>) -> HttpResponse {
    HttpResponse::Ok().json(&**document)
}

async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "/docs/"))
        .finish()
}

/// A file of the page. The library's own service answers those that do not exist without a body.
async fn file(
    name: web::Path<String>,
    page: web::Data<Config<'static>>,
) -> Result<HttpResponse, ApiError> {
    let file = utoipa_swagger_ui::serve(&name, page.into_inner())
        .map_err(|error| ApiError::internal(anyhow::anyhow!("{error}")))?
        .ok_or_else(|| ApiError::not_found("page"))?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header(header::ContentEncoding::Gzip);
    }
    Ok(response
        .content_type(file.content_type)
        .body(file.bytes.into_owned()))
}
