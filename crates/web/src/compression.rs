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
//! Left alone are: statuses without a body, 206, answers to a CONNECT, and whatever has a `Content-Range`, a
//! `Content-Encoding` or a digest of its bytes; `no-transform` in either `Cache-Control`; and requests for a range.
//!
//! A client that refuses `identity` gets every body encoded, also a small one and an image, and however much there is to
//! do; but for a stream beyond the limit, and where an encoder fails. One
//! that refuses all codings as well gets 406 for its GET or HEAD, before the handler runs. Other
//! methods have an effect that a 406 would hide, and what cannot be encoded is better than nothing:
//! there the header is disregarded, as RFC 9110 §12.1 allows.
//!
//! A body that is predicted to cost little is encoded where it is. Larger ones go to the blocking
//! threads, a bounded number at once; of those that would wait too long, the ones that cost little in another coding are
//! encoded in that one where they are, and the others are sent as they are. While there is too much to do, everything is
//! encoded in the cheapest way, and then nothing is but what is remembered: [`Load`]. A [stream](streamed) is encoded where it is,
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
mod worker;

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, HttpResponse, ResponseError as _,
    body::{BodySize, BoxBody, EitherBody, MessageBody, None as NoBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{ConnectionType, StatusCode},
};
use bytes::Bytes;
use ruleiq_compression::{
    Body, Choice, CompressionMetrics, Kind, Load, Memo, Policy, Reason, Skip, Variant,
};
use tokio::{task::spawn, time::timeout};

use self::{
    answering::Answer,
    asked::Asked,
    encoding::Encoding,
    streamed::Streamed,
    worker::{LoadPolicy, Worker},
};
pub use self::{answering::CompressionFuture, builder::CompressionBuilder};
use crate::problem::Problem;

/// How long a body takes to be encoded once a thread has begun with it, for those who wait for somebody else's.
const REMEMBERED_LIMIT: Duration = Duration::from_secs(1);

/// Compresses responses.
///
/// Clones share the encoder. See the [crate's documentation](crate).
#[derive(Clone, Debug)]
pub struct CompressionMiddleware(Arc<Shared>);

/// The service that [`CompressionMiddleware`] wraps around another.
#[derive(Debug)]
pub struct CompressionService<S> {
    service: S,
    worker: Rc<Worker>,
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
/// `Cached` says it of what a cache keeps. An entity tag is none: it may say less than the body. A
/// middleware that changes the body on its way must take it out of the extensions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ContentHash(pub u128);

#[derive(Debug)]
struct Shared {
    policy: Policy,
    load: LoadPolicy,
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
            worker: Rc::new(Worker::new(Arc::clone(&self.0))),
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
        self.worker.recover();
        let policy = &self.worker.shared.policy;
        let asked = policy.enabled().then(|| Asked::of(&mut request, policy));
        if asked.as_ref().is_some_and(Asked::is_not_acceptable) {
            let refusal = not_acceptable().map_into_right_body();
            return CompressionFuture::refused(request.into_response(refusal));
        }
        let asking = self.service.call(request);
        CompressionFuture::asking(asking, asked, Rc::clone(&self.worker))
    }
}

/// What is to be done of a response.
enum Step<B> {
    Done(HttpResponse<EitherBody<B>>),
    Encode(Box<Whole>),
}

/// A response whose body is there as a whole, to be encoded.
struct Whole {
    response: HttpResponse<()>,
    bytes: Bytes,
    kind: Kind,
    choice: Choice,
    reason: Reason,
    /// What is remembered of it, if anything is.
    variant: Option<Variant>,
}

