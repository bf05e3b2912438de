//! Middleware that compresses responses.
//!
//! A response is encoded in the coding that its client prefers when the policy finds it worth it:
//! text in all its forms, between the limits where its size is known, at a path that is not
//! excluded. What could have been encoded says `Vary: Accept-Encoding`, also when it was not.
//!
//! An encoded response has another `Content-Length`, no `Accept-Ranges`, and an [`ETag` of its own](etag). The
//! request's conditions are given to the handler as it knows them, and a 304 has the tag that the client has. The answer
//! to a HEAD has the headers of the encoded GET but the length, which only encoding would tell.
//!
//! Left alone are: statuses without a body, 206, and whatever has a `Content-Range`, a
//! `Content-Encoding` or a digest of its bytes; `no-transform` in either `Cache-Control`; and requests for a range.
//!
//! A client that refuses `identity` gets every body encoded, also a small one and an image. One
//! that refuses all codings as well gets 406 for its GET or HEAD, before the handler runs. Other
//! methods have an effect that a 406 would hide, and what cannot be encoded is better than nothing:
//! there the header is disregarded, as RFC 9110 §12.1 allows.
//!
//! A body that is predicted to cost little is encoded where it is. Larger ones go to the blocking
//! threads, a bounded number at once; what comes on top is sent as it is. A [stream](streamed) is encoded where it is,
//! piece by piece. What says of its body what it is made of is encoded once: [`ContentHash`].
//!
//! It stands inside of [`Timing`](crate::Timing), so that encoding is measured, and outside of all
//! that makes or changes a body. Whoever is outside of it must not hold a clone of the request: actix-web cannot
//! change the conditions of one that is shared.

mod answering;
mod asked;
mod builder;
mod encoding;
mod etag;
mod headers;
mod streamed;

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    Error, HttpResponse, ResponseError as _,
    body::{BodySize, BoxBody, EitherBody, MessageBody, None as NoBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::StatusCode,
};
use bytes::Bytes;
use ruleiq_compression::{Choice, CompressionMetrics, Memo, Policy, Skip, Variant};

use self::{answering::Answer, asked::Asked, encoding::Encoding, streamed::Streamed};
pub use self::{answering::CompressionFuture, builder::CompressionBuilder};
use crate::problem::Problem;

/// Compresses responses.
///
/// Clones share the encoder. See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct CompressionMiddleware(Arc<Shared>);

/// The service that [`CompressionMiddleware`] wraps around another.
#[derive(Debug)]
pub struct CompressionService<S> {
    service: S,
    shared: Arc<Shared>,
}

/// Put into a response's extensions, it leaves that response uncompressed.
///
/// For a response that has a secret and what a stranger wrote side by side, which its length would then tell about.
///
/// ```
/// use actix_web::HttpResponse;
/// use ruleiq_web::Uncompressed;
///
/// let mut response = HttpResponse::Ok().body("…");
/// response.extensions_mut().insert(Uncompressed);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Uncompressed;

/// Put into a response's extensions, it says what the body is: a hash of it, of at least 128 bits, that nobody can make
/// collide. Its encoded forms are remembered by it, unless the response sets a cookie or is private.
///
/// [`Cached`](crate::Cached) says it of what a cache keeps. An entity tag is none: it may say less than the body. A
/// middleware that changes the body on its way must take it out of the extensions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ContentHash(pub u128);

#[derive(Debug)]
struct Shared {
    policy: Policy,
    encoding: Encoding,
    memo: Option<Memo>,
    metrics: CompressionMetrics,
}

impl CompressionMiddleware {
    /// The options of a middleware.
    pub fn builder() -> CompressionBuilder {
        CompressionBuilder::default()
    }
}

impl<S, B> Transform<S, ServiceRequest> for CompressionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = CompressionService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, Self::InitError>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(CompressionService {
            service,
            shared: Arc::clone(&self.0),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for CompressionService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = CompressionFuture<S::Future, B>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let policy = &self.shared.policy;
        let asked = policy.enabled().then(|| Asked::of(&mut request, policy));
        if asked.as_ref().is_some_and(Asked::is_not_acceptable) {
            let refusal = not_acceptable().map_into_right_body();
            return CompressionFuture::refused(request.into_response(refusal));
        }
        let asking = self.service.call(request);
        CompressionFuture::asking(asking, asked, Arc::clone(&self.shared))
    }
}

/// What is to be done of a response.
enum Step<B> {
    Done(HttpResponse<EitherBody<B>>),
    Encode(Choice, HttpResponse<()>, Bytes),
}

