//! Whether the servers behind this one answer.

use actix_web::HttpResponse;
use ruleiq_pools::Health;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Performance;

/// Whether the servers behind this one answer. It tells nothing else: it is open to all.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthReport {
    /// The sum of it.
    status: Status,
    /// Whether the database answers; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<bool>,
    /// Whether Redis answers; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<bool>,
}

/// How well the service can serve.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Everything answers.
    Healthy,
    /// Redis does not: answers are right and slower.
    Degraded,
    /// The database does not.
    Unhealthy,
}

/// Whether the servers behind this one answer.
#[utoipa::path(get, path = "/health", tag = "performance",
    responses(
        (status = 200, description = "It can serve, if more slowly when degraded",
            body = HealthReport),
        (status = 503, description = "The database does not answer", body = HealthReport),
    ))]
pub(crate) async fn health(performance: Performance) -> HttpResponse {
    let health = performance.inner().pools.health_check().await;
    let status = Status::of(health);
    let mut response = match status {
        Status::Healthy | Status::Degraded => HttpResponse::Ok(),
        Status::Unhealthy => HttpResponse::ServiceUnavailable(),
    };
    response.json(HealthReport {
        status,
        database: health.database,
        redis: health.redis,
    })
}

/// The same as `/health`, beside the other endpoints.
#[utoipa::path(get, path = "/api/v1/performance/health", tag = "performance",
    responses(
        (status = 200, description = "It can serve, if more slowly when degraded",
            body = HealthReport),
        (status = 503, description = "The database does not answer", body = HealthReport),
    ))]
#[expect(
    dead_code,
    reason = "`health` is mounted on both paths; this one only describes"
)]
pub(crate) async fn health_beside(performance: Performance) -> HttpResponse {
    health(performance).await
}

impl Status {
    fn of(health: Health) -> Status {
        match (health.database, health.redis) {
            (Some(false), _) => Status::Unhealthy,
            (_, Some(false)) => Status::Degraded,
            _ => Status::Healthy,
        }
    }
}
