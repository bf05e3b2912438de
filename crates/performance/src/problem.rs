//! What goes wrong, as the client is told. The cause goes to the log.

use std::error::Error as StdError;

use actix_web::{
    Error, ResponseError as _,
    error::InternalError,
    http::{
        StatusCode,
        header::{HeaderValue, RETRY_AFTER},
    },
};
use ruleiq_db_optimizer::ChangeError;
use ruleiq_pools::CheckoutError;
use ruleiq_query::Error as QueryError;
use ruleiq_web::Problem;
use utoipa::ToSchema;

/// Problem details, RFC 9457, as the document describes them.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only described; ruleiq_web writes it")]
pub(crate) struct Described {
    /// Always `about:blank`: the code says more than a page would.
    #[schema(rename = "type")]
    kind: String,
    /// The name of the status.
    title: String,
    /// The status code.
    status: u16,
    /// A stable name for this kind of problem.
    #[schema(example = "unknown_table")]
    code: String,
    /// What is wrong with this request.
    detail: String,
}

/// There is no connection to read through.
pub(crate) fn no_session(error: &CheckoutError) -> Error {
    log(error);
    match error {
        CheckoutError::DeadlinePassed { .. } => deadline_exceeded(),
        CheckoutError::Shed { .. }
        | CheckoutError::TimedOut { .. }
        | CheckoutError::TooManyWaiting { .. } => unavailable(
            "database_busy",
            "all connections to the database are in use",
        ),
        _ => database_unavailable(),
    }
}

/// The database's statistics could not be read.
pub(crate) fn no_statistics(error: &ruleiq_db_optimizer::Error) -> Error {
    log(error);
    match error.query_error() {
        QueryError::TimedOut { .. } | QueryError::DeadlinePassed => deadline_exceeded(),
        lost if lost.is_connection_lost() => database_unavailable(),
        _ => internal(),
    }
}

/// The database was not changed, or not as it was meant to be.
pub(crate) fn not_changed(error: &ChangeError) -> Error {
    log(error);
    let (status, code) = match error {
        ChangeError::NoName { .. } | ChangeError::NoColumns => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_body")
        }
        ChangeError::UnknownTable { .. } => (StatusCode::NOT_FOUND, "unknown_table"),
        ChangeError::UnknownColumn { .. } => (StatusCode::NOT_FOUND, "unknown_column"),
        ChangeError::InTheWay(_) | ChangeError::StillInTheWay { .. } => {
            (StatusCode::CONFLICT, "in_the_way")
        }
        // It names objects and processes, and never holds what is in rows.
        ChangeError::Statement { .. } => (StatusCode::CONFLICT, "not_done"),
        ChangeError::NoAnswer { .. } => return deadline_exceeded(),
        ChangeError::Read(error) => return no_statistics(error),
        _ => return internal(),
    };
    Problem::new(status, code, chain(error)).into()
}

/// Something that nobody has foreseen.
pub(crate) fn internal() -> Error {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the server could not answer; the log has the reason under the request's id",
    )
    .into()
}

/// The answer would come too late.
pub(crate) fn deadline_exceeded() -> Error {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "deadline_exceeded",
        "the database did not tell its statistics in time",
    )
    .into()
}

fn database_unavailable() -> Error {
    unavailable("database_unavailable", "the database cannot be reached")
}

/// A refusal that is over in a moment.
pub(crate) fn unavailable(code: &'static str, detail: &'static str) -> Error {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
    let mut response = problem.error_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    InternalError::from_response(problem, response).into()
}

fn log(error: &dyn StdError) {
    tracing::warn!(cause = chain(error), "a monitoring request failed");
}

/// An error and all that lies under it.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
