//! What changes the database for the better: an index, a vacuum, fresh statistics.

use std::{sync::Arc, time::Duration};

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode, web::Payload};
use ruleiq_db_optimizer::{
    ChangeError, CreateIndexOptions, CreateIndexPlan, DatabaseOptimizer, IndexCreation,
};
use ruleiq_pools::PoolManager;
use ruleiq_web::Problem;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout_at},
};
use utoipa::ToSchema;

use super::{
    benchmark::bears_token,
    parameters::{Nothing, body, query},
};
use crate::{Performance, problem, problem::Described};

/// How long a caller without a deadline waits for the end of what it has begun.
const PATIENCE: Duration = Duration::from_secs(25);
/// What is left of the request's time for the answer.
const MARGIN: Duration = Duration::from_secs(1);

/// Connections that may change the schema, and whose turn it is.
#[derive(Clone)]
pub(crate) struct Maintenance {
    pools: PoolManager,
    turn: Arc<Mutex<()>>,
}

/// What is to be done.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Optimization {
    /// What is to be done.
    action: Action,
    /// The table, written as in SQL: `users`, `public.users`, `"Mixed Case"`.
    #[schema(example = "assessment_sessions")]
    table: String,
    /// For `create_index`: the columns, written as in SQL.
    #[serde(default)]
    #[schema(example = json!(["user_id"]))]
    columns: Vec<String>,
    /// Whether to tell alone what would run. Default: true.
    #[serde(default = "yes")]
    dry_run: bool,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Makes an index concurrently, unless there is one that does the same.
    CreateIndex,
    /// Removes dead rows.
    Vacuum,
    /// Counts anew what is in the table, for the planner.
    Analyze,
}

/// What was done, or would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct Optimized {
    /// `planned`, `done`, or `running`: then ask again, which answers what there is by then.
    state: State,
    /// The statements that would run, or ran.
    statements: Vec<String>,
    /// For an index that is planned: what stands against it, its size, how to undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    plan: Option<CreateIndexPlan>,
    /// For an index: what became of it, and how to undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    index: Option<IndexCreation>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Planned,
    Done,
    Running,
}

/// Makes an index, vacuums or analyzes a table. Nothing is changed unless `dry_run` is `false`.
///
/// One at a time. What takes longer than the request may is answered with 202 and goes on. A cookie
/// does not open this.
#[utoipa::path(post, path = "/api/v1/performance/database/optimize", tag = "performance",
    request_body = Optimization,
    responses(
        (status = 200, description = "What would run, or what was done", body = Optimized),
        (status = 202, description = "It goes on; ask again", body = Optimized),
        (status = 400, description = "A body that cannot be read, or a query string", body = Described, content_type = "application/problem+json"),
        (status = 401, description = "No valid bearer token", body = Described, content_type = "application/problem+json"),
        (status = 403, description = "Not an administrator", body = Described, content_type = "application/problem+json"),
        (status = 404, description = "No such table or column", body = Described, content_type = "application/problem+json"),
        (status = 409, description = "Something is in the way, it failed, another one is under way, or the service has no connection that may do this: then `detail` has the SQL to run by hand", body = Described, content_type = "application/problem+json"),
        (status = 413, description = "A body over the limit", body = Described, content_type = "application/problem+json"),
        (status = 415, description = "A body that is no JSON", body = Described, content_type = "application/problem+json"),
        (status = 422, description = "A field that is missing or wrong, or a text that is no name", body = Described, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be reached", body = Described, content_type = "application/problem+json"),
        (status = 504, description = "The database did not answer in time", body = Described, content_type = "application/problem+json"),
    ),
    security(("token" = [])))]
