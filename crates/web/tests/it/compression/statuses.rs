//! What the status, the method and the parts of a body mean for its coding.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::BodyStream,
    http::{Method, StatusCode},
    test::TestRequest,
};
use futures_util::stream::iter;
use ruleiq_compression::Coding;

use super::{
    Counted, assert_encoded, assert_identity, assert_untouched, get, json,
    skips::{check, status, with},
    text,
};

#[actix_web::test]
async fn whatever_else_a_response_with_a_body_says_it_is_encoded() {
    let counted = Counted::default();
    let codes = [
        200, 201, 202, 203, 207, 226, 300, 301, 303, 308, 400, 401, 403, 404, 405, 406, 409, 410,
        413, 416, 418, 422, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599,
    ];
    for code in codes {
        let code = StatusCode::from_u16(code).unwrap();
        let answer = counted.ask(get("zstd"), status(code)).await;
        assert_eq!(answer.status, code);
        assert_encoded(&answer, Coding::Zstd, &text());
    }
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn whatever_has_an_effect_is_answered_encoded() {
    let counted = Counted::default();
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ] {
        let request = get("gzip").method(method);
        let answer = counted.ask(request, || json(text())).await;
        assert_encoded(&answer, Coding::Gzip, &text());
    }
}

fn streaming(mut response: HttpResponseBuilder) -> HttpResponse {
    let body = BodyStream::new(iter([Ok::<_, actix_web::Error>(text())]));
    response.content_type("text/plain").body(body)
}

#[actix_web::test]
async fn what_is_said_after_a_change_of_protocol_is_left_alone() {
    for code in [100, 101, 102, 103] {
        check("status", status(StatusCode::from_u16(code).unwrap())).await;
    }
    let upgraded = || {
        let mut response = HttpResponse::SwitchingProtocols();
        response.upgrade("websocket");
        streaming(response)
    };
    check("status", upgraded).await;
    // Also for a client that wants nothing but codings.
    let request = get("br, identity;q=0").insert_header(("upgrade", "websocket"));
    let answer = Counted::default().ask(request, upgraded).await;
    assert_untouched(&answer, &text());
    assert!(answer.header("upgrade").is_some());
}

#[actix_web::test]
async fn a_tunnel_is_left_alone() {
    for tunnel in [|| streaming(HttpResponse::Ok()), || json(text())] {
        for accepts in ["br", "br, identity;q=0", "*;q=0"] {
            let counted = Counted::default();
            let request = get(accepts).method(Method::CONNECT);
            let answer = counted.ask(request, tunnel).await;
            assert_eq!(answer.status, 200);
            assert_untouched(&answer, &text());
            assert_eq!(counted.skips(), [("status".into(), 1)]);
        }
    }
}

#[actix_web::test]
async fn parts_are_left_alone_also_for_who_refuses_identity() {
    let parts = || {
        HttpResponse::PartialContent()
            .content_type("multipart/byteranges; boundary=x")
            .body(text())
    };
    check("status", parts).await;
    let whole = || {
        HttpResponse::Ok()
            .content_type("multipart/byteranges; boundary=x")
            .body(text())
    };
    check("content_type", whole).await;
    check("range", with("content-range", "bytes */200")).await;

    let counted = Counted::default();
    let wants_encoded = || get("br, identity;q=0");
    let answer = counted.ask(wants_encoded(), parts).await;
    assert_untouched(&answer, &text());
    let asks_for_range = wants_encoded().insert_header(("range", "bytes=0-9"));
    for (request, answer) in [
        (wants_encoded(), with("content-range", "bytes 0-9/20")),
        (wants_encoded(), with("content-encoding", "gzip")),
        (wants_encoded(), with("cache-control", "no-transform")),
    ] {
        let answer = counted.ask(request, answer).await;
        assert_eq!((answer.header("vary"), &answer.body), (None, &text()));
    }
    let answer = counted.ask(asks_for_range, with("x-other", "1")).await;
    assert_identity(&answer, &text());
    assert!(counted.counts("responses").is_empty());
}

#[actix_web::test]
async fn lists_are_read_over_all_their_lines() {
    let several = || {
        let mut response = json(text());
        for line in ["max-age=60", "public ,\tNO-TRANSFORM"] {
            let name = "cache-control".parse().unwrap();
            response.headers_mut().append(name, line.parse().unwrap());
        }
        response
    };
    let answer = Counted::default().ask(get("br"), several).await;
    assert_untouched(&answer, &text());
    let request = TestRequest::get()
        .insert_header(("accept-encoding", "br"))
        .append_header(("cache-control", "max-age=0"))
        .append_header(("cache-control", "no-cache, no-transform"));
    let answer = Counted::default().ask(request, || json(text())).await;
    assert_identity(&answer, &text());
}

#[actix_web::test]
async fn what_encoding_does_not_change_stays() {
    let answer = || {
        let mut response = HttpResponse::Ok();
        for (name, value) in [
            (
                "content-type",
                "Application/Problem+JSON; Charset=\"UTF-8\"",
            ),
            ("content-language", "de"),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("link", "</a>; rel=x"),
            ("link", "</b>; rel=x"),
        ] {
            response.append_header((name, value));
        }
        response.body(text())
    };
    let before = answer();
    for coding in Coding::ALL {
        let answer = Counted::default().ask(get(coding.as_str()), answer).await;
        assert_encoded(&answer, coding, &text());
        for name in before.headers().keys() {
            let values = before.headers().get_all(name);
            assert!(answer.headers.get_all(name).eq(values), "`{name}`");
        }
        // And the coding and what it depends on.
        assert_eq!(answer.headers.len(), before.headers().len() + 2);
    }
}
