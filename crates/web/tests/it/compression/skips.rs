//! Responses that are left as they are.

use actix_web::{
    App, HttpResponse, HttpResponseBuilder,
    body::to_bytes,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn},
    test::{self, TestRequest},
    web,
};
use ruleiq_compression::{Coding, Config};
use ruleiq_web::{Problem, Uncompressed};

use super::{
    Counted, assert_encoded, assert_identity, assert_untouched, encoded, get, json, noise, text,
    unhurried,
};
use crate::answer::ask;

#[track_caller]
fn assert_skipped(counted: &Counted, reason: &str) {
    assert_eq!(counted.skips(), [(reason.into(), 1)]);
    assert!(counted.counts("responses").is_empty());
}

/// Asks with a client that accepts everything.
pub(super) async fn check(reason: &str, answer: impl Fn() -> HttpResponse + Clone + 'static) {
    let counted = Counted::default();
    let before = answer();
    let headers = before.headers().clone();
    let body = to_bytes(before.into_body()).await.unwrap();
    let answer = counted.ask(get("br, zstd, gzip"), answer).await;
    assert_eq!(answer.body, body);
    for (name, value) in &headers {
        assert_eq!(answer.headers.get(name), Some(value));
    }
    assert_eq!(answer.headers.len(), headers.len());
    assert_skipped(&counted, reason);
}

pub(super) fn with(name: &'static str, value: &'static str) -> impl Fn() -> HttpResponse + Clone {
    move || {
        let mut response = json(text());
        let value = value.parse().unwrap();
        response.headers_mut().append(name.parse().unwrap(), value);
        response
    }
}

pub(super) fn status(status: StatusCode) -> impl Fn() -> HttpResponse + Clone {
    move || {
        HttpResponseBuilder::new(status)
            .content_type("application/json")
            .body(text())
    }
}

#[actix_web::test]
async fn small_and_large_bodies_and_those_that_do_not_shrink_are_left_alone() {
    check("too_small", || json("x".repeat(1000))).await;
    check("too_small", || json("")).await;
    check("too_small", || HttpResponse::Ok().finish()).await;
    check("too_large", || json("x".repeat(8 * 1024 * 1024 + 1))).await;
    check("content_type", || {
        HttpResponse::Ok().content_type("image/png").body(text())
    })
    .await;
    let untyped = || {
        let mut response = json(text());
        response.headers_mut().remove(CONTENT_TYPE);
        response
    };
    check("content_type", untyped).await;
}

#[actix_web::test]
async fn a_body_just_above_the_minimum_is_encoded() {
    let answer = Counted::default()
        .ask(get("gzip"), || json("x".repeat(1001)))
        .await;
    assert_encoded(&answer, Coding::Gzip, "x".repeat(1001).as_bytes());
}

#[actix_web::test]
async fn a_status_without_a_body_or_with_a_part_of_one_is_left_alone() {
    for code in [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT] {
        check("status", status(code)).await;
    }
    let counted = Counted::default();
    let part = status(StatusCode::PARTIAL_CONTENT);
    assert_identity(&counted.ask(get("br"), part).await, &text());
    assert_skipped(&counted, "status");
    check("range", with("content-range", "bytes 0-99/200")).await;
}

#[actix_web::test]
async fn errors_are_encoded_as_well() {
    for code in [StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        let answer = Counted::default().ask(get("zstd"), status(code)).await;
        assert_eq!(answer.status, code);
        assert_encoded(&answer, Coding::Zstd, &text());
    }
}

#[actix_web::test]
async fn a_response_that_is_encoded_or_digested_or_must_not_change_is_left_alone() {
    check("encoded", with("content-encoding", "br")).await;
    check("encoded", with("content-encoding", "identity")).await;
    check("encoded", with("content-encoding", "aes128gcm, gzip")).await;
    check(
        "no_transform",
        with("cache-control", "max-age=60, No-Transform"),
    )
    .await;
    check("digest", with("content-digest", "sha-256=:AAAA:")).await;
    check("digest", with("repr-digest", "sha-256=:AAAA:")).await;
    check("digest", with("digest", "SHA-256=AAAA")).await;
    check("digest", with("content-md5", "AAAA")).await;
    let opted_out = || {
        let mut response = json(text());
        response.extensions_mut().insert(Uncompressed);
        response
    };
    check("opt_out", opted_out).await;
}

#[actix_web::test]
async fn a_directive_that_only_looks_like_no_transform_is_none() {
    let answer = Counted::default()
        .ask(
            get("br"),
            with("cache-control", "x-no-transform, no-transform-x"),
        )
        .await;
    assert_encoded(&answer, Coding::Brotli, &text());
}