impl Worker {
    fn answer<B: MessageBody + 'static>(
        &self,
        asked: Asked,
        response: ServiceResponse<B>,
    ) -> Answer<B> {
        let shared = &self.shared;
        let (request, response) = response.into_parts();
        let done = |request, response| Answer::Now(ServiceResponse::new(request, response));
        let whole = match self.begin(&asked, response) {
            Step::Done(response) => return done(request, response),
            Step::Encode(whole) => whole,
        };
        let is_quick = || {
            let encoding = &shared.encoding;
            encoding.is_quick(whole.choice, whole.kind, whole.bytes.len())
        };
        if let (Some(memo), Some(variant)) = (&shared.memo, whole.variant) {
            let remembered = memo.get(variant);
            shared.metrics.record_memo(remembered.is_some());
            if let Some(encoded) = remembered {
                return done(request, shared.end(&asked, *whole, Ok(encoded)));
            }
        } else if is_quick() {
            let Whole { choice, kind, .. } = *whole;
            let encoded = shared.encoding.encode_here(choice, kind, &whole.bytes);
            return done(request, shared.end(&asked, *whole, encoded));
        }
        let shared = Arc::clone(shared);
        Answer::Later(Box::pin(async move {
            let mut whole = *whole;
            let mut encoded = shared.encode(&whole).await;
            if encoded == Err(Skip::Busy) {
                encoded = shared.encode_lighter(&asked, &mut whole);
            }
            ServiceResponse::new(request, shared.end(&asked, whole, encoded))
        }))
    }

    fn begin<B: MessageBody + 'static>(
        &self,
        asked: &Asked,
        mut response: HttpResponse<B>,
    ) -> Step<B> {
        let shared = &self.shared;
        if response.status() == StatusCode::NOT_MODIFIED {
            headers::confirm(response.headers_mut(), asked);
        }
        if let Err(skip) = shared.check(asked, &response) {
            if shared.varies(asked, &response, skip) {
                headers::vary(response.headers_mut());
            }
            shared.metrics.record_skip(skip);
            return Step::Done(response.map_into_left_body());
        }
        let (mut response, body) = response.into_parts();
        headers::vary(response.headers_mut());
        let content_type = headers::content_type(response.headers());
        let kind = content_type.map(Kind::of).unwrap_or_default();
        let body = body.try_into_bytes();
        let size = body.as_ref().ok().map(Bytes::len);
        let chosen = self.choose(asked, (size, kind), &response);
        let encoding = match (chosen, body) {
            (Ok((choice, ..)), _) if asked.is_head => {
                headers::encode(response.headers_mut(), choice, size.is_none());
                let no_body = EitherBody::right(BoxBody::new(NoBody::new()));
                Err((Skip::Head, no_body))
            }
            (Ok((choice, reason, variant)), Ok(bytes)) => {
                return Step::Encode(Box::new(Whole {
                    response,
                    bytes,
                    kind,
                    choice,
                    reason,
                    variant,
                }));
            }
            (Err(skip), Ok(bytes)) => Err((skip, EitherBody::right(BoxBody::new(bytes)))),
            (Err(skip), Err(body)) => Err((skip, EitherBody::left(body))),
            (Ok((choice, reason, _)), Err(body)) => match shared.encoding.stream(choice) {
                Ok(encoder) => {
                    headers::encode(response.headers_mut(), choice, true);
                    // What its handler may have said of its length is not that of these bytes. Before HTTP/1.1 there are
                    // no chunks either (RFC 9112 §6.1): the end of the connection is that of the body.
                    response.head_mut().no_chunking(asked.is_old);
                    if asked.is_old {
                        let close = ConnectionType::Close;
                        response.head_mut().set_connection_type(close);
                    }
                    let metrics = shared.metrics.clone();
                    let body = Streamed::new(body, encoder, (choice.coding, reason), metrics);
                    Ok(EitherBody::right(BoxBody::new(body)))
                }
                Err(skip) => Err((skip, EitherBody::left(body))),
            },
        };
        Step::Done(response.set_body(encoding.unwrap_or_else(|(skip, body)| {
            shared.metrics.record_skip(skip);
            body
        })))
    }

    /// How a body is encoded, and what is remembered of it.
    ///
    /// What is remembered costs nothing, however much there is to do.
    fn choose(
        &self,
        asked: &Asked,
        (size_bytes, kind): (Option<usize>, Kind),
        response: &HttpResponse<()>,
    ) -> Result<(Choice, Reason, Option<Variant>), Skip> {
        let shared = &self.shared;
        let body = Body { size_bytes, kind };
        let load = self.load();
        let may_be_remembered = || response.extensions().contains::<ContentHash>();
        if load == Load::Overload && !asked.refuses_identity && !may_be_remembered() {
            return match asked.coding() {
                Some(_) => Err(Skip::Load),
                None => Err(Skip::Identity),
            };
        }
        let at = |load| {
            let encoder = shared.encoding.encoder();
            let chosen = encoder.choose_for(&asked.effort, &asked.preferred, body, load);
            chosen.ok_or(Skip::Identity)
        };
        let (choice, reason) = at(Load::Normal)?;
        let variant = |choice| {
            shared.memo.as_ref()?;
            Shared::variant(choice, response, size_bytes?)
        };
        let is_remembered = |variant: Option<Variant>| match (&shared.memo, variant) {
            (Some(memo), Some(variant)) => memo.get(variant).is_some(),
            _ => false,
        };
        let usual = variant(choice);
        if load == Load::Normal || is_remembered(usual) {
            return Ok((choice, reason, usual));
        }
        let (choice, reason) = at(load)?;
        let cheaper = variant(choice);
        if load == Load::Overload && !asked.refuses_identity && !is_remembered(cheaper) {
            return Err(Skip::Load);
        }
        Ok((choice, reason, cheaper))
    }
}

