//! What must be known of a request when its response is there, and the request is not.

use actix_web::{
    dev::ServiceRequest,
    http::{Method, Version, header},
};
use ruleiq_compression::{AcceptEncoding, Coding, Effort, Policy, Preferred, Skip};

use super::headers::{self, has_no_transform};

#[derive(Debug)]
pub(super) struct Asked {
    /// The codings on offer that the client likes best.
    pub(super) preferred: Preferred,
    /// Whether the client refuses a body without a coding, and there is one that it accepts.
    pub(super) refuses_identity: bool,
    /// Whether the client knows no chunks.
    pub(super) is_old: bool,
    /// Whether the answer has no body.
    pub(super) is_head: bool,
    /// How hard.
    pub(super) effort: Effort,
    /// Why no response to this request is encoded.
    pub(super) skip: Option<Skip>,
    /// Those of `If-None-Match` that name a variant, as they came.
    pub(super) variants: Vec<Box<str>>,
    refuses_all: bool,
    is_get: bool,
}

impl Asked {
    /// Also has the request's conditions name what its handler knows.
    pub(super) fn of(request: &mut ServiceRequest, policy: &Policy) -> Asked {
        let lines = request.headers().get_all(header::ACCEPT_ENCODING);
        let accepts = AcceptEncoding::parse(lines.map(header::HeaderValue::as_bytes));
        let preferred = accepts.preferred(policy.codings());
        let has_some = preferred.is_ok_and(|it| !it.as_slice().is_empty());
        let skip = skip(request, policy);
        // At an excluded path there are no variants.
        let has_variants = skip != Some(Skip::Path) && is_conditional(request);
        let known = preferred.unwrap_or_default();
        Asked {
            refuses_identity: has_some && !accepts.accepts_identity(),
            is_old: request.version() < Version::HTTP_11,
            is_head: *request.method() == Method::HEAD,
            effort: *policy.effort(request.path()),
            skip,
            refuses_all: preferred.is_err(),
            preferred: known,
            is_get: *request.method() == Method::GET,
            variants: match has_variants {
                true => headers::forget_variants(request.headers_mut(), known.as_slice()),
                false => Vec::new(),
            },
        }
    }

    /// The coding that it likes best, whatever the body.
    pub(super) fn coding(&self) -> Option<Coding> {
        self.preferred.as_slice().first().copied()
    }

    /// Whether there is nothing to send that the client would accept, and nothing lost by saying so.
    pub(super) fn is_not_acceptable(&self) -> bool {
        self.refuses_all && self.skip.is_none() && (self.is_get || self.is_head)
    }
}

fn is_conditional(request: &ServiceRequest) -> bool {
    let conditions = [header::IF_NONE_MATCH, header::IF_MATCH];
    conditions
        .iter()
        .any(|it| request.headers().contains_key(it))
}

fn skip(request: &ServiceRequest, policy: &Policy) -> Option<Skip> {
    if *request.method() == Method::CONNECT {
        // What follows is a tunnel's (RFC 9110 §9.3.6).
        Some(Skip::Status)
    } else if policy.excludes(request.path()) {
        Some(Skip::Path)
    } else if has_no_transform(request.headers()) {
        Some(Skip::NoTransform)
    } else if request.headers().contains_key(header::RANGE) {
        Some(Skip::Range)
    } else {
        None
    }
}
