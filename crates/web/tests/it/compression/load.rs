//! What is compressed while there is much to do.

use actix_web::{HttpResponse, body::BodyStream, http::Method, test::TestRequest};
use futures_util::stream;
use ruleiq_compression::{Coding, Config, Load, LoadHandle, Preference};
use ruleiq_web::{CompressionMiddleware, ContentHash};

use super::{Counted, assert_encoded, assert_identity, get, json, text, unhurried};

/// A middleware that is told how much there is to do.
fn told(load: &LoadHandle, config: Config) -> Counted {
    let builder = CompressionMiddleware::builder()
        .config(config)
        .load(load.clone());
    Counted::new(builder)
}

fn at(load: Load) -> Counted {
    let handle = LoadHandle::default();
    handle.set(load);
    told(&handle, Config::default())
}

/// A request, and what encodes its answer at each load.
async fn coding(counted: &Counted, accept: &str) -> Option<String> {
    let answer = counted.ask(get(accept), || json(text())).await;
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    answer.header("content-encoding").map(str::to_owned)
}

#[actix_web::test]
async fn each_step_takes_less_and_what_was_taken_comes_back() {
    let load = LoadHandle::default();
    let counted = told(&load, Config::default());
    let all = "br, zstd, gzip";
    assert_eq!(coding(&counted, all).await.as_deref(), Some("br"));
    load.set(Load::High);
    assert_eq!(coding(&counted, all).await.as_deref(), Some("zstd"));
    // What the client likes best is not less liked now.
    let answer = coding(&counted, "br, zstd;q=0.5").await;
    assert_eq!(answer.as_deref(), Some("br"));
    load.set(Load::Overload);
    assert_eq!(coding(&counted, all).await, None);
    assert_eq!(counted.skips(), [("load".into(), 1)]);
    load.set(Load::Normal);
    assert_eq!(coding(&counted, all).await.as_deref(), Some("br"));
    assert_eq!(counted.responses("br", "first"), 2);
    assert_eq!(counted.responses("br", "load"), 1);
    assert_eq!(counted.responses("zstd", "load"), 1);
}

#[actix_web::test]
async fn who_refuses_a_body_as_it_is_gets_it_encoded_however_much_there_is_to_do() {
    let counted = at(Load::Overload);
    let accept = "zstd, br, identity;q=0";
    assert_eq!(coding(&counted, accept).await.as_deref(), Some("zstd"));
    assert!(counted.skips().is_empty());
}

#[actix_web::test]
async fn a_head_is_answered_as_its_get_would_be() {
    for (load, coding) in [(Load::High, Some("zstd")), (Load::Overload, None)] {
        let counted = at(load);
        let head = get("br, zstd").method(Method::HEAD);
        let answer = counted.ask(head, || json(text())).await;
        assert_eq!(answer.header("content-encoding"), coding, "{load:?}");
    }
    let load = LoadHandle::default();
    let counted = told(&load, Config::default());
    counted.ask(get("br, zstd"), marked).await;
    load.set(Load::Overload);
    let head = get("br, zstd").method(Method::HEAD);
    let answer = counted.ask(head, marked).await;
    assert_eq!(
        answer.header("content-encoding"),
        Some("br"),
        "it is remembered"
    );
}

fn marked() -> HttpResponse {
    let mut response = json(text());
    response.extensions_mut().insert(ContentHash(7));
    response
}

#[actix_web::test]
async fn a_stream_that_begins_under_load_is_cheaper_or_left_alone() {
    let answer = || {
        let pieces = stream::iter([text(), text()].map(Ok::<_, std::io::Error>));
        HttpResponse::Ok()
            .content_type("text/event-stream")
            .body(BodyStream::new(pieces))
    };
    for (load, coding) in [
        (Load::Normal, Some("br")),
        (Load::High, Some("zstd")),
        (Load::Overload, None),
    ] {
        let counted = at(load);
        let answer = counted.ask(get("br, zstd"), answer).await;
        assert_eq!(answer.header("content-encoding"), coding, "{load:?}");
    }
}

