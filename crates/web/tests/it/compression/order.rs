//! Beside other middlewares, and beside itself.

use actix_web::{
    App, HttpRequest, HttpResponse,
    body::{BodySize, BodyStream},
    dev::ServiceResponse,
    http::{
        Method, StatusCode,
        header::{ETag, EntityTag, Header as _, IfNoneMatch},
    },
    middleware::{DefaultHeaders, ErrorHandlerResponse, ErrorHandlers, Logger, NormalizePath},
    test, web,
};
use bytes::Bytes;
use futures_util::stream::iter;
use ruleiq_compression::{Coding, Config};
use ruleiq_web::{ContentHash, Uncompressed};

use super::{
    Counted, assert_encoded, assert_identity, assert_untouched, encoded, get, json,
    streams::stream, text, unhurried,
};
use crate::answer::ask;

fn offering(coding: Coding) -> Counted {
    let config = Config {
        codings: vec![coding],
        ..Config::default()
    };
    Counted::new(unhurried().config(config))
}

/// A list with a tag, or 304.
async fn tagged(request: HttpRequest) -> HttpResponse {
    let tag = EntityTag::new_strong("abc".into());
    let is_known = match IfNoneMatch::parse(&request).unwrap() {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(known) => known.iter().any(|it| it.weak_eq(&tag)),
    };
    if is_known {
        return HttpResponse::NotModified()
            .insert_header(ETag(tag))
            .finish();
    }
    let mut response = json(text());
    let tag = tag.to_string().parse().unwrap();
    response.headers_mut().insert("etag".parse().unwrap(), tag);
    response.extensions_mut().insert(ContentHash(1));
    response
}

async fn streamed() -> HttpResponse {
    json(BodyStream::new(iter([Ok::<_, actix_web::Error>(text())])))
}

/// What is sent of the text as a stream.
fn streamed_as(coding: Coding) -> Vec<u8> {
    let (mut encoder, mut encoded) = (stream(coding), Vec::new());
    encoder.write(&text(), &mut encoded).unwrap();
    encoder.finish(&mut encoded).unwrap();
    encoded
}

#[actix_web::test]
async fn of_two_the_inner_one_encodes_and_the_outer_one_leaves_it() {
    for coding in Coding::ALL {
        // The client likes all of them, and the outer one has another favourite.
        let (inner, outer) = (offering(coding), Counted::default());
        let scope = web::scope("/inner")
            .route("/whole", web::to(tagged))
            .route("/stream", web::to(streamed))
            .wrap(inner.middleware.clone());
        let app = App::new().service(scope).wrap(outer.middleware.clone());
        let app = test::init_service(app).await;
        let own = format!(
            "\"abc-{}\"",
            match coding {
                Coding::Brotli => "br4",
                Coding::Zstd => "zstd1",
                Coding::Gzip => "gzip4",
            }
        );
        for accepts in ["br, zstd, gzip", "*, identity;q=0"] {
            let whole = || get(accepts).uri("/inner/whole");
            for _ in 0..2 {
                let answer = ask(&app, whole()).await;
                assert_encoded(&answer, coding, &text());
                assert_eq!(answer.header("etag"), Some(&*own));
            }
            let head = ask(&app, whole().method(Method::HEAD)).await;
            assert_eq!(head.all("content-encoding"), [coding.as_str()]);
            assert_eq!(head.all("vary"), ["Accept-Encoding"]);
            let again = ask(&app, whole().insert_header(("if-none-match", &*own))).await;
            assert_eq!(
                (again.status, again.header("etag")),
                (StatusCode::NOT_MODIFIED, Some(&*own))
            );
            assert_eq!(again.all("vary"), ["Accept-Encoding"]);

            let answer = ask(&app, get(accepts).uri("/inner/stream")).await;
            assert_eq!(answer.all("content-encoding"), [coding.as_str()]);
            assert_eq!(answer.all("vary"), ["Accept-Encoding"]);
            assert_eq!(answer.body, streamed_as(coding));
        }
        assert!(outer.counts("responses").is_empty());
        assert!(outer.counts("memo").is_empty());
        assert_eq!(inner.counts("responses"), [(coding.as_str().into(), 6)]);
    }
}

#[actix_web::test]
async fn what_the_inner_one_leaves_the_outer_one_encodes() {
    let (inner, outer) = (offering(Coding::Gzip), Counted::default());
    let scope = web::scope("/inner")
        .default_service(web::to(tagged))
        .wrap(inner.middleware.clone());
    let app = App::new().service(scope).wrap(outer.middleware.clone());
    let app = test::init_service(app).await;
    let answer = ask(&app, get("br").uri("/inner/x")).await;
    assert_encoded(&answer, Coding::Brotli, &text());
    assert_eq!(answer.header("etag"), Some("\"abc-br4\""));
    let again = get("br")
        .uri("/inner/x")
        .insert_header(("if-none-match", "\"abc-br4\""));
    let again = ask(&app, again).await;
    assert_eq!(
        (again.status, again.header("etag")),
        (StatusCode::NOT_MODIFIED, Some("\"abc-br4\""))
    );
    let answer = ask(&app, get("identity").uri("/inner/x")).await;
    assert_identity(&answer, &text());
}

