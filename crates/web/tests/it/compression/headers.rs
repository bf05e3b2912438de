//! What an encoded response says of itself.

use actix_web::{
    App, HttpRequest, HttpResponse,
    body::BodySize,
    http::{
        Method, StatusCode,
        header::{ETag, EntityTag, Header as _, IfNoneMatch},
    },
    test::{self, TestRequest},
    web,
};
use ruleiq_compression::Coding;

use super::{Counted, assert_encoded, encoded, get, json, text, unhurried};
use crate::answer::ask;

fn with(headers: &'static [(&'static str, &'static str)]) -> impl Fn() -> HttpResponse + Clone {
    move || {
        let mut response = json(text());
        for (name, value) in headers {
            let value = value.parse().unwrap();
            response.headers_mut().append(name.parse().unwrap(), value);
        }
        response
    }
}

#[actix_web::test]
async fn what_the_handler_says_of_other_headers_in_vary_is_kept() {
    let counted = Counted::default();
    let check = async |before: &'static [(&'static str, &'static str)], after: &[&str]| {
        for accepts in ["br", "identity"] {
            let answer = counted.ask(get(accepts), with(before)).await;
            assert_eq!(answer.all("vary"), after, "after {before:?}");
        }
    };
    check(&[], &["Accept-Encoding"]).await;
    check(&[("vary", "Origin")], &["Origin", "Accept-Encoding"]).await;
    check(
        &[("vary", "origin ,accept-encoding")],
        &["origin ,accept-encoding"],
    )
    .await;
    check(
        &[("vary", "a"), ("vary", "Accept-Encoding")],
        &["a", "Accept-Encoding"],
    )
    .await;
    check(&[("vary", "*")], &["*"]).await;
    check(
        &[("vary", "x-accept-encoding")],
        &["x-accept-encoding", "Accept-Encoding"],
    )
    .await;
}

#[actix_web::test]
async fn each_variant_has_an_etag_of_its_own() {
    let counted = Counted::default();
    let check = async |accepts, before: &'static [(&'static str, &'static str)], after| {
        let answer = counted.ask(get(accepts), with(before)).await;
        assert_eq!(answer.header("etag"), after, "for {accepts}");
    };
    for (accepts, own) in [
        ("br", "\"abc-br4\""),
        ("zstd", "\"abc-zstd1\""),
        ("gzip", "\"abc-gzip4\""),
    ] {
        check(accepts, &[("etag", "\"abc\"")], Some(own)).await;
        check(accepts, &[("etag", "W/\"abc\"")], Some("W/\"abc\"")).await;
        // Nobody could tell what it was.
        check(accepts, &[("etag", "\"abc-br4\"")], Some("W/\"abc-br4\"")).await;
        check(accepts, &[("etag", "abc")], Some("abc")).await;
        check(accepts, &[], None).await;
    }
    check("identity", &[("etag", "\"abc\"")], Some("\"abc\"")).await;
}

