//! What a request may ask for. A parameter that nobody knows is refused: it was meant for something.

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    error::QueryPayloadError,
    http::StatusCode,
    web::{Payload, Query},
};
use ruleiq_web::Problem;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

/// A name may have 63 bytes, each written as two, and an index 32 columns.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// No parameters at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What counts as slow.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Threshold {
    /// What has to be exceeded to be called slow, in milliseconds. Default: the server's.
    pub(super) threshold_ms: Option<u64>,
}

/// What to tell of the database.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DatabaseStats {
    /// A table to tell about as well, written as in SQL: `users`, `public.users`.
    pub(super) table_name: Option<String>,
    /// What a statement's mean or longest run has to exceed to be called slow, in milliseconds.
    /// Default: the server's.
    pub(super) threshold_ms: Option<u64>,
}

/// What the indexes may take.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AdviceOn {
    /// What all new indexes may take, in percent of the tables' size, from 1 to 1,000. Default: 50.
    #[param(minimum = 1, maximum = 1_000, example = 50)]
    pub(super) budget_percent: Option<u32>,
}

/// What to measure, and how often.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BenchmarkOf {
    /// `database`, `cache`, `pools`, `compression` or `all`. Default: `all`.
    #[param(example = "all")]
    pub(super) component: Option<String>,
    /// How often each case is done, from 1 to 10,000. Default: 2,000, the fewest for a 95th
    /// percentile.
    #[param(minimum = 1, maximum = 10_000, example = 2_000)]
    pub(super) iterations: Option<u64>,
}

/// The body, refused as the rest of the API refuses bodies.
pub(super) async fn body<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
) -> Result<T, Error> {
    let refuse = |status, code, detail: String| Problem::new(status, code, detail);
    if request.content_type() != "application/json" {
        let detail = "send the body as `application/json`".to_owned();
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail).into());
    }
    let bytes = payload
        .to_bytes_limited(MAX_BODY_BYTES)
        .await
        .map_err(|_| {
            let detail = format!("the body is larger than {MAX_BODY_BYTES} bytes");
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        })?;
    let bytes = bytes.map_err(|_| {
        let detail = "the body could not be read".to_owned();
        refuse(StatusCode::BAD_REQUEST, "unreadable_body", detail)
    })?;
    let asked = serde_json::from_slice(&bytes).map_err(|fault| match fault.is_data() {
        true => refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_body",
            fault.to_string(),
        ),
        false => refuse(StatusCode::BAD_REQUEST, "malformed_json", fault.to_string()),
    })?;
    Ok(asked)
}

/// The parameters of a request.
///
/// # Errors
///
/// 400 for those that are unknown or cannot be read.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Error> {
    let parameters = Query::<T>::from_query(request.query_string()).map_err(|error| {
        let detail = match error {
            QueryPayloadError::Deserialize(fault) => format!("in the query string: {fault}"),
            _ => "the query string could not be read".to_owned(),
        };
        Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    })?;
    Ok(parameters.into_inner())
}
