//! Problem details, RFC 9457: what a client is told when its request is not answered.

use std::borrow::Cow;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde::Serialize;

/// A status, a stable code that programs can tell problems apart by, and a sentence for people.
///
/// Handlers and middleware can return it as their error.
///
/// ```
/// use actix_web::{ResponseError as _, http::StatusCode};
/// use ruleiq_web::Problem;
///
/// let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_table", "there is no such table");
/// assert_eq!(problem.error_response().status(), 404);
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
}

#[derive(Serialize)]
struct Body<'a> {
    // The code says more than a page would.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    /// What is wrong, in words that the client may see.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem {
            status,
            code,
            detail: detail.into(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status)
            .content_type("application/problem+json")
            .json(Body {
                kind: "about:blank",
                title: self.status.canonical_reason().unwrap_or("Error"),
                status: self.status.as_u16(),
                code: self.code,
                detail: &self.detail,
            })
    }
}
