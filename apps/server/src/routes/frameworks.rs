//! Compliance frameworks. They are the same for everybody and change with a release.

use actix_web::{HttpResponse, http::Method, web};
use uuid::Uuid;

use super::{reading, resource};
use crate::{
    app::App,
    auth::Identity,
    error::{ApiError, Problem},
    store::{
        frameworks,
        frameworks::{Framework, FrameworkDetail},
    },
};

/// All frameworks.
#[derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct FrameworkList {
    items: Vec<Framework>,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const GET: &[Method] = &[Method::GET];
    config
        .service(resource("/api/v1/frameworks", GET).route(reading().to(list)))
        .service(resource("/api/v1/frameworks/{id}", GET).route(reading().to(get)));
}

/// All frameworks, by name.
#[utoipa::path(get, path = "/api/v1/frameworks", tag = "frameworks",
    responses((status = 200, body = FrameworkList)), security(("token" = [])))]
pub(crate) async fn list(_: Identity, app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    let ttl = ruleiq_cache::ttl::FRAMEWORK_LIST;
    let list = app
        .cache
        .get_or_load("framework:list", ttl, || load_list(&app))
        .await?;
    Ok(HttpResponse::Ok().json(&*list))
}

/// One framework with its controls.
#[utoipa::path(get, path = "/api/v1/frameworks/{id}", tag = "frameworks", params(("id" = Uuid, Path)),
    responses((status = 200, body = FrameworkDetail), (status = 404, body = Problem)), security(("token" = [])))]
pub(crate) async fn get(
    _: Identity,
    app: web::Data<App>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, ApiError> {
    let id = *id;
    let key = format!("framework:{id}");
    let ttl = ruleiq_cache::ttl::COMPLIANCE_FRAMEWORK;
    let framework = app.cache.get_or_load(&key, ttl, || load(&app, id)).await?;
    Ok(HttpResponse::Ok().json(&*framework))
}

async fn load_list(app: &App) -> Result<FrameworkList, ApiError> {
    let items = frameworks::list(&app.reader()).await?;
    Ok(FrameworkList { items })
}

async fn load(app: &App, id: Uuid) -> Result<FrameworkDetail, ApiError> {
    frameworks::get(&app.reader(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("framework"))
}