#[actix_web::test]
async fn a_request_for_a_range_or_without_changes_is_left_alone() {
    for (header, reason) in [
        (("range", "bytes=0-99"), "range"),
        (("cache-control", "no-transform"), "no_transform"),
    ] {
        let counted = Counted::default();
        let ask = || get("br").insert_header(header);
        let answer = counted.ask(ask(), || json(text())).await;
        // Who asks otherwise gets it encoded.
        assert_identity(&answer, &text());
        assert_skipped(&counted, reason);
        for same_for_all in [with("content-encoding", "gzip"), with("x-other", "1")] {
            let is_encoded = same_for_all().headers().contains_key("content-encoding");
            let answer = counted.ask(ask(), same_for_all).await;
            let vary = answer.header("vary");
            assert_eq!(vary.is_some(), !is_encoded, "{header:?}");
        }
    }
}

#[actix_web::test]
async fn a_part_says_that_the_whole_would_have_been_encoded() {
    let part = |content_type: &'static str| {
        move || {
            let mut response = HttpResponse::PartialContent()
                .content_type(content_type)
                .body("some");
            let range = "bytes 0-3/20000".parse().unwrap();
            response
                .headers_mut()
                .insert("content-range".parse().unwrap(), range);
            response
        }
    };
    for (content_type, vary) in [("text/html", Some("Accept-Encoding")), ("image/png", None)] {
        for request in [get("br").insert_header(("range", "bytes=0-3")), get("br")] {
            let answer = Counted::default().ask(request, part(content_type)).await;
            assert_eq!(answer.header("vary"), vary, "{content_type}");
            assert_eq!(answer.header("content-encoding"), None);
            assert_eq!(answer.body, "some");
        }
    }
}

#[actix_web::test]
async fn a_body_that_would_grow_is_sent_as_it_is() {
    let noise = noise(1500);
    let counted = Counted::default();
    let body = noise.clone();
    let answer = counted.ask(get("gzip"), move || json(body.clone())).await;
    assert_identity(&answer, &noise);
    assert_skipped(&counted, "not_smaller");
}

#[actix_web::test]
async fn a_body_that_would_not_shrink_by_a_byte_is_sent_as_it_is() {
    // What repeats shrinks by as much as the noise before it grows.
    let body = |repeats| [&noise(1500)[..], &vec![b'x'; repeats]].concat();
    let equal = (0..200)
        .map(body)
        .find(|it| encoded(Coding::Gzip, it).len() == it.len());
    let equal = equal.unwrap();
    let counted = Counted::default();
    let sent = equal.clone();
    let answer = counted.ask(get("gzip"), move || json(sent.clone())).await;
    assert_identity(&answer, &equal);
    assert_skipped(&counted, "not_smaller");
}

#[actix_web::test]
async fn an_excluded_path_is_left_alone_with_all_below_it() {
    let builder = unhurried().exclude_paths(["/static", "/api/raw"]);
    let counted = Counted::new(builder);
    for uri in ["/static", "/static/x.css", "/api/raw?x=1"] {
        let answer = counted.ask(get("br").uri(uri), || json(text())).await;
        assert_untouched(&answer, &text());
    }
    assert_eq!(counted.skips(), [("path".into(), 3)]);
    for uri in ["/statics", "/api", "/health"] {
        let answer = counted.ask(get("br").uri(uri), || json(text())).await;
        assert_encoded(&answer, Coding::Brotli, &text());
    }
}

#[actix_web::test]
async fn turned_off_it_changes_nothing() {
    let config = Config {
        enabled: false,
        ..Config::default()
    };
    let counted = Counted::new(unhurried().config(config));
    for request in [get("br"), get("*;q=0")] {
        let answer = counted.ask(request, || json(text())).await;
        assert_eq!(answer.status, 200);
        assert_untouched(&answer, &text());
    }
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn what_a_middleware_failed_with_passes() {
    let fails = |_, _: Next<actix_web::body::BoxBody>| async {
        let problem = Problem::new(StatusCode::IM_A_TEAPOT, "teapot", "no coffee");
        Err::<actix_web::dev::ServiceResponse, actix_web::Error>(problem.into())
    };
    let app = App::new()
        .default_service(web::to(|| async { "" }))
        .wrap(from_fn(fails))
        .wrap(unhurried().build().unwrap());
    let app = test::init_service(app).await;
    assert_eq!(ask(&app, TestRequest::get()).await.code(), "teapot");
}

#[test]
fn a_level_that_does_not_exist_is_refused_when_the_middleware_is_built() {
    let config = Config {
        gzip_level: 10,
        ..Config::default()
    };
    let builder = unhurried().config(config);
    let said = builder.build().unwrap_err().to_string();
    assert_eq!(said, "gzip has no level `10`; choose one of 1 to 9");
}
