//! What the database says of itself.

use std::time::Duration;

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode};
use ruleiq_db_optimizer::{
    DatabaseOptimizer, DatabaseOverview, Recommendation, SlowQueries, TableStats,
};
use ruleiq_web::{NPlusOne, NPlusOneTold, Problem};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::parameters::{DatabaseStats, query};
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
    /// The statements that are slow, without their constants; `degraded` says what cannot be seen.
    #[schema(value_type = Object)]
    slow_queries: SlowQueries,
    /// The foreign keys that no index serves, with the statement that makes one.
    #[schema(value_type = Vec<Object>)]
    missing_indexes: Vec<Recommendation>,
    /// The statements that requests of this process have run again and again from one line, with what to
    /// do about it: at most 100, those that one request ran most often first. Empty where nobody looks.
    #[schema(value_type = Vec<Object>)]
    n_plus_one: Vec<NPlusOneTold>,
}

/// So many findings are told.
const MAX_N_PLUS_ONE: usize = 100;

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
        n_plus_one: n_plus_one(performance),
    })
}

fn n_plus_one(performance: &Performance) -> Vec<NPlusOneTold> {
    let n_plus_one = performance.inner().n_plus_one.as_ref();
    let mut told = n_plus_one.map(NPlusOne::told).unwrap_or_default();
    told.truncate(MAX_N_PLUS_ONE);
    told
}

fn unknown_table() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_table",
        "`table_name` names no table of this database: write it as in SQL, like `users`, \
         `public.users` or `\"Mixed Case\"`",
    )
}
