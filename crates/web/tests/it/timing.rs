use std::{
    future::{pending, ready},
    panic::{AssertUnwindSafe, Location},
    time::Duration,
};

use actix_web::{
    App, HttpResponse,
    body::BoxBody,
    dev::ServiceResponse,
    http::{Method, StatusCode},
    middleware::{Next, from_fn},
    test::{self, TestRequest},
    web,
};
use futures_util::{FutureExt as _, poll};
use ruleiq_metrics::Metrics;
use ruleiq_query::Shape;
use ruleiq_scope::{Scope, StatementRun};
use ruleiq_web::{Problem, RequestId, RequestScope, Timing};
use tracing::level_filters::LevelFilter;

use crate::{
    answer::{Answer, ask},
    log::Log,
};

const SECOND: Duration = Duration::from_secs(1);

fn routes(config: &mut web::ServiceConfig) {
    let scope = web::scope("/api")
        .service(
            web::resource("/users/{id}")
                .route(web::get().to(|| ready(HttpResponse::Ok())))
                .route(web::delete().to(|| ready(HttpResponse::NotFound())))
                .route(web::post().to(|| ready(HttpResponse::InternalServerError())))
                .route(web::put().to(pending::<HttpResponse>)),
        )
        .route(
            "/panics",
            web::get().to(|| async { panic!("as told") as HttpResponse }),
        )
        .route(
            "/slow",
            web::get().to(|| async {
                tokio::time::sleep(2 * SECOND).await;
                ""
            }),
        );
    config.service(scope);
}

async fn ask_all(timing: Timing, requests: impl IntoIterator<Item = TestRequest>) -> Vec<Answer> {
    let app = App::new().configure(routes).wrap(timing);
    let app = test::init_service(app).await;
    let mut answers = Vec::new();
    for request in requests {
        answers.push(ask(&app, request).await);
    }
    answers
}

/// Name, count, errors, cancelled.
fn recorded(metrics: &Metrics) -> Vec<(String, u64, u64, u64)> {
    let summary = metrics.summary().into_iter();
    summary
        .map(|it| (it.operation, it.count, it.errors, it.cancelled))
        .collect()
}

#[actix_web::test]
async fn an_operation_is_a_method_and_a_template() {
    let metrics = Metrics::new();
    let request = |method, uri| TestRequest::with_uri(uri).method(method);
    let requests = [
        request(Method::GET, "/api/users/1"),
        request(Method::GET, "/api/users/2?page=1"),
        request(Method::DELETE, "/api/users/3"),
        request(Method::POST, "/api/users/4"),
        // Not allowed, which is the client's mistake.
        request(Method::PATCH, "/api/users/5"),
    ];
    let answers = ask_all(Timing::new(metrics.clone()), requests).await;
    assert_eq!(answers[4].status, 405);
    let expect = [
        ("DELETE /api/users/{id}".into(), 1, 0, 0),
        ("GET /api/users/{id}".into(), 2, 0, 0),
        ("PATCH /api/users/{id}".into(), 1, 0, 0),
        ("POST /api/users/{id}".into(), 1, 1, 0),
    ];
    assert_eq!(recorded(&metrics), expect);
}

#[actix_web::test]
async fn a_client_cannot_make_operations() {
    let metrics = Metrics::new();
    let mut requests = Vec::new();
    for n in 0..20 {
        requests.push(TestRequest::with_uri(&format!("/nope/{n}")));
        requests.push(TestRequest::with_uri(&format!("/api/nope/{n}")));
        let made_up = Method::from_bytes(format!("M{n}").as_bytes()).unwrap();
        requests.push(TestRequest::with_uri("/api/users/1").method(made_up));
    }
    requests.push(TestRequest::with_uri("/api/us%65rs/1"));
    ask_all(Timing::new(metrics.clone()), requests).await;
    let expect = [
        ("GET /api/users/{id}".into(), 1, 0, 0),
        ("_OTHER /api/users/{id}".into(), 20, 0, 0),
        ("unmatched".into(), 40, 0, 0),
    ];
    assert_eq!(recorded(&metrics), expect);
}

#[actix_web::test]
async fn a_request_that_is_dropped_counts_as_cancelled() {
    let metrics = Metrics::new();
    let app = App::new()
        .configure(routes)
        .wrap(Timing::new(metrics.clone()));
    let app = test::init_service(app).await;
    let mut answer = ask(&app, TestRequest::put().uri("/api/users/1"));
    assert!(poll!(&mut answer).is_pending());
    assert!(recorded(&metrics).is_empty());
    drop(answer);
    assert_eq!(
        recorded(&metrics),
        [("PUT /api/users/{id}".into(), 1, 0, 1)]
    );
}

#[actix_web::test]
async fn a_panic_counts_as_an_error() {
    let metrics = Metrics::new();
    let app = App::new()
        .configure(routes)
        .wrap(Timing::new(metrics.clone()));
    let app = test::init_service(app).await;
    let answer = ask(&app, TestRequest::with_uri("/api/panics"));
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_err();
    assert_eq!(recorded(&metrics), [("GET /api/panics".into(), 1, 1, 0)]);
}

#[actix_web::test]
async fn a_deadline_counts_as_an_error_and_has_the_headers() {
    tokio::time::pause();
    let metrics = Metrics::new();
    let app = App::new()
        .configure(routes)
        .wrap(RequestScope::new(SECOND))
        .wrap(Timing::new(metrics.clone()));
    let app = test::init_service(app).await;
    let answer = ask(&app, TestRequest::put().uri("/api/users/1")).await;
    assert_eq!(answer.code(), "deadline_exceeded");
    assert_eq!(
        recorded(&metrics),
        [("PUT /api/users/{id}".into(), 1, 1, 0)]
    );
    assert!(answer.header("x-process-time").is_some());
    // The scope is known although the request is gone.
    let parts = answer.header("server-timing").unwrap();
    assert!(parts.contains("queue;dur="), "{parts}");
}

