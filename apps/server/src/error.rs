//! The one error of the HTTP surface: a status, a stable code, and a sentence for the caller.
//!
//! It is sent as problem details (RFC 9457). The cause goes to the log, under the request's id,
//! and never to the caller.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use ruleiq_cache::LoadError;
use ruleiq_pools::CheckoutError;
use ruleiq_web::CausalTokens;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use utoipa::ToSchema;

const WRITE_LOST: &str = "write_lost";

/// What went wrong with a request.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// Whether the client's causal token stands for what is not there.
    forgets_writes: bool,
    cause: Option<Arc<anyhow::Error>>,
}

/// Problem details, RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the code says more than a page would.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the status.
    title: &'static str,
    /// The status code.
    status: u16,
    /// A stable name for this kind of problem.
    #[schema(example = "not_found")]
    code: &'static str,
    /// What is wrong with this request.
    detail: Cow<'static, str>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            forgets_writes: false,
            cause: None,
        }
    }

    /// The input cannot be read.
    pub(crate) fn bad_request(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The input can be read and is not acceptable.
    pub(crate) fn unprocessable(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub(crate) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, code, detail)
    }

    /// There is no such thing, or the caller may not know of it: the two look the same.
    pub(crate) fn not_found(what: &str) -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
    }

    pub(crate) fn unauthorized(code: &'static str, detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    pub(crate) fn unavailable(code: &'static str, detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> ApiError {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server could not answer; the log has the reason under the request's id",
        )
        .cause(cause)
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> ApiError {
        self.retry_after = Some(after);
        self
    }

    #[must_use]
    fn cause(mut self, cause: impl Into<anyhow::Error>) -> ApiError {
        self.cause = Some(Arc::new(cause.into()));
        self
    }

    fn log(&self) {
        let (status, code) = (self.status.as_u16(), self.code);
        match &self.cause {
            Some(cause) if self.status == StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(status, code, cause = format!("{cause:#}"), "request failed");
            }
            Some(cause) => {
                tracing::warn!(status, code, cause = format!("{cause:#}"), "request failed");
            }
            None => tracing::debug!(status, code, detail = %self.detail, "request refused"),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let mut response = HttpResponse::build(self.status);
        response.content_type("application/problem+json");
        if self.forgets_writes {
            response.append_header(CausalTokens::forgotten());
        }
        if let Some(after) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, after.as_secs().max(1).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.clone(),
        })
    }
}

impl From<CheckoutError> for ApiError {
    fn from(error: CheckoutError) -> ApiError {
        match error {
            CheckoutError::DeadlinePassed { .. } => deadline_exceeded().cause(error),
            CheckoutError::TokenLost { .. } => write_lost().cause(error),
            CheckoutError::Shed { .. }
            | CheckoutError::TimedOut { .. }
            | CheckoutError::TooManyWaiting { .. } => ApiError::unavailable(
                "database_busy",
                "all connections to the database are in use",
            )
            .cause(error),
            _ => database_unavailable().cause(error),
        }
    }
}

impl From<ruleiq_query::Error> for ApiError {
    fn from(error: ruleiq_query::Error) -> ApiError {
        match error {
            ruleiq_query::Error::TimedOut { .. } | ruleiq_query::Error::DeadlinePassed => {
                deadline_exceeded().cause(error)
            }
            _ if is_unstorable(&error) => ApiError::unprocessable(
                "unstorable_text",
                "a text holds the character U+0000, which cannot be stored",
            ),
            _ if error.is_connection_lost() => database_unavailable().cause(error),
            ruleiq_query::Error::NoConnection(source) => match source.downcast::<CheckoutError>() {
                Ok(error) => ApiError::from(*error),
                Err(source) => ApiError::internal(ruleiq_query::Error::NoConnection(source)),
            },
            _ => ApiError::internal(error),
        }
    }
}

impl From<LoadError<ApiError>> for ApiError {
    fn from(error: LoadError<ApiError>) -> ApiError {
        match error {
            LoadError::Failed(error) => ApiError::clone(&error),
            LoadError::TimedOut { .. } => deadline_exceeded().cause(error),
            _ => ApiError::internal(error),
        }
    }
}

/// Whether the database refused a text that JSON can hold and it cannot.
fn is_unstorable(error: &ruleiq_query::Error) -> bool {
    matches!(
        error.sql_state(),
        Some(&SqlState::UNTRANSLATABLE_CHARACTER | &SqlState::CHARACTER_NOT_IN_REPERTOIRE)
    )
}

fn deadline_exceeded() -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "deadline_exceeded",
        "the answer did not come in time",
    )
}

/// The client is to go on without what it wrote, which the answer takes from it.
fn write_lost() -> ApiError {
    ApiError {
        forgets_writes: true,
        ..ApiError::conflict(
            WRITE_LOST,
            "what you have written last may be lost, since another database server has taken over: look \
             before you write it again",
        )
    }
}

fn database_unavailable() -> ApiError {
    ApiError::unavailable("database_unavailable", "the database cannot be reached")
}