#[actix_web::test]
async fn a_304_has_the_vary_of_the_response_that_it_stands_for_and_the_etag_that_the_client_has() {
    let not_modified = || {
        HttpResponse::NotModified()
            .insert_header(("etag", "\"abc\""))
            .finish()
    };
    let counted = Counted::default();
    for (has, told) in [
        ("\"abc-br4\"", "\"abc-br4\""),
        ("W/\"abc-br4\"", "W/\"abc-br4\""),
        ("\"abc-zstd3\", \"abc-br4\"", "\"abc-br4\""),
        // What it has is not what it would get.
        ("\"abc-zstd3\"", "\"abc\""),
        ("\"other-br4\", \"abc\"", "\"abc\""),
        ("*", "\"abc\""),
    ] {
        let request = get("br").insert_header(("if-none-match", has));
        let answer = counted.ask(request, not_modified).await;
        assert_eq!(answer.header("etag"), Some(told), "for {has}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.header("content-encoding"), None);
    }
    let excluded = get("br").uri("/health");
    let answer = counted.ask(excluded, not_modified).await;
    assert_eq!(answer.header("etag"), Some("\"abc\""));
    assert_eq!(answer.header("vary"), None);
    // It is left alone, but its client has what it has.
    let request = get("br")
        .insert_header(("cache-control", "no-transform"))
        .insert_header(("if-none-match", "\"abc-br4\""));
    let answer = counted.ask(request, not_modified).await;
    assert_eq!(answer.header("etag"), Some("\"abc-br4\""));
}

/// What came of the conditions.
async fn conditions(request: HttpRequest) -> HttpResponse {
    let of = |name| request.headers().get_all(name).collect::<Vec<_>>();
    HttpResponse::Ok().body(format!(
        "{:?} {:?} {:?}",
        of("if-match"),
        of("if-none-match"),
        of("if-range")
    ))
}

#[actix_web::test]
async fn handlers_see_conditions_as_they_know_them() {
    let app = App::new()
        .default_service(web::to(conditions))
        .wrap(unhurried().build().unwrap());
    let app = test::init_service(app).await;
    let request = get("br, zstd")
        .append_header(("if-match", "\"a-gzip4\""))
        .append_header(("if-none-match", "\"a-zstd3\",W/\"b\""))
        .append_header(("if-none-match", "\"c-gzip4\""))
        // Its parts are not to be had.
        .append_header(("if-range", "\"a-br4\""));
    let answer = ask(&app, request).await;
    let expect = concat!(
        r#"["\"a-gzip4\", \"a\""] "#,
        r#"["\"a-zstd3\", \"a\", W/\"b\", \"c-gzip4\""] "#,
        r#"["\"a-br4\""]"#,
    );
    assert_eq!(answer.body, expect);
    let request = get("br").insert_header(("if-none-match", "\"a\" ,nonsense"));
    let answer = ask(&app, request).await;
    assert_eq!(answer.body, r#"[] ["\"a\" ,nonsense"] []"#);
}

/// Compares weakly, as RFC 9110 §13.1.2 says.
async fn conditional(request: HttpRequest) -> HttpResponse {
    let etag = EntityTag::new_strong("abc".into());
    let is_known = match IfNoneMatch::parse(&request).unwrap() {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(known) => known.iter().any(|it| it.weak_eq(&etag)),
    };
    let status = if is_known {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    HttpResponse::build(status)
        .insert_header(ETag(etag))
        .content_type("application/json")
        .body(if is_known { "".into() } else { text() })
}

#[actix_web::test]
async fn a_client_finds_its_encoded_response_not_modified() {
    let app = App::new()
        .default_service(web::to(conditional))
        .wrap(unhurried().build().unwrap());
    let app = test::init_service(app).await;
    for accepts in ["br", "identity"] {
        let first = ask(&app, get(accepts)).await;
        let etag = first.header("etag").unwrap().to_owned();
        let again = get(accepts).insert_header(("if-none-match", etag.clone()));
        let again = ask(&app, again).await;
        assert_eq!(again.status, 304);
        assert_eq!(again.header("etag"), Some(&*etag));
    }
}

#[actix_web::test]
async fn a_length_and_ranges_of_the_identity_are_not_those_of_the_encoding() {
    let headers = &[("content-length", "9999"), ("accept-ranges", "bytes")];
    let counted = Counted::default();
    let answer = counted.ask(get("zstd"), with(headers)).await;
    assert_encoded(&answer, Coding::Zstd, &text());
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(answer.header("accept-ranges"), None);
    let length = encoded(Coding::Zstd, &text()).len();
    assert_eq!(answer.size, BodySize::Sized(u64::try_from(length).unwrap()));

    let answer = counted.ask(get("identity"), with(headers)).await;
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
}

#[actix_web::test]
async fn a_head_has_the_headers_of_the_get_but_the_length() {
    let headers = &[
        ("etag", "\"abc\""),
        ("accept-ranges", "bytes"),
        ("vary", "Origin"),
    ];
    for accepts in ["br", "identity"] {
        let counted = Counted::default();
        let got = counted.ask(get(accepts), with(headers)).await;
        let request = TestRequest::default()
            .method(Method::HEAD)
            .insert_header(("accept-encoding", accepts));
        let head = counted.ask(request, with(headers)).await;

        let sorted = |answer: &crate::answer::Answer| {
            let headers = answer.headers.iter();
            let mut all: Vec<_> = headers
                .map(|(name, value)| format!("{name}: {value:?}"))
                .collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&got), sorted(&head));
        if accepts == "br" {
            assert_eq!(head.size, BodySize::None);
            assert_eq!(counted.skips(), [("head".into(), 1)]);
        }
    }
}
