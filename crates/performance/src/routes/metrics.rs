//! What the operations took.

use std::time::Duration;

use actix_web::{Error, HttpRequest, HttpResponse};
use ruleiq_metrics::{OperationSummary, SlowOperation};
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::{Threshold, query};
use crate::{Performance, problem::Described};

/// What the operations took since the server started, in milliseconds.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetricsReport {
    /// What has to be exceeded to be called slow.
    threshold_ms: u64,
    /// Each operation, by name: how often it ran and failed, its mean, percentiles and extremes.
    #[schema(value_type = Vec<Object>)]
    operations: Vec<OperationSummary>,
    /// The operations that exceeded the threshold, first the one that did so most often.
    #[schema(value_type = Vec<Object>)]
    slow_operations: Vec<SlowOperation>,
}

/// What the operations took.
#[utoipa::path(get, path = "/api/v1/performance/metrics", tag = "performance",
    params(Threshold),
    responses(
        (status = 200, description = "The operations that ran", body = MetricsReport),
        (status = 400, description = "Unknown parameters", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn metrics(
    performance: Performance,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let inner = performance.inner();
    let threshold = query::<Threshold>(&request)?.threshold_ms;
    let threshold = threshold.map_or(inner.slow_threshold, Duration::from_millis);
    Ok(HttpResponse::Ok().json(MetricsReport {
        threshold_ms: u64::try_from(threshold.as_millis()).unwrap_or(u64::MAX),
        operations: inner.metrics.summary(),
        slow_operations: inner.metrics.slow_operations(threshold),
    }))
}
