//! Business profiles: each user has their own.

use actix_web::{HttpResponse, http::Method, web};

use super::{
    input::{self, PageQuery},
    reading, resource,
};
use crate::{
    app::App,
    auth::Identity,
    error::{ApiError, Problem},
    store::{
        business_profiles::{self, BusinessProfile, NewBusinessProfile},
        page::Page,
    },
};

pub(super) fn configure(config: &mut web::ServiceConfig) {
    let methods = &[Method::GET, Method::POST];
    config.service(
        resource("/api/v1/business-profiles", methods)
            .route(reading().to(list))
            .route(web::post().to(create)),
    );
}

/// One's own business profiles, newest first.
#[utoipa::path(get, path = "/api/v1/business-profiles", tag = "business profiles", params(PageQuery),
    responses((status = 200, body = Page<BusinessProfile>), (status = 400, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn list(
    identity: Identity,
    app: web::Data<App>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (after, limit) = query.checked()?;
    let session = app.read_session().await?;
    let page = business_profiles::list(&session, identity.user_id, after, limit).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// Adds a business profile to one's own.
#[utoipa::path(post, path = "/api/v1/business-profiles", tag = "business profiles",
    request_body = NewBusinessProfile,
    responses((status = 201, body = BusinessProfile), (status = 422, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn create(
    identity: Identity,
    app: web::Data<App>,
    body: web::Json<NewBusinessProfile>,
) -> Result<HttpResponse, ApiError> {
    let profile = NewBusinessProfile {
        name: input::text("name", &body.name, 1, 200)?,
        industry: input::text("industry", &body.industry, 1, 100)?,
        country: checked_country(&body.country)?,
        employee_count: body.employee_count,
    };
    if profile.employee_count < 1 {
        let fault = format!("is {}, expected at least 1", profile.employee_count);
        return Err(input::invalid("employee_count", fault));
    }
    let session = app.session().await?;
    let profile = business_profiles::insert(&session, identity.user_id, &profile).await?;
    Ok(HttpResponse::Created().json(profile))
}

fn checked_country(country: &str) -> Result<String, ApiError> {
    if country.len() == 2 && country.bytes().all(|it| it.is_ascii_uppercase()) {
        return Ok(country.to_owned());
    }
    Err(input::invalid(
        "country",
        "is not a code of two capital letters, such as `GB`",
    ))
}