#[actix_web::test]
async fn what_is_remembered_is_sent_however_much_there_is_to_do() {
    let load = LoadHandle::default();
    let counted = told(&load, Config::default());
    let accept = "br, zstd";
    // Nothing is remembered yet.
    load.set(Load::Overload);
    assert_identity(&counted.ask(get(accept), marked).await, &text());
    load.set(Load::Normal);
    assert_encoded(
        &counted.ask(get(accept), marked).await,
        Coding::Brotli,
        &text(),
    );
    for level in [Load::High, Load::Overload] {
        load.set(level);
        assert_encoded(
            &counted.ask(get(accept), marked).await,
            Coding::Brotli,
            &text(),
        );
    }
    // Of a client without brotli there is nothing, until it was encoded for one, be it in the cheapest way.
    let plain = "gzip, zstd";
    assert_identity(&counted.ask(get("gzip"), marked).await, &text());
    assert_identity(&counted.ask(get(plain), marked).await, &text());
    load.set(Load::High);
    assert_encoded(
        &counted.ask(get(plain), marked).await,
        Coding::Zstd,
        &text(),
    );
    load.set(Load::Overload);
    assert_encoded(
        &counted.ask(get(plain), marked).await,
        Coding::Zstd,
        &text(),
    );
    let memo = counted.counts("memo");
    assert_eq!(memo, [("hit".into(), 3), ("miss".into(), 2)]);
}

#[actix_web::test]
async fn a_load_is_not_looked_at_where_the_configuration_says_so() {
    let load = LoadHandle::default();
    load.set(Load::Overload);
    let config = Config {
        load_aware: false,
        ..Config::default()
    };
    let counted = told(&load, config);
    assert_eq!(coding(&counted, "br, zstd").await.as_deref(), Some("br"));
}

#[actix_web::test]
async fn workers_are_counted_by_their_load_as_long_as_they_are_there() {
    let load = LoadHandle::default();
    load.set(Load::High);
    let counted = told(&load, Config::default());
    let app = actix_web::test::init_service(
        actix_web::App::new()
            .default_service(actix_web::web::to(|| async { json(text()) }))
            .wrap(counted.middleware.clone()),
    )
    .await;
    let workers = |load: &str| counted.workers(load);
    assert_eq!((workers("normal"), workers("high")), (1, 0));
    crate::answer::ask(&app, get("br")).await;
    assert_eq!((workers("normal"), workers("high")), (0, 1));
    drop(app);
    assert_eq!((workers("normal"), workers("high")), (0, 0));
}

#[actix_web::test]
async fn a_path_has_levels_and_a_preference_of_its_own() {
    let config = serde_json::from_value(serde_json::json!({
        "routes": [
            {"path": "/reports", "brotli_level": 6},
            {"path": "/reports/live", "preference": "cheapest"},
        ]
    }));
    let counted = Counted::new(unhurried().config(config.unwrap()));
    let tagged = || {
        let mut response = json(text());
        let tag = "\"a\"".parse().unwrap();
        response.headers_mut().insert("etag".parse().unwrap(), tag);
        response
    };
    for (path, tag) in [
        ("/", "\"a-br4\""),
        ("/reports", "\"a-br6\""),
        ("/reports/2026", "\"a-br6\""),
        ("/reportsx", "\"a-br4\""),
        ("/reports/live", "\"a-zstd1\""),
    ] {
        let request = TestRequest::get()
            .uri(path)
            .insert_header(("accept-encoding", "br, zstd"));
        let answer = counted.ask(request, tagged).await;
        assert_eq!(answer.header("etag"), Some(tag), "{path}");
    }
}

#[actix_web::test]
async fn the_cheapest_comes_first_where_that_is_preferred() {
    let config = Config {
        preference: Preference::Cheapest,
        ..Config::default()
    };
    let counted = Counted::new(unhurried().config(config));
    let all = coding(&counted, "br, zstd, gzip").await;
    assert_eq!(all.as_deref(), Some("zstd"));
    let liked = coding(&counted, "br, zstd;q=0.9").await;
    assert_eq!(
        liked.as_deref(),
        Some("br"),
        "what the client likes best goes first"
    );
}
