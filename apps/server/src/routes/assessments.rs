//! Assessments, from the first question to completion.
//!
//! An assessment is read through the cache under [`key`]; whatever changes it takes the entry away
//! after its commit, also when its caller has left meanwhile.

use std::{collections::HashSet, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, http::Method, web};
use ruleiq_pools::Transaction;
use ruleiq_scope::Scope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{input, reading, resource};
use crate::{
    app::App,
    auth::Identity,
    error::{ApiError, Problem},
    store::{
        assessments::{self, Assessment, AssessmentDetail, Locked, Status},
        business_profiles,
        page::Page,
    },
};

/// The most frameworks of one assessment.
const MAX_FRAMEWORKS: usize = 16;
/// The most answers of one request.
const MAX_RESPONSES: usize = 1_000;

/// Which assessments to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only those in this state.
    #[serde(default, deserialize_with = "status")]
    status: Option<Status>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many items, 1 to 100; 20 if it is not given.
    #[serde(default, deserialize_with = "input::limit")]
    limit: Option<u16>,
}

/// An assessment to be begun.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAssessment {
    /// One of one's own business profiles.
    business_profile_id: Uuid,
    /// 1 to 16 frameworks, whose controls become the questions.
    framework_ids: Vec<Uuid>,
}

/// Answers to questions of one assessment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Responses {
    /// 1 to 1,000 answers, each to another question. All are stored, or none.
    responses: Vec<Response>,
}

/// The answer to one question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    question_id: Uuid,
    /// Anything but `null`.
    #[schema(example = json!({"value": "implemented", "note": "Reviewed each quarter"}))]
    answer: Value,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const POST: &[Method] = &[Method::POST];
    let collection = &[Method::GET, Method::POST];
    config
        .service(
            resource("/api/v1/assessments", collection)
                .route(reading().to(list))
                .route(web::post().to(create)),
        )
        .service(resource("/api/v1/assessments/{id}", &[Method::GET]).route(reading().to(get)))
        .service(
            resource("/api/v1/assessments/{id}/responses", POST).route(web::post().to(respond)),
        )
        .service(
            resource("/api/v1/assessments/{id}/complete", POST).route(web::post().to(complete)),
        );
}

