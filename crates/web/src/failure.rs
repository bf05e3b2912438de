//! Headers on the answer of a middleware that failed.
//!
//! A handler's error is a response by the time that a middleware sees it. That of a middleware
//! further in is not, and the request that a response would have to carry is gone with it.

use actix_web::{Error, HttpResponse, error::InternalError};

/// The same error with another answer.
///
/// Its answer is made here and now, once: making it may log, as errors do where they are handled.
pub(crate) fn answered(error: Error, change: impl FnOnce(&mut HttpResponse)) -> Error {
    let mut response = error.error_response();
    change(&mut response);
    InternalError::from_response(error, response).into()
}
