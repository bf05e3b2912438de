//! What came back.

use actix_http::Request;
use actix_web::{
    Error,
    body::{BodySize, MessageBody, to_bytes},
    dev::{Service, ServiceResponse},
    http::{
        StatusCode,
        header::{HeaderMap, HeaderValue},
    },
    test::TestRequest,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) size: BodySize,
    pub(crate) body: Bytes,
}

impl Answer {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name);
        values.map(|value| value.to_str().unwrap()).collect()
    }

    /// The one value of a header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(
            values.len() <= 1,
            "`{name}` is there more than once: {values:?}"
        );
        values.first().copied()
    }

    /// The code of a problem.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let content_type = self.headers.get("content-type").map(HeaderValue::as_bytes);
        assert_eq!(content_type, Some(&b"application/problem+json"[..]));
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["code"].as_str().unwrap().into()
    }
}

/// Asks as the server does, which also answers what a middleware failed with.
pub(crate) fn ask<S, B>(service: &S, request: TestRequest) -> LocalBoxFuture<'static, Answer>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let answer = service.call(request.to_request());
    Box::pin(async move {
        match answer.await {
            Ok(response) => received(response.into_parts().1).await,
            Err(error) => received(error.error_response()).await,
        }
    })
}

async fn received<B: MessageBody>(response: actix_web::HttpResponse<B>) -> Answer {
    let (head, body) = response.into_parts();
    let size = body.size();
    let Ok(body) = to_bytes(body).await else {
        panic!("a body failed");
    };
    Answer {
        status: head.status(),
        headers: head.headers().clone(),
        size,
        body,
    }
}
