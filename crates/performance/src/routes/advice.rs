//! The indexes that would serve what the service runs.

use std::{sync::Arc, time::Duration};

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode};
use ruleiq_db_optimizer::{Advice, AdviseError, AdviseOptions, Budget, DatabaseOptimizer};
use ruleiq_pools::{CheckoutError, PoolManager};
use ruleiq_web::Problem;
use tokio::{
    sync::OwnedMutexGuard,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::parameters::{AdviceOn, query};
use crate::{Performance, problem, problem::Described};

/// The part of the time that is searched; the rest is for reading the statements and the catalogue.
const SEARCHING: f64 = 0.6;
/// What is left of the request's time for the answer.
const MARGIN: Duration = Duration::from_millis(500);
/// Room for more than this part of the tables, in percent, is no budget.
const MAX_BUDGET: u32 = 1_000;

/// The indexes that serve best what the service has run, by `pg_stat_statements`: tried out by the planner
/// where HypoPG is installed, estimated where it is not. Nothing is run, and nothing is made.
///
/// One at a time, through a connection of the application's pool, whose role may read what it runs.
#[utoipa::path(get, path = "/api/v1/performance/database/advice", tag = "performance",
    params(AdviceOn),
    responses(
        (status = 200, description = "`indexes`, `untested`, `replaced`, `droppable`, each with its evidence and SQL", body = Object),
        (status = 400, description = "Unknown parameters, or a budget of nothing", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
        (status = 409, description = "Nothing is recorded, nothing of it can be planned, or a search is under way", body = Described, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Described, content_type = "application/problem+json"),
        (status = 504, description = "The advice did not come in time", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn advice(
    performance: Performance,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let asked: AdviceOn = query(&request)?;
    let percent = asked.budget_percent.unwrap_or(50);
    if !(1..=MAX_BUDGET).contains(&percent) {
        let detail = format!("`budget_percent` must be from 1 to {MAX_BUDGET}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail).into());
    }
    let inner = performance.inner();
    let turn = Arc::clone(&inner.advising).try_lock_owned();
    let turn = turn.map_err(|_| conflict("advice_running", "another search is under way"))?;
    let left = ruleiq_scope::deadline();
    let left = left.map(|it| it.saturating_duration_since(Instant::now() + MARGIN));
    let limit = left.map_or(inner.read_limit, |it| it.min(inner.read_limit));
    let mut options = AdviseOptions::default();
    options.budget = Budget::Share(f64::from(percent) / 100.0);
    options.time = limit.mul_f64(SEARCHING);
    // Outside of the request's scope: what it asks is no loop of the handler's. Dropped, it ends.
    let mut task = JoinSet::new();
    task.spawn(search(inner.pools.clone(), options, turn));
    match timeout(limit, task.join_next()).await {
        Ok(Some(Ok(advice))) => Ok(HttpResponse::Ok().json(advice.map_err(|it| it.told())?)),
        Ok(_) => Err(problem::internal()),
        Err(_) => {
            tracing::warn!("the advice on indexes did not come in time");
            Err(problem::deadline_exceeded())
        }
    }
}

/// Why there is no advice.
enum Fault {
    NoSession(CheckoutError),
    Advise(AdviseError),
}

impl Fault {
    fn told(&self) -> Error {
        match self {
            Fault::NoSession(error) => problem::no_session(error),
            Fault::Advise(AdviseError::Failed(error)) => problem::no_statistics(error),
            Fault::Advise(error @ AdviseError::NothingPlanned { .. }) => {
                conflict("nothing_planned", &error.to_string())
            }
            Fault::Advise(error) => conflict("nothing_recorded", &error.to_string()),
        }
    }
}

async fn search(
    pools: PoolManager,
    options: AdviseOptions,
    _turn: OwnedMutexGuard<()>,
) -> Result<Advice, Fault> {
    let session = pools.session().await.map_err(Fault::NoSession)?;
    let optimizer = DatabaseOptimizer::new(&session);
    let workload = optimizer.recorded_workload().await.map_err(Fault::Advise)?;
    let advice = optimizer.advise(&workload, &options, |_| ()).await;
    advice.map_err(Fault::Advise)
}

fn conflict(code: &'static str, detail: &str) -> Error {
    Problem::new(StatusCode::CONFLICT, code, detail.to_owned()).into()
}