/// Assessments, newest first: one's own, or all for an administrator.
#[utoipa::path(get, path = "/api/v1/assessments", tag = "assessments", params(ListQuery),
    responses((status = 200, body = Page<Assessment>), (status = 400, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn list(
    identity: Identity,
    app: web::Data<App>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let (after, limit) = input::page(query.cursor.as_deref(), query.limit)?;
    let session = app.read_session().await?;
    let owner = identity.restricted_to();
    let page = assessments::list(&session, owner, query.status, after, limit).await?;
    Ok(HttpResponse::Ok().json(page))
}

/// One assessment with its business profile, frameworks, questions and answers.
///
/// `Cache-Control: no-cache` asks the database.
#[utoipa::path(get, path = "/api/v1/assessments/{id}", tag = "assessments", params(("id" = Uuid, Path)),
    responses((status = 200, body = AssessmentDetail), (status = 404, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn get(
    request: HttpRequest,
    identity: Identity,
    app: web::Data<App>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, ApiError> {
    let id = *id;
    let detail = match input::wants_fresh(&request) {
        true => Arc::new(load(&app, id).await?),
        false => {
            let ttl = ruleiq_cache::ttl::ASSESSMENT_SESSION;
            app.cache
                .get_or_load(&key(id), ttl, || load(&app, id))
                .await?
        }
    };
    if !identity.may_see(detail.assessment.user_id) {
        return Err(ApiError::not_found("assessment"));
    }
    Ok(HttpResponse::Ok().json(&*detail))
}

/// Begins an assessment: the controls of its frameworks become its questions.
#[utoipa::path(post, path = "/api/v1/assessments", tag = "assessments", request_body = NewAssessment,
    responses((status = 201, body = Assessment), (status = 422, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn create(
    identity: Identity,
    app: web::Data<App>,
    body: web::Json<NewAssessment>,
) -> Result<HttpResponse, ApiError> {
    let frameworks = &body.framework_ids;
    if !(1..=MAX_FRAMEWORKS).contains(&frameworks.len()) {
        let fault = format!(
            "has {} items, expected 1 to {MAX_FRAMEWORKS}",
            frameworks.len()
        );
        return Err(input::invalid("framework_ids", fault));
    }
    if let Some(twice) = first_repeated(frameworks.iter().copied()) {
        return Err(input::invalid(
            "framework_ids",
            format!("names `{twice}` twice"),
        ));
    }
    let mut session = app.session().await?;
    let transaction = session.transaction().await?;
    let profile = body.business_profile_id;
    if !business_profiles::lock(&transaction, profile, identity.user_id).await? {
        let fault = format!("is `{profile}`, which is none of yours");
        return Err(input::invalid("business_profile_id", fault));
    }
    let assessment = assessments::insert(&transaction, identity.user_id, profile, frameworks)
        .await?
        .ok_or_else(|| input::invalid("framework_ids", "names a framework that does not exist"))?;
    transaction.commit().await?;
    Ok(HttpResponse::Created()
        .insert_header(("Location", format!("/api/v1/assessments/{}", assessment.id)))
        .json(assessment))
}

/// Stores answers, over earlier ones: all, or none.
#[utoipa::path(post, path = "/api/v1/assessments/{id}/responses", tag = "assessments",
    params(("id" = Uuid, Path)), request_body = Responses,
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn respond(
    identity: Identity,
    app: web::Data<App>,
    id: web::Path<Uuid>,
    body: web::Json<Responses>,
) -> Result<HttpResponse, ApiError> {
    let id = *id;
    let responses = body.into_inner().responses;
    check_responses(&responses)?;
    to_its_end(async move { store(&app, identity, id, &responses).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn store(
    app: &App,
    identity: Identity,
    id: Uuid,
    responses: &[Response],
) -> Result<(), ApiError> {
    let questions: Vec<Uuid> = responses.iter().map(|it| it.question_id).collect();
    let answers: Vec<&Value> = responses.iter().map(|it| &it.answer).collect();
    let mut session = app.session().await?;
    let transaction = session.transaction().await?;
    let locked = visible(assessments::lock(&transaction, id).await?, identity)?;
    if matches!(locked.status, Status::Completed | Status::Archived) {
        return Err(ApiError::conflict(
            "assessment_closed",
            format!("the assessment is {}: no answer can change", locked.status),
        ));
    }
    let foreign = assessments::foreign_questions(&transaction, id, &questions).await?;
    if let Some(question) = foreign.first() {
        let fault = format!("`{question}` is no question of this assessment");
        return Err(ApiError::unprocessable("unknown_question", fault));
    }
    assessments::respond(&transaction, id, identity.user_id, &questions, &answers).await?;
    commit(app, transaction, id).await
}

/// Completes an assessment whose questions are all answered. Completing it again changes nothing.
#[utoipa::path(post, path = "/api/v1/assessments/{id}/complete", tag = "assessments",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Assessment), (status = 404, body = Problem), (status = 409, body = Problem)),
    security(("token" = [])))]
pub(crate) async fn complete(
    identity: Identity,
    app: web::Data<App>,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, ApiError> {
    let id = *id;
    let assessment = to_its_end(async move { close(&app, identity, id).await }).await?;
    Ok(HttpResponse::Ok().json(assessment))
}

async fn close(app: &App, identity: Identity, id: Uuid) -> Result<Option<Assessment>, ApiError> {
    let mut session = app.session().await?;
    let transaction = session.transaction().await?;
    let locked = visible(assessments::lock(&transaction, id).await?, identity)?;
    if matches!(locked.status, Status::Completed | Status::Archived) {
        return Ok(assessments::get_alone(&transaction, id).await?);
    }
    let unanswered = assessments::unanswered(&transaction, id).await?;
    if unanswered > 0 {
        return Err(ApiError::conflict(
            "unanswered_questions",
            format!("{unanswered} questions have no answer"),
        ));
    }
    let assessment = assessments::complete(&transaction, id).await?;
    commit(app, transaction, id).await?;
    Ok(Some(assessment))
}

/// Runs a change in a task of its own. A caller that leaves while the commit is under way would
/// otherwise take along what has to follow it. The request's deadline holds for each of its
/// statements.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let scope = Scope::current().unwrap_or_else(|| Scope::builder().build());
    let task = tokio::spawn(scope.run(change).in_current_span());
    task.await.map_err(ApiError::internal)?
}

/// Commits a change of an assessment, and takes the assessment out of the cache whatever became of
/// that: a commit whose answer was lost may have taken effect.
async fn commit(app: &App, transaction: Transaction<'_>, id: Uuid) -> Result<(), ApiError> {
    let committed = transaction.commit().await;
    app.cache.delete(&[&key(id)]).await;
    committed?;
    Ok(())
}

/// What the cache keeps an assessment under.
fn key(id: Uuid) -> String {
    format!("assessment:{id}")
}

/// Reads an assessment. That there is none is an error, so that it is not remembered.
async fn load(app: &App, id: Uuid) -> Result<AssessmentDetail, ApiError> {
    assessments::get(&app.session().await?, id)
        .await?
        .ok_or_else(|| ApiError::not_found("assessment"))
}

fn visible(locked: Option<Locked>, identity: Identity) -> Result<Locked, ApiError> {
    locked
        .filter(|it| identity.may_see(it.user_id))
        .ok_or_else(|| ApiError::not_found("assessment"))
}

fn check_responses(responses: &[Response]) -> Result<(), ApiError> {
    if !(1..=MAX_RESPONSES).contains(&responses.len()) {
        let fault = format!(
            "has {} items, expected 1 to {MAX_RESPONSES}",
            responses.len()
        );
        return Err(input::invalid("responses", fault));
    }
    if let Some(twice) = first_repeated(responses.iter().map(|it| it.question_id)) {
        return Err(input::invalid(
            "responses",
            format!("answers `{twice}` twice"),
        ));
    }
    if let Some(null) = responses.iter().find(|it| it.answer.is_null()) {
        let fault = format!("answers `{}` with null", null.question_id);
        return Err(input::invalid("responses", fault));
    }
    Ok(())
}

fn status<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Status>, D::Error> {
    input::field("status", from)
}

fn first_repeated(ids: impl Iterator<Item = Uuid>) -> Option<Uuid> {
    let mut seen = HashSet::new();
    ids.into_iter().find(|id| !seen.insert(*id))
}
