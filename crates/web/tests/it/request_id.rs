use actix_web::{App, HttpRequest, http::StatusCode, middleware::from_fn, test, web};
use ruleiq_web::{Problem, RequestId};
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

use crate::{
    answer::{Answer, ask},
    log::Log,
};

/// Asks a handler that logs, and answers the id that it sees.
async fn ask_with(id: Option<&[u8]>) -> Answer {
    let app = App::new()
        .default_service(web::to(|request: HttpRequest| async move {
            tracing::warn!("handled");
            let id = request.headers().get("x-request-id").unwrap();
            id.to_str().unwrap().to_owned()
        }))
        .wrap(RequestId::new());
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::get();
    if let Some(id) = id {
        let id = actix_web::http::header::HeaderValue::from_bytes(id).unwrap();
        request = request.insert_header(("x-request-id", id));
    }
    ask(&app, request).await
}

#[actix_web::test]
async fn a_sane_id_is_taken() {
    let longest = "x".repeat(128);
    for id in ["a", "7f-A_z.9:1/2+3=@4", &longest] {
        let answer = ask_with(Some(id.as_bytes())).await;
        assert_eq!(answer.header("x-request-id"), Some(id));
        assert_eq!(answer.body, id.as_bytes());
    }
}

#[actix_web::test]
async fn a_missing_or_insane_id_is_replaced_by_a_uuid() {
    let too_long = "x".repeat(129);
    for id in [
        None,
        Some(&b""[..]),
        Some(b"a b"),
        Some(b"a\"b"),
        Some(b"{\"a\":1}"),
        Some(b"a\tb"),
        Some(b"caf\xc3\xa9"),
        Some(b"\xff"),
        Some(too_long.as_bytes()),
    ] {
        let answer = ask_with(id).await;
        let given = answer.header("x-request-id").unwrap();
        assert_eq!(Uuid::parse_str(given).unwrap().get_version_num(), 7);
        assert_eq!(answer.body, given.as_bytes());
    }
}

#[actix_web::test]
async fn two_requests_have_two_ids() {
    let (one, other) = (ask_with(None).await, ask_with(None).await);
    assert_ne!(one.body, other.body);
}

#[actix_web::test]
async fn every_line_has_the_id_whatever_the_level() {
    let log = Log::from(LevelFilter::WARN);
    ask_with(Some(b"here-i-am")).await;
    let lines = log.lines("handled");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["span"]["request_id"], "here-i-am");
}

#[actix_web::test]
async fn requests_that_are_served_together_keep_their_own_ids() {
    let log = Log::from(LevelFilter::WARN);
    let app = App::new()
        .default_service(web::to(|request: HttpRequest| async move {
            let path = request.path().trim_start_matches('/').to_owned();
            for _ in 0..3 {
                tokio::task::yield_now().await;
                tracing::warn!(path, "turn");
            }
            ""
        }))
        .wrap(RequestId::new());
    let app = test::init_service(app).await;
    let asked = |id: &str| {
        let request = test::TestRequest::with_uri(&format!("/{id}"));
        ask(&app, request.insert_header(("x-request-id", id)))
    };
    tokio::join!(asked("a"), asked("b"), asked("c"));

    let lines = log.lines("turn");
    assert_eq!(lines.len(), 9);
    for line in lines {
        assert_eq!(line["span"]["request_id"], line["fields"]["path"]);
    }
}

#[actix_web::test]
async fn what_a_middleware_failed_with_has_the_id_too() {
    let app = App::new()
        .default_service(web::to(|| async { "" }))
        .wrap(from_fn(
            |_, _: actix_web::middleware::Next<actix_web::body::BoxBody>| async {
                let problem = Problem::new(StatusCode::IM_A_TEAPOT, "teapot", "no coffee");
                Err::<actix_web::dev::ServiceResponse, _>(problem.into())
            },
        ))
        .wrap(RequestId::new());
    let app = test::init_service(app).await;
    let request = test::TestRequest::get().insert_header(("x-request-id", "abc"));
    let answer = ask(&app, request).await;
    assert_eq!(answer.header("x-request-id"), Some("abc"));
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (418, "teapot".into())
    );
}