pub(crate) async fn optimize(
    performance: Performance,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Error> {
    bears_token(&request, "what changes the database")?;
    query::<Nothing>(&request)?;
    let asked = read(&request, payload).await?;
    let inner = performance.inner();
    if asked.dry_run {
        let pools = inner.maintenance.as_ref().map(|it| &it.pools);
        let pools = pools.or(inner.monitor.as_ref()).unwrap_or(&inner.pools);
        return Ok(HttpResponse::Ok().json(plan(pools, &asked).await?));
    }
    let Some(maintenance) = &inner.maintenance else {
        let pools = inner.monitor.as_ref().unwrap_or(&inner.pools);
        return Err(by_hand(&plan(pools, &asked).await?.statements));
    };
    let turn = Arc::clone(&maintenance.turn).try_lock_owned();
    let turn = turn.map_err(|_| {
        let detail = "another optimization is under way: ask again when it has ended";
        Problem::new(StatusCode::CONFLICT, "optimization_running", detail)
    })?;
    begin(maintenance.pools.clone(), asked, turn).await
}

impl Maintenance {
    pub(crate) fn new(pools: PoolManager) -> Maintenance {
        Maintenance {
            pools,
            turn: Arc::default(),
        }
    }
}

/// Does it in a task of its own, which goes on when the request's time has run out.
async fn begin(
    pools: PoolManager,
    asked: Optimization,
    turn: OwnedMutexGuard<()>,
) -> Result<HttpResponse, Error> {
    let task = tokio::spawn(async move {
        let outcome = run(&pools, &asked).await;
        drop(turn);
        outcome
    });
    let until = Instant::now() + PATIENCE;
    let deadline = ruleiq_scope::deadline().and_then(|it| it.checked_sub(MARGIN));
    match timeout_at(deadline.map_or(until, |it| it.min(until)), task).await {
        Ok(Ok(done)) => Ok(HttpResponse::Ok().json(done.map_err(|it| it.told())?)),
        Ok(Err(_)) => Err(problem::internal()),
        Err(_) => Ok(HttpResponse::Accepted().json(Optimized {
            state: State::Running,
            statements: Vec::new(),
            plan: None,
            index: None,
        })),
    }
}

/// Why it was not done.
enum Fault {
    NoSession(ruleiq_pools::CheckoutError),
    Change(ChangeError),
}

impl Fault {
    fn told(&self) -> Error {
        match self {
            Fault::NoSession(error) => problem::no_session(error),
            Fault::Change(error) => problem::not_changed(error),
        }
    }
}

async fn run(pools: &PoolManager, asked: &Optimization) -> Result<Optimized, Fault> {
    let session = pools.session().await.map_err(Fault::NoSession)?;
    let observer = pools.session().await.map_err(Fault::NoSession)?;
    let optimizer = DatabaseOptimizer::builder(&session)
        .observer(&observer)
        .build();
    let (statements, index) = match asked.action {
        Action::Vacuum => (
            vec![
                optimizer
                    .vacuum(&asked.table)
                    .await
                    .map_err(Fault::Change)?,
            ],
            None,
        ),
        Action::Analyze => (
            vec![
                optimizer
                    .analyze(&asked.table)
                    .await
                    .map_err(Fault::Change)?,
            ],
            None,
        ),
        Action::CreateIndex => {
            let columns: Vec<&str> = asked.columns.iter().map(String::as_str).collect();
            let index = optimizer.create_index(&asked.table, &columns).await;
            let index = index.map_err(Fault::Change)?;
            let statements = match &index {
                IndexCreation::Created(it) => it.statements.clone(),
                _ => Vec::new(),
            };
            (statements, Some(index))
        }
    };
    Ok(Optimized {
        state: State::Done,
        statements,
        plan: None,
        index,
    })
}

async fn plan(pools: &PoolManager, asked: &Optimization) -> Result<Optimized, Error> {
    let session = pools.session().await;
    let session = session.map_err(|error| problem::no_session(&error))?;
    let optimizer = DatabaseOptimizer::new(&session);
    let failed = |error| problem::not_changed(&error);
    let (statements, plan) = match asked.action {
        Action::Vacuum => (
            vec![optimizer.plan_vacuum(&asked.table).await.map_err(failed)?],
            None,
        ),
        Action::Analyze => (
            vec![optimizer.plan_analyze(&asked.table).await.map_err(failed)?],
            None,
        ),
        Action::CreateIndex => {
            let columns: Vec<&str> = asked.columns.iter().map(String::as_str).collect();
            let definition = optimizer
                .index_on(&asked.table, &columns)
                .await
                .map_err(failed)?;
            let options = CreateIndexOptions::default();
            let plan = optimizer
                .plan_create(&definition, &options)
                .await
                .map_err(failed)?;
            (plan.statements.clone(), Some(plan))
        }
    };
    Ok(Optimized {
        state: State::Planned,
        statements,
        plan,
        index: None,
    })
}

async fn read(request: &HttpRequest, payload: Payload) -> Result<Optimization, Error> {
    let asked: Optimization = body(request, payload).await?;
    if asked.action != Action::CreateIndex && !asked.columns.is_empty() {
        let detail = "`columns` is for `create_index` alone".to_owned();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(status, "invalid_body", detail).into());
    }
    Ok(asked)
}

fn by_hand(statements: &[String]) -> Error {
    let detail = match statements {
        [] => "there is such an index already".to_owned(),
        _ => format!(
            "the service has no connection that may do this; run by hand, one statement at a time:\n{};",
            statements.join(";\n")
        ),
    };
    Problem::new(StatusCode::CONFLICT, "no_maintenance_connection", detail).into()
}

pub(super) fn yes() -> bool {
    true
}