#[actix_web::test]
async fn what_must_not_be_encoded_is_left_by_both() {
    let (inner, outer) = (Counted::default(), Counted::default());
    let marked = || async {
        let mut response = json(text());
        response.extensions_mut().insert(Uncompressed);
        response
    };
    let scope = web::scope("/inner")
        .default_service(web::to(marked))
        .wrap(inner.middleware.clone());
    let app = App::new().service(scope).wrap(outer.middleware.clone());
    let app = test::init_service(app).await;
    let answer = ask(&app, get("br").uri("/inner/x")).await;
    assert_untouched(&answer, &text());
    assert_eq!(inner.skips(), [("opt_out".into(), 1)]);
    assert_eq!(outer.skips(), [("opt_out".into(), 1)]);
}

#[actix_web::test]
async fn those_outside_of_it_may_read_and_change_the_request() {
    let counted = Counted::new(unhurried().exclude_paths(["/static"]));
    let app = App::new()
        .default_service(web::to(tagged))
        .wrap(counted.middleware.clone())
        .wrap(DefaultHeaders::new().add(("x-outer", "1")))
        .wrap(ErrorHandlers::new().default_handler(|response| {
            let response = response.map_into_left_body();
            Ok(ErrorHandlerResponse::Response(response))
        }))
        .wrap(Logger::default())
        .wrap(NormalizePath::trim());
    let app = test::init_service(app).await;
    let answer = ask(&app, get("br")).await;
    assert_encoded(&answer, Coding::Brotli, &text());
    assert_eq!(answer.header("x-outer"), Some("1"));
    // None of them holds the request, whose condition is changed.
    let again = get("br").insert_header(("if-none-match", "\"abc-br4\""));
    let again = ask(&app, again).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.header("etag"), Some("\"abc-br4\""));
    // The path is the one that the handler has.
    for uri in ["//static///x/", "/static//", "/static/x/?y=/z"] {
        let answer = ask(&app, get("br").uri(uri)).await;
        assert_untouched(&answer, &text());
    }
}

#[actix_web::test]
async fn what_those_inside_of_it_do_to_a_response_is_done_before() {
    let counted = Counted::default();
    let other: Bytes = text().repeat(2).into();
    let replacement = other.clone();
    let app = App::new()
        .route("/text", web::to(tagged))
        .default_service(web::to(HttpResponse::NotFound))
        .wrap(ErrorHandlers::new().default_handler(move |response| {
            let (request, _) = response.into_parts();
            let response = json(replacement.clone()).map_into_right_body();
            let response = ServiceResponse::new(request, response);
            Ok(ErrorHandlerResponse::Response(response))
        }))
        .wrap(DefaultHeaders::new().add(("vary", "Origin")))
        .wrap(counted.middleware.clone());
    let app = test::init_service(app).await;
    for (uri, body) in [("/text", &text()), ("/missing", &other)] {
        let answer = ask(&app, get("zstd").uri(uri)).await;
        assert_eq!(answer.header("content-encoding"), Some("zstd"));
        assert_eq!(answer.all("vary"), ["Origin", "Accept-Encoding"]);
        assert_eq!(answer.body, encoded(Coding::Zstd, body));
    }
    let forbidding = App::new()
        .default_service(web::to(tagged))
        .wrap(DefaultHeaders::new().add(("cache-control", "no-transform")))
        .wrap(counted.middleware.clone());
    let app = test::init_service(forbidding).await;
    assert_untouched(&ask(&app, get("zstd")).await, &text());
}

/// Counting what is sent of it, it gives no body as a whole.
#[actix_web::test]
async fn what_a_log_inside_of_it_counts_is_encoded_as_a_stream() {
    let counted = Counted::default();
    let app = App::new()
        .default_service(web::to(tagged))
        .wrap(Logger::default())
        .wrap(counted.middleware.clone());
    let app = test::init_service(app).await;
    for coding in Coding::ALL {
        let answer = ask(&app, get(coding.as_str())).await;
        assert_eq!(answer.header("content-encoding"), Some(coding.as_str()));
        assert_eq!(answer.size, BodySize::Stream);
        let tag = answer.header("etag").unwrap();
        assert!(tag.starts_with("W/\"abc-"), "{tag}");
        assert_eq!(answer.body, streamed_as(coding));
    }
    let answer = ask(&app, get("identity")).await;
    assert_identity(&answer, &text());
}

#[actix_web::test]
async fn in_a_scope_paths_are_those_of_the_whole_app_however_they_are_written() {
    let builder = unhurried().exclude_paths(["/api/raw", "/text"]);
    let counted = Counted::new(builder);
    let scope = web::scope("/api")
        .route("/raw/{name}", web::to(tagged))
        .default_service(web::to(tagged))
        .wrap(counted.middleware.clone());
    let app = test::init_service(App::new().service(scope)).await;
    for uri in [
        "/api/raw",
        "/api/raw/",
        "/api/raw/x",
        "/api/raw?x=/api",
        "/api/raw/x%2f?y",
        "/api/r%61w",
        "/%61pi/raw/x",
        "http://host/api/raw",
    ] {
        let answer = ask(&app, get("br").uri(uri)).await;
        assert_untouched(&answer, &text());
    }
    for uri in [
        "/api/text",
        "/api/rawer",
        "/api/raw%2fx",
        "/api//raw",
        "/api/?x=/api/raw",
    ] {
        let answer = ask(&app, get("br").uri(uri)).await;
        assert_encoded(&answer, Coding::Brotli, &text());
    }
}
