//! The headers that a content coding reads and writes.

use std::borrow::Cow;

use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, SET_COOKIE, VARY,
};
use ruleiq_compression::{Choice, Coding, Skip};

use super::{asked::Asked, etag};

/// Digests of a response's bytes, which are others once it is encoded: RFC 9530, and what was
/// before it.
static DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether a response's headers allow it to be encoded.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Skip> {
    if headers.contains_key(CONTENT_ENCODING) {
        Err(Skip::Encoded)
    } else if headers.contains_key(CONTENT_RANGE) {
        Err(Skip::Range)
    } else if has_no_transform(headers) {
        Err(Skip::NoTransform)
    } else if DIGESTS.iter().any(|digest| headers.contains_key(digest)) {
        Err(Skip::Digest)
    } else {
        Ok(())
    }
}

/// The same of a part of a response.
pub(super) fn check_part(headers: &HeaderMap) -> Result<(), Skip> {
    match check(headers) {
        Err(Skip::Range) if !has_no_transform(headers) => Ok(()),
        verdict => verdict,
    }
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes)
}

pub(super) fn has_no_transform(headers: &HeaderMap) -> bool {
    lists(headers, CACHE_CONTROL, "no-transform")
}

/// Whether others than the one who has asked may have the response.
pub(super) fn is_shared(headers: &HeaderMap) -> bool {
    !headers.contains_key(SET_COOKIE)
        && !lists(headers, CACHE_CONTROL, "private")
        && !lists(headers, CACHE_CONTROL, "no-store")
}

/// Says that the response depends on what its client accepts.
pub(super) fn vary(headers: &mut HeaderMap) {
    if !lists(headers, VARY, "accept-encoding") && !lists(headers, VARY, "*") {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Says that the response is encoded, and nothing of the bytes that it would have had.
///
/// The bytes of a stream depend on when its pieces come, and its tag promises nothing else.
pub(super) fn encode(headers: &mut HeaderMap, choice: Choice, is_stream: bool) {
    let coding = HeaderValue::from_static(choice.coding.as_str());
    headers.insert(CONTENT_ENCODING, coding);
    headers.remove(CONTENT_LENGTH);
    // A range of the encoded bytes is not to be had: handlers cut the others.
    headers.remove(ACCEPT_RANGES);
    if let Some(tag) = tag(headers).and_then(|it| etag::of_variant(&it, choice)) {
        match is_stream && !tag.starts_with("W/") {
            true => set_tag(headers, &format!("W/{tag}")),
            false => set_tag(headers, &tag),
        }
    }
}

/// Gives a 304 what the 200 in its place would have had: of the variants that the client has, the one that it confirms.
pub(super) fn confirm(headers: &mut HeaderMap, asked: &Asked) {
    if asked.skip.is_none() {
        vary(headers);
    }
    let variant = tag(headers).and_then(|it| etag::of_client(&asked.variants, &it, asked.coding()));
    if let Some(variant) = variant {
        set_tag(headers, variant);
    }
}

/// Has conditions that name variants name what the handler knows. Answers the variants of `If-None-Match`.
///
/// `If-Range` is left alone: a part of a variant cannot be had, so a handler must not find that it would fit.
///
/// In `If-None-Match` only those of codings that the client prefers, since others are not what it would get now
/// (RFC 9110 §13.1.2).
pub(super) fn forget_variants(headers: &mut HeaderMap, preferred: &[Coding]) -> Vec<Box<str>> {
    let mut forget = |name: HeaderName, codings: &[Coding]| {
        let lines: Vec<_> = headers.get_all(&name).map(as_text).collect();
        let found = etag::of_handler(&lines.join(","), codings);
        let Some((list, variants)) = found else {
            return Vec::new();
        };
        headers.insert(name, of_text(&list));
        variants
    };
    forget(IF_MATCH, &Coding::ALL);
    forget(IF_NONE_MATCH, preferred)
}

fn tag(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    headers.get(ETAG).map(as_text)
}

fn set_tag(headers: &mut HeaderMap, tag: &str) {
    headers.insert(ETAG, of_text(tag));
}

/// Each byte as a character, since tags may have others than ASCII (RFC 9110 §8.8.3).
fn as_text(value: &HeaderValue) -> Cow<'_, str> {
    match value.to_str() {
        Ok(text) => text.into(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

fn of_text(text: &str) -> HeaderValue {
    let bytes = text
        .chars()
        .map(u8::try_from)
        .collect::<Result<Vec<_>, _>>();
    let bytes = bytes.expect("each character was a byte");
    HeaderValue::from_bytes(&bytes).expect("it is made of other headers")
}

/// Whether one of a list's members is this token, whatever its argument.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).any(|line| {
        let mut members = line.as_bytes().split(|byte| *byte == b',');
        members.any(|member| {
            let name = member.split(|byte| *byte == b'=').next();
            name.is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    })
}
