//! A request that is put together once and sent often.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Uri,
    header::{HeaderName, HeaderValue},
};

use crate::{Fault, load::Expectation};

/// A request without its connection. The client adds `host`, and `content-length` to a body;
/// nothing else is sent than what is given here.
#[derive(Clone, Debug)]
pub struct PreparedRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    expect: Option<Expectation>,
}

impl PreparedRequest {
    /// `GET` of a path, with its query if any.
    ///
    /// # Errors
    ///
    /// When it is no path.
    pub fn get(path: &str) -> Result<PreparedRequest, Fault> {
        PreparedRequest::new("GET", path)
    }

    /// A request with another method.
    ///
    /// # Errors
    ///
    /// When it is no method or no path.
    pub fn new(method: &str, path: &str) -> Result<PreparedRequest, Fault> {
        let fault = |error: &dyn std::fmt::Display| {
            Fault::Failed(format!("`{method} {path}` is no request: {error}"))
        };
        let uri: Uri = path.parse().map_err(|it| fault(&it))?;
        if !path.starts_with('/') {
            return Err(fault(&"a path begins with `/`"));
        }
        Ok(PreparedRequest {
            method: method.parse().map_err(|it| fault(&it))?,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            expect: None,
        })
    }

    /// Sends this header too.
    ///
    /// # Errors
    ///
    /// When it is no header.
    pub fn header(mut self, name: &str, value: &str) -> Result<PreparedRequest, Fault> {
        let fault = |error: &dyn std::fmt::Display| {
            Fault::Failed(format!("`{name}` is no header: {error}"))
        };
        let name: HeaderName = name.parse().map_err(|it| fault(&it))?;
        let value: HeaderValue = value.parse().map_err(|it| fault(&it))?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// Sends this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> PreparedRequest {
        self.body = body.into();
        self
    }

    /// The answer to this one has to be `expect`, whatever the others' have to be.
    #[must_use]
    pub fn expecting(mut self, expect: Expectation) -> PreparedRequest {
        self.expect = Some(expect);
        self
    }

    pub(super) fn expect(&self) -> Option<&Expectation> {
        self.expect.as_ref()
    }

    /// With `host`, unless it was given.
    pub(super) fn with_host(mut self, host: &HeaderValue) -> PreparedRequest {
        self.headers
            .entry(hyper::header::HOST)
            .or_insert_with(|| host.clone());
        self
    }

    pub(super) fn to_send(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused_by_name() {
        for path in ["", "rules", "http://[", "/a b"] {
            let told = PreparedRequest::get(path).unwrap_err().to_string();
            assert!(told.contains(&format!("`GET {path}`")), "{told}");
        }
        let request = PreparedRequest::get("/").unwrap();
        assert!(request.clone().header("a b", "c").is_err());
        assert!(request.header("a", "b\nc").is_err());
    }
}
