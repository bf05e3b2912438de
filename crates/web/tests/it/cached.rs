//! A kept response, and clients that have it already.

use std::sync::Arc;

use actix_web::{
    App, HttpResponse,
    body::to_bytes,
    http::{Method, StatusCode},
    test::{TestRequest, call_service, init_service},
    web,
};
use ruleiq_cache::Response;
use ruleiq_web::Cached;

/// The status, the value of a header, and the body.
async fn answer(
    response: Response,
    request: TestRequest,
    header: &str,
) -> (StatusCode, Option<String>, String) {
    let handler = move || {
        let response = Arc::new(response.clone());
        async move { Cached(response) }
    };
    let app = App::new().service(web::resource("/").to(handler));
    let app = init_service(app).await;
    let answer: HttpResponse = call_service(&app, request.to_request()).await.into();
    let value = answer.headers().get(header);
    let value = value.map(|it| it.to_str().unwrap().to_owned());
    let status = answer.status();
    let body = to_bytes(answer.into_body()).await.unwrap();
    (status, value, String::from_utf8(body.to_vec()).unwrap())
}

#[actix_web::test]
async fn a_client_that_has_the_body_is_told_so() {
    let response = || Response::new("text/plain", "body");
    let tag = format!("\"{}\"", response().etag());
    let (status, etag, body) = answer(response(), TestRequest::get(), "etag").await;
    assert_eq!(
        (status, etag, &*body),
        (StatusCode::OK, Some(tag.clone()), "body")
    );
    let (_, content_type, _) = answer(response(), TestRequest::get(), "content-type").await;
    assert_eq!(content_type.as_deref(), Some("text/plain"));

    for (condition, expect) in [
        (tag.clone(), StatusCode::NOT_MODIFIED),
        (format!("W/{tag}"), StatusCode::NOT_MODIFIED),
        (format!("\"other\", {tag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
        ("nonsense".to_owned(), StatusCode::OK),
        (String::new(), StatusCode::OK),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = TestRequest::with_uri("/").method(method);
            let request = request.insert_header(("if-none-match", condition.as_str()));
            let (status, etag, body) = answer(response(), request, "etag").await;
            assert_eq!(
                (status, etag.as_deref()),
                (expect, Some(&*tag)),
                "{condition}"
            );
            assert_eq!(body.is_empty(), expect == StatusCode::NOT_MODIFIED);
        }
        let request = TestRequest::post().insert_header(("if-none-match", condition));
        assert_eq!(answer(response(), request, "etag").await.0, StatusCode::OK);
    }
}

#[actix_web::test]
async fn what_is_private_says_so() {
    let response = Response::new("text/plain", "body");
    let control = "cache-control";
    let public = answer(response.clone(), TestRequest::get(), control).await;
    assert_eq!(public.1, None);
    let private = answer(response.private(), TestRequest::get(), control).await;
    assert_eq!(private.1.as_deref(), Some("private"));
}
