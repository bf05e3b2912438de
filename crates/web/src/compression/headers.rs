//! The headers that a content coding reads and writes.

use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, VARY,
};
use ruleiq_compression::{Coding, Skip};

/// Digests of a response's bytes, which are others once it is encoded: RFC 9530, and what was
/// before it.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Whether a response's headers allow it to be encoded.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Skip> {
    if headers.contains_key(CONTENT_ENCODING) {
        Err(Skip::Encoded)
    } else if headers.contains_key(CONTENT_RANGE) {
        Err(Skip::Range)
    } else if has_no_transform(headers) {
        Err(Skip::NoTransform)
    } else if DIGESTS.iter().any(|digest| headers.contains_key(*digest)) {
        Err(Skip::Digest)
    } else {
        Ok(())
    }
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)
}

pub(super) fn has_no_transform(headers: &HeaderMap) -> bool {
    lists(headers, CACHE_CONTROL, "no-transform")
}

/// Says that the response depends on what its client accepts.
pub(super) fn vary(headers: &mut HeaderMap) {
    if !lists(headers, VARY, "accept-encoding") && !lists(headers, VARY, "*") {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Says that the response is encoded, and nothing of the bytes that it would have had.
pub(super) fn encode(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(CONTENT_LENGTH);
    // A range of the encoded bytes is not to be had: handlers cut the others.
    headers.remove(ACCEPT_RANGES);
    weaken_etag(headers);
}

/// Gives a 304 what the 200 in its place would have had. Whether that would have been encoded,
/// nobody can tell; a weak `ETag` confirms a strong one too (RFC 9111 §4.3.4).
pub(super) fn confirm(headers: &mut HeaderMap, coding: Option<Coding>) {
    vary(headers);
    if coding.is_some() {
        weaken_etag(headers);
    }
}

fn weaken_etag(headers: &mut HeaderMap) {
    let strong = headers
        .get(ETAG)
        .filter(|etag| etag.as_bytes().starts_with(b"\""));
    if let Some(strong) = strong {
        let weak = [b"W/", strong.as_bytes()].concat();
        let weak = HeaderValue::from_bytes(&weak).expect("it was valid without the prefix");
        headers.insert(ETAG, weak);
    }
}

/// Whether one of a list's members is this token.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).any(|line| {
        let mut members = line.as_bytes().split(|byte| *byte == b',');
        members.any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}
