//! Answers with what a cache has kept.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{
        Method,
        header::{CONTENT_TYPE, ETAG, EntityTag, Header as _, IfNoneMatch},
    },
};
use ruleiq_cache::Response;

use crate::ContentHash;

/// A kept response, as the answer of a handler: 200 with its entity tag, or 304 where the client says that it has
/// the body already (RFC 9110, section 13.1.2). A private one also says so to caches on the way.
#[derive(Clone, Debug)]
pub struct Cached(pub Arc<Response>);

impl Responder for Cached {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let tag = EntityTag::new_strong(self.0.etag().to_owned());
        let has_it = is_asked_for(request) && has(request, &tag);
        let mut response = match has_it {
            true => HttpResponse::NotModified(),
            false => HttpResponse::Ok(),
        };
        response.insert_header((ETAG, tag.to_string()));
        if self.0.is_private() {
            response.insert_header(("cache-control", "private"));
        }
        if has_it {
            return response.finish();
        }
        let mut response = response
            .insert_header((CONTENT_TYPE, self.0.content_type()))
            .body(self.0.body().clone());
        // Its tag is that of the content, in hexadecimal digits.
        if let Ok(hash) = u128::from_str_radix(self.0.etag(), 16)
            && !self.0.is_private()
        {
            response.extensions_mut().insert(ContentHash(hash));
        }
        response
    }
}

/// For other methods the condition means something else.
fn is_asked_for(request: &HttpRequest) -> bool {
    [Method::GET, Method::HEAD].contains(request.method())
}

fn has(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key("if-none-match"),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|it| it.weak_eq(tag)),
        Err(_) => false,
    }
}
