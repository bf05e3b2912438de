//! Middleware that compresses responses.
//!
//! A response is encoded in the coding that its client prefers when the policy finds it worth it:
//! text in all its forms, of a size known beforehand and between the limits, at a path that is not
//! excluded. What could have been encoded says `Vary: Accept-Encoding`, also when it was not.
//!
//! An encoded response has another `Content-Length`, no `Accept-Ranges`, and a weak `ETag`, because
//! a strong one promises the same bytes (RFC 9110 §8.8.3). So does a 304 in its place, so that
//! caches find what it confirms. `If-None-Match` compares weakly and works as before; `If-Match`
//! compares strongly and never matches a weak `ETag`: whoever guards writes by it marks those
//! responses [`Uncompressed`]. The answer to a HEAD has the headers of the encoded GET but the
//! length, which only encoding would tell.
//!
//! Left alone are: statuses without a body, 206, and whatever has a `Content-Range`, a
//! `Content-Encoding` or a digest of its bytes; `no-transform` in either `Cache-Control`; requests
//! for a range; and streams.
//!
//! A client that refuses `identity` gets every whole body encoded, also a small one and an image. One
//! that refuses all codings as well gets 406 for its GET or HEAD, before the handler runs. Other
//! methods have an effect that a 406 would hide, and what cannot be encoded is better than nothing:
//! there the header is disregarded, as RFC 9110 §12.1 allows.
//!
//! A body that is predicted to cost little is encoded where it is. Larger ones go to the blocking
//! threads, a bounded number at once; what comes on top is sent as it is.
//!
//! It stands inside of [`Timing`](crate::Timing), so that encoding is measured, and outside of all
//! that makes or changes a body.

mod asked;
mod builder;
mod encoding;
mod headers;

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, HttpResponse, ResponseError as _,
    body::{BodySize, BoxBody, EitherBody, MessageBody, None as NoBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::StatusCode,
};
use bytes::Bytes;
use ruleiq_compression::{Coding, CompressionMetrics, Policy, Skip};

pub use self::builder::CompressionBuilder;
use self::{asked::Asked, encoding::Encoding};
use crate::problem::Problem;

/// Compresses responses.
///
/// Clones share the encoder. See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct CompressionMiddleware(Arc<Shared>);

/// The service that [`CompressionMiddleware`] wraps around another.
#[derive(Debug)]
pub struct CompressionService<S> {
    service: Rc<S>,
    shared: Arc<Shared>,
}

/// Put into a response's extensions, it leaves that response uncompressed.
///
/// For a response whose `ETag` guards writes by `If-Match`, and for one that has a secret and what
/// a stranger wrote side by side, which its length would then tell about.
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

#[derive(Debug)]
struct Shared {
    policy: Policy,
    encoding: Encoding,
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
            service: Rc::new(service),
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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let service = Rc::clone(&self.service);
        if !self.shared.policy.enabled() {
            return Box::pin(async move { Ok(service.call(request).await?.map_into_left_body()) });
        }
        let asked = Asked::of(&request, &self.shared.policy);
        if asked.is_not_acceptable() {
            let refusal = not_acceptable().map_into_right_body();
            return Box::pin(ready(Ok(request.into_response(refusal))));
        }
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (request, response) = service.call(request).await?.into_parts();
            let response = shared.answer(&asked, response).await;
            Ok(ServiceResponse::new(request, response))
        })
    }
}

impl Shared {
    async fn answer<B: MessageBody>(
        &self,
        asked: &Asked,
        mut response: HttpResponse<B>,
    ) -> HttpResponse<EitherBody<B>> {
        if response.status() == StatusCode::NOT_MODIFIED && asked.skip.is_none() {
            headers::confirm(response.headers_mut(), asked.coding);
        }
        if let Err(skip) = self.check(asked, &response) {
            self.metrics.record_skip(skip);
            return response.map_into_left_body();
        }
        let (response, body) = response.into_parts();
        match body.try_into_bytes() {
            Ok(body) => self.encoded(asked, response, body).await,
            Err(body) => {
                self.metrics.record_skip(Skip::Stream);
                response.set_body(EitherBody::left(body))
            }
        }
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
        headers::check(response.headers())?;
        let size = match response.body().size() {
            BodySize::None | BodySize::Sized(0) => return Err(Skip::TooSmall),
            BodySize::Sized(size) => size,
            BodySize::Stream => return Err(Skip::Stream),
        };
        match self.policy.check_size(size) {
            Err(Skip::TooSmall) if asked.refuses_identity => {}
            verdict => verdict?,
        }
        if asked.refuses_identity {
            return Ok(());
        }
        self.policy
            .check_content_type(headers::content_type(response.headers()))
    }

    /// The response with the body as this client prefers it.
    async fn encoded<B: MessageBody>(
        &self,
        asked: &Asked,
        mut response: HttpResponse<()>,
        body: Bytes,
    ) -> HttpResponse<EitherBody<B>> {
        let right = |body| EitherBody::right(BoxBody::new::<Bytes>(body));
        headers::vary(response.headers_mut());
        let Some(coding) = asked.coding else {
            self.metrics.record_skip(Skip::Identity);
            return response.set_body(right(body));
        };
        if asked.is_head {
            self.metrics.record_skip(Skip::Head);
            headers::encode(response.headers_mut(), coding);
            return response.set_body(EitherBody::right(BoxBody::new(NoBody::new())));
        }
        match self.encode(asked, coding, &body).await {
            Ok(encoded) => {
                self.metrics
                    .record_encoded(coding, body.len(), encoded.len());
                headers::encode(response.headers_mut(), coding);
                response.set_body(right(encoded))
            }
            Err(skip) => {
                self.metrics.record_skip(skip);
                response.set_body(right(body))
            }
        }
    }

    async fn encode(&self, asked: &Asked, coding: Coding, body: &Bytes) -> Result<Bytes, Skip> {
        let encoded = self.encoding.encode(coding, body).await?;
        if encoded.len() < body.len() || asked.refuses_identity {
            Ok(encoded)
        } else {
            Err(Skip::NotSmaller)
        }
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
