//! Users.

use actix_web::{HttpResponse, http::Method, web};
use uuid::Uuid;

use super::{reading, resource};
use crate::{
    app::App,
    auth::Identity,
    error::{ApiError, Problem},
    store::{users, users::User},
};

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.service(resource("/api/v1/users/{id}", &[Method::GET]).route(reading().to(get)));
}

/// One user: oneself, or any for an administrator.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = Uuid, Path)),
    responses((status = 200, body = User), (status = 404, body = Problem)), security(("token" = [])))]
pub(crate) async fn get(
    identity: Identity,
    app: web::Data<App>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, ApiError> {
    let id = *id;
    if !identity.may_see(id) {
        return Err(ApiError::not_found("user"));
    }
    let key = format!("user_profile:{id}");
    let user = app
        .cache
        .get_or_load(&key, ruleiq_cache::ttl::USER_PROFILE, || load(&app, id))
        .await?;
    Ok(HttpResponse::Ok().json(&*user))
}

async fn load(app: &App, id: Uuid) -> Result<User, ApiError> {
    users::get(&app.reader(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("user"))
}