#[actix_web::test]
async fn what_a_middleware_failed_with_is_counted_by_its_status_and_answered_once() {
    for (status, errors) in [(StatusCode::UNAUTHORIZED, 0), (StatusCode::BAD_GATEWAY, 1)] {
        let metrics = Metrics::new();
        let fails = move |_, _: Next<BoxBody>| {
            let problem = Problem::new(status, "inner", "as told");
            ready(Err::<ServiceResponse, actix_web::Error>(problem.into()))
        };
        let app = App::new()
            .configure(routes)
            .wrap(from_fn(fails))
            .wrap(Timing::new(metrics.clone()));
        let app = test::init_service(app).await;
        let answer = ask(&app, TestRequest::with_uri("/api/users/1")).await;
        assert_eq!((answer.status, answer.code()), (status, "inner".into()));
        assert!(answer.header("x-process-time").is_some());
        assert_eq!(
            recorded(&metrics),
            [("GET /api/users/{id}".into(), 1, errors, 0)]
        );
    }
}

#[actix_web::test]
async fn the_client_is_told_where_the_time_went() {
    let app = App::new()
        .default_service(web::to(|| async {
            let scope = Scope::current().unwrap();
            scope.record_queue(Duration::from_micros(12_500));
            scope.record_cache(Duration::from_millis(3));
            scope.record_statement(StatementRun {
                shape: Shape::of("SELECT 1"),
                call_site: Location::caller(),
                arguments: None,
                rows: 1,
                elapsed: Duration::from_millis(7),
            });
            HttpResponse::Ok()
                .insert_header(("server-timing", "render;dur=1"))
                .finish()
        }))
        .wrap(RequestScope::new(SECOND))
        .wrap(Timing::new(Metrics::new()));
    let app = test::init_service(app).await;
    let answer = ask(&app, TestRequest::get()).await;

    let seconds = answer.header("x-process-time").unwrap();
    assert!(seconds.parse::<f64>().unwrap() > 0.0, "{seconds}");
    let parts = answer.all("server-timing");
    assert_eq!(parts[0], "render;dur=1");
    let (total, rest) = parts[1].split_once(", ").unwrap();
    let total = total.strip_prefix("total;dur=").unwrap();
    assert!(total.parse::<f64>().unwrap() > 0.0, "{total}");
    assert_eq!(rest, "queue;dur=12.500, db;dur=7.000, cache;dur=3.000");
}

#[actix_web::test]
async fn without_a_scope_there_is_a_total_only() {
    let requests = [TestRequest::with_uri("/api/users/1")];
    let answers = ask_all(Timing::new(Metrics::new()), requests).await;
    let parts = answers[0].header("server-timing").unwrap();
    assert!(
        parts.starts_with("total;dur=") && !parts.contains(','),
        "{parts}"
    );
}

#[actix_web::test]
async fn a_slow_request_is_logged_with_its_id_and_without_its_query() {
    tokio::time::pause();
    let log = Log::from(LevelFilter::WARN);
    let app = App::new()
        .configure(routes)
        .wrap(Timing::new(Metrics::new()))
        .wrap(RequestId::new());
    let app = test::init_service(app).await;
    let request = TestRequest::with_uri("/api/slow?token=secret");
    ask(&app, request.insert_header(("x-request-id", "abc"))).await;
    ask(&app, TestRequest::with_uri("/api/users/1")).await;

    let lines = log.lines("slow request");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (fields, span) = (&lines[0]["fields"], &lines[0]["span"]);
    assert_eq!(lines[0]["level"], "WARN");
    assert_eq!(
        (&fields["method"], &fields["path"], &fields["status"]),
        (&"GET".into(), &"/api/slow".into(), &200.into()),
    );
    assert!(fields["elapsed_ms"].as_f64().unwrap() >= 2000.0, "{fields}");
    assert_eq!(span["request_id"], "abc");
    assert!(!lines[0].to_string().contains("secret"));
}

#[actix_web::test]
async fn a_request_at_the_threshold_is_slow_and_one_below_is_not() {
    let log = Log::from(LevelFilter::WARN);
    let ask_with = async |threshold| {
        let timing = Timing::new(Metrics::new()).slow_threshold(threshold);
        ask_all(timing, [TestRequest::with_uri("/api/users/1")]).await;
        log.lines("slow request").len()
    };
    assert_eq!(ask_with(Duration::MAX).await, 0);
    assert_eq!(ask_with(Duration::ZERO).await, 1);
}

#[actix_web::test]
async fn a_slow_request_whose_client_gave_up_is_logged_too() {
    tokio::time::pause();
    let log = Log::from(LevelFilter::WARN);
    let app = App::new()
        .configure(routes)
        .wrap(Timing::new(Metrics::new()))
        .wrap(RequestId::new());
    let app = test::init_service(app).await;
    let request = TestRequest::put().uri("/api/users/1");
    let mut answer = ask(&app, request.insert_header(("x-request-id", "abc")));
    assert!(poll!(&mut answer).is_pending());
    tokio::time::advance(2 * SECOND).await;
    drop(answer);

    let lines = log.lines("slow request was given up by its client");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["fields"]["path"], "/api/users/1");
    assert_eq!(lines[0]["span"]["request_id"], "abc");
}
