//! What the pools hold.

use actix_web::{Error, HttpRequest, HttpResponse};
use ruleiq_pools::{
    ReaderStats, ReplicaStats, ResourceStats, RoutingStats, StatementCacheStats, Verdict,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::{Nothing, query};
use crate::{Performance, problem::Described};

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