impl Shared {
    fn answer<B: MessageBody + 'static>(
        shared: &Arc<Shared>,
        asked: Asked,
        response: ServiceResponse<B>,
    ) -> Answer<B> {
        let (request, response) = response.into_parts();
        let done = |request, response| Answer::Now(ServiceResponse::new(request, response));
        let (choice, response, body) = match shared.begin(&asked, response) {
            Step::Done(response) => return done(request, response),
            Step::Encode(choice, response, body) => (choice, response, body),
        };
        let memo = shared.memo.as_ref();
        let variant = memo.and_then(|_| Shared::variant(choice, &response, &body));
        if let (Some(memo), Some(variant)) = (memo, variant) {
            let remembered = memo.get(variant);
            shared.metrics.record_memo(remembered.is_some());
            if let Some(encoded) = remembered {
                let response = shared.end(&asked, choice, response, body, Ok(encoded));
                return done(request, response);
            }
        } else if shared.encoding.is_quick(choice, body.len()) {
            let encoded = shared.encoding.encode_here(choice, &body);
            return done(request, shared.end(&asked, choice, response, body, encoded));
        }
        let shared = Arc::clone(shared);
        Answer::Later(Box::pin(async move {
            let encoding = shared.encoding.encode(choice, &body);
            let encoded = match (&shared.memo, variant) {
                (Some(memo), Some(variant)) => memo.get_or_encode(variant, encoding).await,
                _ => encoding.await,
            };
            let response = shared.end(&asked, choice, response, body, encoded);
            ServiceResponse::new(request, response)
        }))
    }

    /// What the encoded body of this response is made of, if its handler says so and others may have it, too.
    fn variant(choice: Choice, response: &HttpResponse<()>, body: &Bytes) -> Option<Variant> {
        let ContentHash(content) = *response.extensions().get()?;
        headers::is_shared(response.headers()).then_some(Variant {
            content,
            size_bytes: body.len(),
            choice,
        })
    }

    fn begin<B: MessageBody + 'static>(
        &self,
        asked: &Asked,
        mut response: HttpResponse<B>,
    ) -> Step<B> {
        if response.status() == StatusCode::NOT_MODIFIED {
            headers::confirm(response.headers_mut(), asked);
        }
        if let Err(skip) = self.check(asked, &response) {
            self.metrics.record_skip(skip);
            return Step::Done(response.map_into_left_body());
        }
        let (mut response, body) = response.into_parts();
        headers::vary(response.headers_mut());
        let body = body.try_into_bytes();
        let size = body.as_ref().ok().map(Bytes::len);
        let chosen = self.encoding.choose(&asked.preferred, size);
        let encoding = match (chosen, body) {
            (Some(choice), _) if asked.is_head => {
                headers::encode(response.headers_mut(), choice, size.is_none());
                let no_body = EitherBody::right(BoxBody::new(NoBody::new()));
                Err((Skip::Head, no_body))
            }
            (Some(choice), Ok(body)) => return Step::Encode(choice, response, body),
            (None, Ok(body)) => Err((Skip::Identity, EitherBody::right(BoxBody::new(body)))),
            (None, Err(body)) => Err((Skip::Identity, EitherBody::left(body))),
            (Some(choice), Err(body)) => match self.encoding.stream(choice.coding) {
                Ok(encoder) => {
                    headers::encode(response.headers_mut(), choice, true);
                    // What its handler may have said of its length is not that of these bytes.
                    response.head_mut().no_chunking(false);
                    let metrics = self.metrics.clone();
                    let body = Streamed::new(body, encoder, choice.coding, metrics);
                    Ok(EitherBody::right(BoxBody::new(body)))
                }
                Err(skip) => Err((skip, EitherBody::left(body))),
            },
        };
        Step::Done(response.set_body(encoding.unwrap_or_else(|(skip, body)| {
            self.metrics.record_skip(skip);
            body
        })))
    }

    /// The response with its body encoded, if that has made it smaller.
    fn end<B>(
        &self,
        asked: &Asked,
        choice: Choice,
        mut response: HttpResponse<()>,
        body: Bytes,
        encoded: Result<Bytes, Skip>,
    ) -> HttpResponse<EitherBody<B>> {
        let is_better = |it: &Bytes| it.len() < body.len() || asked.refuses_identity;
        let encoded = encoded.and_then(|it| match is_better(&it) {
            true => Ok(it),
            false => Err(Skip::NotSmaller),
        });
        let body = match encoded {
            Ok(encoded) => {
                self.metrics
                    .record_encoded(choice.coding, body.len(), encoded.len());
                headers::encode(response.headers_mut(), choice, false);
                encoded
            }
            Err(skip) => {
                self.metrics.record_skip(skip);
                body
            }
        };
        response.set_body(EitherBody::right(BoxBody::new(body)))
    }

    /// Whether a response can be encoded, for whatever client.
    fn check<B: MessageBody>(&self, asked: &Asked, response: &HttpResponse<B>) -> Result<(), Skip> {
        if let Some(skip) = asked.skip {
            return Err(skip);
        }
        if response.extensions().contains::<Uncompressed>() {
            return Err(Skip::OptOut);
        }
        let status = response.status();
        if status.is_informational()
            || matches!(
                status,
                StatusCode::NO_CONTENT
                    | StatusCode::RESET_CONTENT
                    | StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
            )
        {
            return Err(Skip::Status);
        }
        match response.body().size() {
            BodySize::None | BodySize::Sized(0) => return Err(Skip::TooSmall),
            BodySize::Sized(size) => match self.policy.check_size(size) {
                Err(Skip::TooSmall) if asked.refuses_identity => {}
                verdict => verdict?,
            },
            // It ends some time, or never.
            BodySize::Stream => {}
        }
        if !asked.refuses_identity {
            self.policy
                .check_content_type(headers::content_type(response.headers()))?;
        }
        headers::check(response.headers())
    }
}

fn not_acceptable() -> HttpResponse {
    let problem = Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        "`Accept-Encoding` refuses `identity` and every coding on offer",
    );
    let mut response = problem.error_response();
    headers::vary(response.headers_mut());
    response
}
