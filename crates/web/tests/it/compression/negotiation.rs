use std::{cell::Cell, rc::Rc};

use actix_web::{HttpResponse, body::BodySize, http::Method, test::TestRequest};
use ruleiq_compression::Coding;

use super::{Counted, assert_encoded, assert_identity, assert_untouched, get, json, text};

#[actix_web::test]
async fn a_response_is_encoded_in_the_coding_that_the_client_prefers() {
    let counted = Counted::default();
    for (accepts, coding) in [
        ("br", Coding::Brotli),
        ("zstd", Coding::Zstd),
        ("gzip", Coding::Gzip),
        ("gzip, deflate, br, zstd", Coding::Brotli),
        ("br;q=0.2, gzip;q=0.9", Coding::Gzip),
        ("br;q=0, *", Coding::Zstd),
    ] {
        let answer = counted.ask(get(accepts), || json(text())).await;
        assert_encoded(&answer, coding, &text());
        let size = u64::try_from(answer.body.len()).unwrap();
        assert_eq!(answer.size, BodySize::Sized(size));
    }
    let expect = [("br", 2), ("gzip", 2), ("zstd", 2)].map(|(coding, n)| (coding.into(), n));
    assert_eq!(counted.counts("responses"), expect);
    let input: u64 = counted.counts("input_bytes").iter().map(|it| it.1).sum();
    assert_eq!(input, 6 * u64::try_from(text().len()).unwrap());
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn a_client_that_accepts_nothing_on_offer_gets_identity_and_is_told_that_it_varies() {
    let counted = Counted::default();
    let requests = [
        TestRequest::get(),
        get(""),
        get("deflate"),
        get("identity, br;q=0.5"),
        get("br;q=0, zstd;q=0, gzip;q=0"),
    ];
    for request in requests {
        let answer = counted.ask(request, || json(text())).await;
        assert_identity(&answer, &text());
    }
    assert_eq!(counted.skips(), [("identity".into(), 5)]);
}

#[actix_web::test]
async fn several_lines_are_one_list() {
    let request = TestRequest::get()
        .append_header(("accept-encoding", "br;q=0.1"))
        .append_header(("accept-encoding", "gzip"));
    let answer = Counted::default().ask(request, || json(text())).await;
    assert_encoded(&answer, Coding::Gzip, &text());
}

#[actix_web::test]
async fn who_refuses_everything_is_told_so_before_the_handler_runs() {
    for method in [Method::GET, Method::HEAD] {
        let ran = Rc::new(Cell::new(false));
        let runs = Rc::clone(&ran);
        let handler = move || {
            runs.set(true);
            json(text())
        };
        let request = get("*;q=0").method(method);
        let answer = Counted::default().ask(request, handler).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (406, "not_acceptable".into())
        );
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert!(!ran.get());
    }
}

#[actix_web::test]
async fn a_method_with_an_effect_is_never_answered_406() {
    let request = get("identity;q=0, *;q=0").method(Method::POST);
    let answer = Counted::default().ask(request, || json(text())).await;
    assert_eq!(answer.status, 200);
    assert_identity(&answer, &text());
}

#[actix_web::test]
async fn an_excluded_path_is_never_answered_406() {
    let request = get("*;q=0").uri("/health");
    let answer = Counted::default().ask(request, || json("{}")).await;
    assert_eq!(answer.status, 200);
    assert_untouched(&answer, b"{}");
}

#[actix_web::test]
async fn who_refuses_identity_gets_small_and_incompressible_bodies_encoded() {
    let counted = Counted::default();
    let small = counted.ask(get("gzip, *;q=0"), || json("{}")).await;
    assert_encoded(&small, Coding::Gzip, b"{}");

    let image = || {
        HttpResponse::Ok()
            .content_type("image/png")
            .body("\u{89}PNG")
    };
    let answer = counted.ask(get("br, identity;q=0"), image).await;
    assert_encoded(&answer, Coding::Brotli, "\u{89}PNG".as_bytes());
}

#[actix_web::test]
async fn who_refuses_identity_gets_what_cannot_be_encoded_as_it_is() {
    let counted = Counted::default();
    let empty = counted.ask(get("br, identity;q=0"), || json("")).await;
    assert_untouched(&empty, b"");
}