impl Shared {
    /// What the encoded body of this response is made of, if its handler says so and others may have it, too.
    fn variant(choice: Choice, response: &HttpResponse<()>, size_bytes: usize) -> Option<Variant> {
        let ContentHash(content) = *response.extensions().get()?;
        headers::is_shared(response.headers()).then_some(Variant {
            content,
            size_bytes,
            choice,
        })
    }

    async fn encode(self: &Arc<Shared>, whole: &Whole) -> Result<Bytes, Skip> {
        let (choice, kind, bytes) = (whole.choice, whole.kind, whole.bytes.clone());
        let Some(variant) = whole.variant else {
            return self.encoding.encode(choice, kind, &bytes).await;
        };
        let is_quick = self.encoding.is_quick(choice, kind, bytes.len());
        let shared = Arc::clone(self);
        let encoding = async move {
            let memo = shared.memo.as_ref().ok_or(Skip::Failed)?;
            let encoding = shared.encoding.encode(choice, kind, &bytes);
            memo.get_or_encode(variant, encoding).await
        };
        if is_quick {
            return encoding.await;
        }
        // Whoever asks first may leave, and others wait for the same: each as long as for a thread of its own, and as it
        // takes to encode.
        let limit = self.encoding.begin_limit() + REMEMBERED_LIMIT;
        match timeout(limit, spawn(encoding)).await {
            Ok(Ok(encoded)) => encoded,
            // It panicked, or the runtime is going down.
            Ok(Err(_)) => Err(Skip::Failed),
            Err(_) => Err(Skip::Busy),
        }
    }

    /// In the cheapest of the ways that the client likes best, where that costs little; and whatever it costs for one that
    /// refuses the body as it is.
    fn encode_lighter(&self, asked: &Asked, whole: &mut Whole) -> Result<Bytes, Skip> {
        let body = Body {
            size_bytes: Some(whole.bytes.len()),
            kind: whole.kind,
        };
        let encoder = self.encoding.encoder();
        let lighter = encoder.choose_for(&asked.effort, &asked.preferred, body, Load::High);
        let (choice, _) = lighter.ok_or(Skip::Busy)?;
        let is_quick = || {
            let size = whole.bytes.len();
            self.encoding.is_quick(choice, whole.kind, size)
        };
        if !asked.refuses_identity && !is_quick() {
            return Err(Skip::Busy);
        }
        (whole.choice, whole.reason) = (choice, Reason::Busy);
        self.encoding.encode_here(choice, whole.kind, &whole.bytes)
    }

    /// The response with its body encoded, if that has made it smaller.
    fn end<B>(
        &self,
        asked: &Asked,
        whole: Whole,
        encoded: Result<Bytes, Skip>,
    ) -> HttpResponse<EitherBody<B>> {
        let Whole {
            mut response,
            bytes: body,
            choice,
            reason,
            ..
        } = whole;
        let is_better = |it: &Bytes| it.len() < body.len() || asked.refuses_identity;
        let encoded = encoded.and_then(|it| match is_better(&it) {
            true => Ok(it),
            false => Err(Skip::NotSmaller),
        });
        let body = match encoded {
            Ok(encoded) => {
                self.metrics
                    .record_encoded(choice.coding, reason, body.len(), encoded.len());
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

    /// Whether another request would have got a response encoded that this one gets as it is.
    fn varies<B: MessageBody>(
        &self,
        asked: &Asked,
        response: &HttpResponse<B>,
        skip: Skip,
    ) -> bool {
        let asks_otherwise = matches!(asked.skip, Some(Skip::Range | Skip::NoTransform));
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT && skip == Skip::Status;
        if is_part || (asks_otherwise && response.status() == StatusCode::PARTIAL_CONTENT) {
            // The size of the whole is not that of a part.
            let content_type = headers::content_type(response.headers());
            return self.policy.check_content_type(content_type).is_ok()
                && headers::check_part(response.headers()).is_ok();
        }
        asks_otherwise && self.check_response(asked, response).is_ok()
    }

    /// Whether a response can be encoded, for whatever client.
    fn check<B: MessageBody>(&self, asked: &Asked, response: &HttpResponse<B>) -> Result<(), Skip> {
        match asked.skip {
            Some(skip) => Err(skip),
            None => self.check_response(asked, response),
        }
    }

    fn check_response<B: MessageBody>(
        &self,
        asked: &Asked,
        response: &HttpResponse<B>,
    ) -> Result<(), Skip> {
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
