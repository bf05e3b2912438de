//! What callers send, and how it is refused.

use std::borrow::Cow;

use actix_web::{
    HttpRequest,
    error::{JsonPayloadError, PathError, QueryPayloadError},
    http::{StatusCode, header},
    web,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    error::ApiError,
    store::page::{Cursor, MAX_LIMIT},
};

const DEFAULT_LIMIT: u16 = 20;

/// The part of a query string that pages through a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many items, 1 to 100; 20 if it is not given.
    #[serde(default, deserialize_with = "limit")]
    limit: Option<u16>,
}

impl PageQuery {
    /// The position and size of the page.
    ///
    /// # Errors
    ///
    /// 400 for a cursor that is not ours and for a limit out of range.
    pub(super) fn checked(&self) -> Result<(Option<Cursor>, u16), ApiError> {
        page(self.cursor.as_deref(), self.limit)
    }
}

/// Reads the `limit` of a query string.
pub(super) fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    field("limit", from)
}

/// Reads a field of a query string. Without it, a message does not say whose value is faulty.
pub(super) fn field<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    name: &str,
    from: D,
) -> Result<T, D::Error> {
    T::deserialize(from).map_err(|fault| D::Error::custom(format_args!("`{name}`: {fault}")))
}

/// Checks the position and size of a page.
///
/// # Errors
///
/// 400 for a cursor that is not ours and for a limit out of range.
pub(super) fn page(
    cursor: Option<&str>,
    limit: Option<u16>,
) -> Result<(Option<Cursor>, u16), ApiError> {
    let cursor = match cursor {
        Some(text) => Some(Cursor::decode(text).ok_or_else(|| {
            ApiError::bad_request(
                "invalid_cursor",
                "`cursor` is not the `next_cursor` of an earlier answer",
            )
        })?),
        None => None,
    };
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request(
            "invalid_limit",
            format!("`limit` is {limit}, expected 1 to {MAX_LIMIT}"),
        ));
    }
    Ok((cursor, limit))
}

/// A text without surrounding white space, of a bounded number of characters, none of them a
/// control character.
///
/// # Errors
///
/// 422 that names the field.
pub(super) fn text(
    field: &'static str,
    value: &str,
    min: usize,
    max: usize,
) -> Result<String, ApiError> {
    let value = value.trim();
    let length = value.chars().count();
    if !(min..=max).contains(&length) {
        return Err(invalid(
            field,
            format!("has {length} characters, expected {min} to {max}"),
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid(field, "holds a control character"));
    }
    Ok(value.to_owned())
}

/// 422 for a field whose value is not acceptable.
pub(super) fn invalid(field: &'static str, fault: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::unprocessable("invalid_field", format!("`{field}` {}", fault.into()))
}

/// Whether the caller asks for an answer that no cache gave, RFC 9111 §5.2.1.4.
pub(super) fn wants_fresh(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(header::CACHE_CONTROL)
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .any(|it| it.trim().eq_ignore_ascii_case("no-cache"))
}

/// Bounds the bodies, and answers faulty input with problem details.
pub(super) fn configure(config: &mut web::ServiceConfig, max_body_bytes: usize) {
    let json = web::JsonConfig::default()
        .limit(max_body_bytes)
        .error_handler(move |error, _| json_fault(&error, max_body_bytes).into());
    let path = web::PathConfig::default().error_handler(|error, _| path_fault(&error).into());
    let query = web::QueryConfig::default().error_handler(|error, _| query_fault(&error).into());
    config
        .app_data(json)
        .app_data(path)
        .app_data(query)
        .app_data(web::PayloadConfig::new(max_body_bytes));
}

fn json_fault(error: &JsonPayloadError, limit: usize) -> ApiError {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body is larger than {limit} bytes"),
            )
        }
        JsonPayloadError::ContentType => ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "send the body as `application/json`",
        ),
        // serde's message names the field, what it is and what was expected, line and column.
        JsonPayloadError::Deserialize(fault) if fault.is_data() => {
            ApiError::unprocessable("invalid_body", fault.to_string())
        }
        JsonPayloadError::Deserialize(fault) => {
            ApiError::bad_request("malformed_json", fault.to_string())
        }
        _ => ApiError::bad_request("unreadable_body", "the body could not be read"),
    }
}

fn path_fault(error: &PathError) -> ApiError {
    let detail = match error {
        PathError::Deserialize(fault) => format!("in the path: {fault}"),
        _ => "the path could not be read".to_owned(),
    };
    ApiError::bad_request("invalid_path", detail)
}

fn query_fault(error: &QueryPayloadError) -> ApiError {
    let detail = match error {
        QueryPayloadError::Deserialize(fault) => format!("in the query string: {fault}"),
        _ => "the query string could not be read".to_owned(),
    };
    ApiError::bad_request("invalid_query", detail)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_text_is_trimmed_and_bounded() {
        assert_eq!(text("name", "  Ada ", 1, 3).unwrap(), "Ada");
        assert_eq!(text("name", "äöü", 1, 3).unwrap(), "äöü");
        for (value, detail) in [
            ("   ", "`name` has 0 characters, expected 1 to 3"),
            ("Adam", "`name` has 4 characters, expected 1 to 3"),
            ("a\0b", "`name` holds a control character"),
        ] {
            assert_eq!(text("name", value, 1, 3).unwrap_err().to_string(), detail);
        }
    }

    #[test]
    fn no_cache_is_found_among_other_directives() {
        for (value, fresh) in [
            ("no-cache", true),
            ("max-age=0, No-Cache", true),
            ("no-cachee", false),
            ("max-age=0", false),
        ] {
            let request = TestRequest::default()
                .insert_header((header::CACHE_CONTROL, value))
                .to_http_request();
            assert_eq!(wants_fresh(&request), fresh, "{value}");
        }
    }
}
