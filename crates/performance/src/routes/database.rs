//! What the database says of itself.

use std::time::Duration;

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode};
use ruleiq_db_optimizer::{
    DatabaseOptimizer, DatabaseOverview, DroppableIndex, Finding, HealthReport, Recommendation,
    SlowQueries, TableStats, Unseen,
};
use ruleiq_web::Problem;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::parameters::{DatabaseStats, Nothing, query};
use crate::{Performance, problem, problem::Described};

/// What the database says of itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct DatabaseReport {
    /// Its size, connections, cache hits and transactions.
    #[schema(value_type = Object)]
    database: DatabaseOverview,
    /// The table that was asked for: rows, scans, sizes, indexes, when it was last vacuumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    table: Option<TableStats>,
    /// The statements that are slow, without their constants, with their plans and what is wrong
    /// with them; `degraded` says what cannot be seen.
    #[schema(value_type = Object)]
    slow_queries: SlowQueries,
    /// The foreign keys that no index serves, with the statement that makes one.
    #[schema(value_type = Vec<Object>)]
    missing_indexes: Vec<Recommendation>,
}

/// What the database says of itself: slow statements, missing indexes, one table if asked.
#[utoipa::path(get, path = "/api/v1/performance/database/stats", tag = "performance",
    params(DatabaseStats),
    responses(
        (status = 200, description = "The database's statistics", body = DatabaseReport),
        (status = 400, description = "Unknown parameters", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
        (status = 404, description = "No such table", body = Described, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Described, content_type = "application/problem+json"),
        (status = 504, description = "The statistics did not come in time", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn stats(
    performance: Performance,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let asked: DatabaseStats = query(&request)?;
    // Dropped at the limit, the session cancels its statement.
    match timeout(performance.inner().read_limit, read(&performance, asked)).await {
        Ok(report) => Ok(HttpResponse::Ok().json(report?)),
        Err(_) => {
            tracing::warn!("the database's statistics were not read in time");
            Err(problem::deadline_exceeded())
        }
    }
}

async fn read(performance: &Performance, asked: DatabaseStats) -> Result<DatabaseReport, Error> {
    let inner = performance.inner();
    let pools = inner.monitor.as_ref().unwrap_or(&inner.pools);
    let session = pools.session().await;
    let session = session.map_err(|error| problem::no_session(&error))?;
    let optimizer = DatabaseOptimizer::new(&session);
    let failed = |error| problem::no_statistics(&error);

    let table = match &asked.table_name {
        Some(name) => {
            let table = optimizer.table_stats(name).await.map_err(failed)?;
            Some(table.ok_or_else(unknown_table)?)
        }
        None => None,
    };
    let threshold = asked.threshold_ms.map(Duration::from_millis);
    let threshold = threshold.unwrap_or(inner.slow_threshold);
    Ok(DatabaseReport {
        database: optimizer.overview().await.map_err(failed)?,
        table,
        slow_queries: optimizer
            .analyze_slow_queries(threshold)
            .await
            .map_err(failed)?,
        missing_indexes: optimizer.recommend_indexes().await.map_err(failed)?,
    })
}

/// What deserves attention in the database and on its server.
#[derive(Serialize, ToSchema)]
pub(crate) struct DatabaseHealth {
    /// The database.
    database: String,
    /// The server's version, as in `15.4`.
    server_version: String,
    /// Whether the server is a standby.
    is_standby: bool,
    /// Since when the counters count, RFC 3339; null where the server does not say.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>)]
    since: Option<OffsetDateTime>,
    /// What deserves attention, the most severe first: `code`, `severity` (`notice`, `warning`,
    /// `critical`), `subject`, what is `seen`, `numbers`, `why`, `action`, `sql`.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Finding>,
    /// The indexes that could be dropped, with the statements that drop them and make them again.
    #[schema(value_type = Vec<Object>)]
    droppable_indexes: Vec<DroppableIndex>,
    /// What could not be seen, and why: `code`, `detail`.
    #[schema(value_type = Vec<Object>)]
    degraded: Vec<Unseen>,
}

impl From<HealthReport> for DatabaseHealth {
    fn from(report: HealthReport) -> DatabaseHealth {
        DatabaseHealth {
            database: report.database,
            server_version: report.server_version,
            is_standby: report.is_standby,
            since: report.since,
            findings: report.findings,
            droppable_indexes: report.droppable_indexes,
            degraded: report.degraded,
        }
    }
}

/// What deserves attention in the database: vacuum, indexes, sequences, locks, replication, settings.
#[utoipa::path(get, path = "/api/v1/performance/database/health", tag = "performance",
    responses(
        (status = 200, description = "The database's health", body = DatabaseHealth),
        (status = 400, description = "Unknown parameters", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Described, content_type = "application/problem+json"),
        (status = 504, description = "The report did not come in time", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn health(
    performance: Performance,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let Nothing {} = query(&request)?;
    // Dropped at the limit, the session cancels its statement.
    match timeout(performance.inner().read_limit, examine(&performance)).await {
        Ok(report) => Ok(HttpResponse::Ok().json(report?)),
        Err(_) => {
            tracing::warn!("the database's health was not read in time");
            Err(problem::deadline_exceeded())
        }
    }
}

async fn examine(performance: &Performance) -> Result<DatabaseHealth, Error> {
    let inner = performance.inner();
    let pools = inner.monitor.as_ref().unwrap_or(&inner.pools);
    let session = pools.session().await;
    let session = session.map_err(|error| problem::no_session(&error))?;
    let report = DatabaseOptimizer::new(&session).health().await;
    Ok(report
        .map_err(|error| problem::no_statistics(&error))?
        .into())
}

fn unknown_table() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_table",
        "`table_name` names no table of this database: write it as in SQL, like `users`, \
         `public.users` or `\"Mixed Case\"`",
    )
}
