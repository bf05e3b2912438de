//! Entity tags that have more than ASCII, as RFC 9110 §8.8.3 allows.

use actix_web::{
    App, HttpRequest, HttpResponse,
    http::header::{ETAG, HeaderValue},
    test::{self, TestRequest},
    web,
};

use super::{Counted, get, json, text, unhurried};
use crate::answer::{Answer, ask};

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap()
}

fn tag(answer: &Answer) -> &[u8] {
    answer.headers.get(ETAG).unwrap().as_bytes()
}

#[actix_web::test]
async fn each_variant_has_one_of_its_own() {
    let counted = Counted::default();
    for (accepts, before, after) in [
        ("br", &b"\"caf\xe9\""[..], &b"\"caf\xe9-br4\""[..]),
        ("br", b"\"caf\xc3\xa9\"", b"\"caf\xc3\xa9-br4\""),
        ("br", b"\"caf\xe9-br4\"", b"W/\"caf\xe9-br4\""),
        ("br", b"W/\"caf\xe9\"", b"W/\"caf\xe9\""),
        ("identity", b"\"caf\xe9\"", b"\"caf\xe9\""),
    ] {
        let tagged = move || {
            let mut response = json(text());
            response.headers_mut().insert(ETAG, value(before));
            response
        };
        let answer = counted.ask(get(accepts), tagged).await;
        assert_eq!(tag(&answer), after, "{before:?}");
    }
}

/// A client that has a variant, and other tags that are not to be lost.
fn conditional(name: &'static str) -> TestRequest {
    get("br")
        .append_header((name, value(b"\"caf\xe9-br4\", \"\xff\"")))
        .append_header((name, value(b"\"a-br4\"")))
}

async fn told(request: HttpRequest) -> HttpResponse {
    let conditions = ["if-match", "if-none-match"];
    let told = conditions.map(|name| request.headers().get(name).map(HeaderValue::as_bytes));
    HttpResponse::Ok().body(told.into_iter().flatten().collect::<Vec<_>>().concat())
}

#[actix_web::test]
async fn conditions_lead_back_to_those_of_the_handler() {
    let app = App::new()
        .default_service(web::to(told))
        .wrap(unhurried().build().unwrap());
    let app = test::init_service(app).await;
    for name in ["if-match", "if-none-match"] {
        let answer = ask(&app, conditional(name)).await;
        let expect = b"\"caf\xe9-br4\", \"caf\xe9\", \"\xff\", \"a-br4\", \"a\"";
        assert_eq!(answer.body, expect[..], "{name}");
    }
}

#[actix_web::test]
async fn a_304_has_the_one_that_the_client_has() {
    let not_modified = || {
        let tag = (ETAG, value(b"\"caf\xe9\""));
        HttpResponse::NotModified().insert_header(tag).finish()
    };
    let request = conditional("if-none-match");
    let answer = Counted::default().ask(request, not_modified).await;
    assert_eq!(tag(&answer), b"\"caf\xe9-br4\"");
}
