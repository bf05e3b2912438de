//! What the pools hold, and what they should.

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode, web::Payload};
use ruleiq_pools::{
    OptimizeError, PoolOptimization, PoolStep, ReaderStats, ReplicaStats, ResourceStats,
    RoutingStats, StatementCacheStats, Verdict,
};
use ruleiq_web::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    benchmark::bears_token,
    optimize::yes,
    parameters::{Nothing, body, query},
};
use crate::{Performance, problem, problem::Described};

/// The connections at this moment.
#[derive(Serialize, ToSchema)]
pub(crate) struct PoolReport {
    /// The application's connections to PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Judged>,
    /// The connections through which statistics are read, where they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor: Option<Judged>,
    /// The statements that the application's connections keep prepared: `kept`, `hits`, `misses`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    statements: Option<StatementCacheStats>,
    /// The connections that quick reads of the database share, and what became of these reads: `connections`,
    /// `in_flight`, `shared`, `failed`, `again`, `full`, `unproven`, `slow`, `unconnected`, `blocked_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    reader: Option<ReaderStats>,
    /// The servers of the database, where they are a primary and its standbys: `server`, `role`, `lag_bytes`,
    /// `lag_seconds`, `reads`, `connections`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    replicas: Vec<ReplicaStats>,
    /// Reads that the primary had to serve although there are standbys, by reason, and causal tokens that were
    /// refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    routing: Option<RoutingStats>,
    /// The connections to Redis, which all callers share: how many are in use says nothing of how
    /// many there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    redis: Option<ResourceStats>,
}

/// A pool and what to think of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Judged {
    /// `size`, `max_overflow`, `checked_out`, `checked_in`, `overflow`, `waiting`,
    /// `oldest_wait_seconds`, `connecting`, `closing`, `utilization`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    stats: ResourceStats,
    /// Whether there are enough connections: `ok`, `high_utilization` (more than 80 % are in use) or
    /// `exhausted` (all are, and callers wait).
    #[schema(value_type = String)]
    verdict: Verdict,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

/// What the pools hold, and whether it is enough.
#[utoipa::path(get, path = "/api/v1/performance/pool/stats", tag = "performance",
    responses(
        (status = 200, description = "The connections at this moment", body = PoolReport),
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
    let inner = performance.inner();
    let stats = inner.pools.stats();
    let monitor = inner.monitor.as_ref().and_then(|it| it.stats().database);
    Ok(HttpResponse::Ok().json(PoolReport {
        database: stats.database.map(judge),
        monitor: monitor.map(judge),
        statements: stats.statements,
        reader: stats.reader,
        replicas: stats.replicas,
        routing: stats.routing,
        redis: stats.redis,
    }))
}

fn judge(stats: ResourceStats) -> Judged {
    let verdict = stats.verdict();
    Judged {
        stats,
        verdict,
        advice: verdict.advice(),
    }
}

/// What is to be done with what is advised.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolOptimizing {
    /// Whether to tell what should change, and to change nothing. Default: true.
    #[serde(default = "yes")]
    dry_run: bool,
}

/// What the pool's settings should be, and what was set.
#[derive(Serialize, ToSchema)]
pub(crate) struct PoolOptimized {
    /// The step that was applied, if one was: `from`, `to`, `evidence`, `expected`, `before`, and `outcome`: `kept`, or
    /// `on_trial` until it was judged, then `kept`, `undone` or `overruled` among the `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    applied: Option<PoolStep>,
    /// `usage`: how the pool was used lately. `is_measured`: whether that is for a whole window and 100 checkouts. `share`: what of the server's connections is fair. `recommendations`:
    /// each with `now`, `to`, `evidence`, `expected` and `is_applicable`. `steps`: what was applied lately.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    optimization: PoolOptimization,
}

/// Tells what settings of the database's pool should change, by how it is used. Applies the first of it, one step,
/// if `dry_run` is `false`.
///
/// A step is measured, and undone if the pool does no better with it. A cookie does not open this.
#[utoipa::path(post, path = "/api/v1/performance/pool/optimize", tag = "performance",
    request_body = PoolOptimizing,
    responses(
        (status = 200, description = "What should be another, and what was set", body = PoolOptimized),
        (status = 400, description = "A body that cannot be read, or a query string", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid bearer token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
        (status = 409, description = "The step before is being measured, or there is no database", body = Described, content_type = "application/problem+json"),
        (status = 413, description = "A body over the limit", body = Described, content_type = "application/problem+json"),
        (status = 415, description = "A body that is no JSON", body = Described, content_type = "application/problem+json"),
        (status = 422, description = "A field that is wrong", body = Described, content_type = "application/problem+json"),
        (status = 503, description = "The pool is closed", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn optimize(
    performance: Performance,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    bears_token(&request, "what changes the pool")?;
    query::<Nothing>(&request)?;
    let asked: PoolOptimizing = body(&request, payload).await?;
    let pools = &performance.inner().pools;
    let applied = match asked.dry_run {
        true => None,
        false => pools.apply_optimization().await.map_err(refused)?,
    };
    let optimization = pools.optimize_pools().await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(PoolOptimized {
        applied,
        optimization,
    }))
}

fn refused(error: OptimizeError) -> Error {
    let code = match error {
        OptimizeError::OnTrial => "step_on_trial",
        OptimizeError::NotConfigured => "no_database",
        _ => return problem::unavailable("pool_closed", "the pool of connections is closed"),
    };
    Problem::new(StatusCode::CONFLICT, code, error.to_string()).into()
}
