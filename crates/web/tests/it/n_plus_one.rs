use std::{
    num::NonZeroU32,
    panic::{AssertUnwindSafe, Location},
    time::Duration,
};

use actix_web::{App, HttpResponse, http::StatusCode, test, web};
use futures_util::{FutureExt as _, poll};
use prometheus::Registry;
use ruleiq_db_optimizer::n_plus_one::Detector;
use ruleiq_query::Shape;
use ruleiq_scope::{Scope, StatementRun, assert_statements};
use ruleiq_web::{
    CatchPanic, NPlusOne, NPlusOneMetrics, NPlusOneMode, Problem, RequestScope, Timing,
};
use tracing::level_filters::LevelFilter;

use crate::{
    answer::{Answer, ask},
    log::Log,
};

const MINUTE: Duration = Duration::from_secs(60);
const MESSAGE: &str = "a request ran one statement again and again";
const MODES: [NPlusOneMode; 4] = [
    NPlusOneMode::Off,
    NPlusOneMode::Header,
    NPlusOneMode::Log,
    NPlusOneMode::Fail,
];

/// Logs so many runs in the current scope, as a pool would.
#[track_caller]
fn run(sql: &str, times: u32) {
    let scope = Scope::current().unwrap();
    for _ in 0..times {
        scope.record_statement(StatementRun {
            shape: Shape::of(sql),
            call_site: Location::caller(),
            arguments: None,
            rows: 1,
            elapsed: Duration::from_millis(1),
        });
    }
}

fn by_key() {
    run("SELECT name FROM users WHERE id = 'private'", 7);
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route(
            "/clean/{id}",
            web::get().to(|| async {
                run("SELECT name FROM users WHERE id = ANY($1)", 1);
                "clean"
            }),
        )
        .route(
            "/loops/{id}",
            web::get().to(|| async {
                by_key();
                "loops"
            }),
        )
        .route(
            "/refuses",
            web::get().to(|| async {
                by_key();
                HttpResponse::NotFound().finish()
            }),
        )
        .route(
            "/fails",
            web::get().to(|| async {
                by_key();
                let problem = Problem::new(StatusCode::BAD_GATEWAY, "upstream", "is away");
                Err::<HttpResponse, _>(problem)
            }),
        )
        .route(
            "/waits",
            web::get().to(|| async {
                by_key();
                std::future::pending::<HttpResponse>().await
            }),
        )
        .route("/panics", web::get().to(panics));
}

async fn panics() -> HttpResponse {
    by_key();
    panic!("as it should");
}

/// One request through the middlewares, in this order.
macro_rules! app {
    ($n_plus_one:expr) => {
        test::init_service(
            App::new()
                .configure(routes)
                .default_service(web::to(|| async {
                    by_key();
                    HttpResponse::NotFound().finish()
                }))
                .wrap(RequestScope::new(MINUTE))
                .wrap($n_plus_one.clone())
                .wrap(CatchPanic::new()),
        )
        .await
    };
}

async fn ask_with(n_plus_one: &NPlusOne, path: &str) -> Answer {
    let app = app!(n_plus_one);
    ask(&app, test::TestRequest::with_uri(path)).await
}

#[actix_web::test]
async fn a_request_without_findings_is_the_same_in_every_mode() {
    let log = Log::from(LevelFilter::WARN);
    for mode in MODES {
        let answer = ask_with(&NPlusOne::new(mode), "/clean/1").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &b"clean"[..])
        );
        assert_eq!(answer.header("x-n-plus-one"), None);
    }
    assert!(log.lines(MESSAGE).is_empty());
}

#[actix_web::test]
async fn what_is_off_looks_at_nothing() {
    let log = Log::from(LevelFilter::WARN);
    let off = NPlusOne::new(NPlusOneMode::Off);
    let answer = ask_with(&off, "/loops/1").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"loops"[..])
    );
    assert_eq!(answer.header("x-n-plus-one"), None);
    assert!(off.told().is_empty());
    assert!(log.lines(MESSAGE).is_empty());
}

#[actix_web::test]
async fn a_header_names_kind_count_and_line() {
    let log = Log::from(LevelFilter::WARN);
    let answer = ask_with(&NPlusOne::new(NPlusOneMode::Header), "/loops/1").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"loops"[..])
    );
    let header = answer.header("x-n-plus-one").unwrap();
    let fingerprint = Shape::of("SELECT name FROM users WHERE id = 'private'").fingerprint();
    let begin = format!("n-plus-one;count=7;statement=\"{fingerprint}\";at=\"");
    assert!(header.starts_with(&begin), "{header}");
    assert!(header.contains("tests/it/n_plus_one.rs:"), "{header}");
    assert!(log.lines(MESSAGE).is_empty());
}

#[actix_web::test]
async fn a_header_has_four_findings_at_most() {
    let app = App::new()
        .default_service(web::to(|| async {
            for n in 0..9 {
                run(&format!("SELECT c{n} FROM t WHERE id = $1"), 5);
            }
            HttpResponse::Ok().finish()
        }))
        .wrap(RequestScope::new(MINUTE))
        .wrap(NPlusOne::new(NPlusOneMode::Header));
    let app = test::init_service(app).await;
    let answer = ask(&app, test::TestRequest::get()).await;
    let header = answer.header("x-n-plus-one").unwrap();
    assert_eq!(header.split(", ").count(), 4, "{header}");
}

#[actix_web::test]
async fn the_log_has_one_line_for_each_route_and_line_in_ten_minutes() {
    tokio::time::pause();
    let log = Log::from(LevelFilter::WARN);
    let n_plus_one = NPlusOne::new(NPlusOneMode::Log);
    for _ in 0..3 {
        let answer = ask_with(&n_plus_one, "/loops/1").await;
        assert_eq!(answer.header("x-n-plus-one"), None);
        ask_with(&n_plus_one, "/refuses").await;
    }
    let lines = log.lines(MESSAGE);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let fields = &lines[0]["fields"];
    assert_eq!(fields["route"], "/loops/{id}");
    assert_eq!(fields["kind"], "n-plus-one");
    assert_eq!(fields["count"], 7);
    assert_eq!(fields["statement"], "select name from users where id = ?");
    assert_eq!(
        fields["advice"],
        "read for all keys at once: select name from users where id = any(?)"
    );
    let call_site = fields["call_site"].as_str().unwrap();
    assert!(call_site.contains("tests/it/n_plus_one.rs:"), "{call_site}");
    assert!(!lines[0].to_string().contains("private"), "{}", lines[0]);

    tokio::time::advance(10 * MINUTE).await;
    ask_with(&n_plus_one, "/loops/1").await;
    assert_eq!(log.lines(MESSAGE).len(), 3);
    let told = n_plus_one.told();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].route.as_deref(), Some("/loops/{id}"));
    assert_eq!((told[0].requests, told[0].most), (4, 7));
}

#[actix_web::test]
async fn fail_answers_with_the_report_in_the_place_of_what_was_no_failure() {
    let fail = NPlusOne::new(NPlusOneMode::Fail);
    for path in ["/loops/1", "/refuses"] {
        let answer = ask_with(&fail, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (500, "n_plus_one".into())
        );
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        let route = path.replace('1', "{id}");
        assert!(detail.starts_with(&route), "{detail}");
        assert!(detail.contains("7 × from "), "{detail}");
        assert!(detail.contains("where id = any(?)"), "{detail}");
        assert!(!detail.contains("private"), "{detail}");
    }
    let answer = ask_with(&fail, "/fails").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (502, "upstream".into())
    );
}

#[actix_web::test]
async fn requests_that_panic_are_dropped_or_late_are_counted_too() {
    tokio::time::pause();
    let registry = Registry::new();
    let metrics = NPlusOneMetrics::register(&registry).unwrap();
    let n_plus_one = NPlusOne::with(NPlusOneMode::Header, Detector::default(), metrics);
    let app = app!(n_plus_one);

    let answer = ask(&app, test::TestRequest::with_uri("/panics")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (500, "internal".into())
    );
    let late = ask(&app, test::TestRequest::with_uri("/waits")).await;
    assert_eq!(
        (late.status.as_u16(), late.code()),
        (504, "deadline_exceeded".into())
    );
    assert!(late.header("x-n-plus-one").is_some());
    let mut dropped = ask(&app, test::TestRequest::with_uri("/waits"));
    assert!(poll!(&mut dropped).is_pending());
    drop(dropped);
    for n in 0..3 {
        ask(&app, test::TestRequest::with_uri(&format!("/made/up/{n}"))).await;
    }

    assert_eq!(
        counted(&registry),
        [("/panics", 1.0), ("/waits", 2.0), ("unmatched", 3.0)].map(|(it, n)| (it.to_owned(), n))
    );
}

/// The findings of each route.
fn counted(registry: &Registry) -> Vec<(String, f64)> {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|it| it.name() == "ruleiq_web_n_plus_one_total")
        .unwrap();
    let series = family.get_metric().iter().map(|it| {
        let labels = it.get_label();
        let kind = labels.iter().find(|it| it.name() == "kind").unwrap();
        assert_eq!(kind.value(), "n-plus-one");
        let route = labels.iter().find(|it| it.name() == "route").unwrap();
        let count = it.get_counter().get_value();
        (route.value().to_owned(), count)
    });
    series.collect()
}

#[actix_web::test]
async fn without_catch_panic_a_panic_goes_on() {
    let n_plus_one = NPlusOne::new(NPlusOneMode::Fail);
    let app = App::new()
        .configure(routes)
        .wrap(RequestScope::new(MINUTE))
        .wrap(n_plus_one.clone());
    let app = test::init_service(app).await;
    let answer = ask(&app, test::TestRequest::with_uri("/panics"));
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_err();
    assert_eq!(n_plus_one.told().len(), 1);
}

#[actix_web::test]
async fn without_a_scope_nothing_is_found() {
    let app = App::new()
        .default_service(web::to(|| async { "no scope" }))
        .wrap(NPlusOne::new(NPlusOneMode::Fail));
    let app = test::init_service(app).await;
    assert_eq!(ask(&app, test::TestRequest::get()).await.status, 200);
}

#[actix_web::test]
async fn the_threshold_is_the_detectors() {
    for (threshold, status) in [(7, 500), (8, 200)] {
        let detector = Detector::new(NonZeroU32::new(threshold).unwrap());
        let metrics = NPlusOneMetrics::default();
        let n_plus_one = NPlusOne::with(NPlusOneMode::Fail, detector, metrics);
        let answer = ask_with(&n_plus_one, "/loops/1").await;
        assert_eq!(answer.status, status, "{threshold}");
    }
}

#[actix_web::test]
async fn timing_outside_of_it_still_finds_the_scope() {
    let app = App::new()
        .configure(routes)
        .wrap(RequestScope::new(MINUTE))
        .wrap(NPlusOne::new(NPlusOneMode::Header))
        .wrap(Timing::new(ruleiq_metrics::Metrics::new()));
    let app = test::init_service(app).await;
    let answer = ask(&app, test::TestRequest::with_uri("/loops/1")).await;
    assert!(answer.header("x-n-plus-one").is_some());
    let parts = answer.header("server-timing").unwrap();
    assert!(parts.contains("db;dur=7.000"), "{parts}");
}

#[actix_web::test]
async fn a_scope_within_a_scope_is_the_one_that_is_looked_at() {
    let app = App::new()
        .service(
            web::scope("/api")
                .configure(routes)
                .wrap(RequestScope::new(MINUTE)),
        )
        .wrap(RequestScope::new(MINUTE))
        .wrap(NPlusOne::new(NPlusOneMode::Fail));
    let app = test::init_service(app).await;
    let answer = ask(&app, test::TestRequest::with_uri("/api/loops/1")).await;
    assert_eq!(answer.code(), "n_plus_one");
}

#[actix_web::test]
async fn a_test_counts_the_statements_of_a_request() {
    let app = app!(NPlusOne::new(NPlusOneMode::Off));
    let answer = assert_statements!(exact = 7, {
        ask(&app, test::TestRequest::with_uri("/loops/1")).await
    });
    assert_eq!(answer.status, 200);
}

#[actix_web::test]
async fn findings_beyond_those_that_are_kept_are_counted() {
    let log = Log::from(LevelFilter::WARN);
    let registry = Registry::new();
    let metrics = NPlusOneMetrics::register(&registry).unwrap();
    let n_plus_one = NPlusOne::with(NPlusOneMode::Log, Detector::default(), metrics);
    let app = App::new()
        .default_service(web::to(
            |query: web::Query<Vec<(String, u32)>>| async move {
                let first = query[0].1;
                for n in first..first + 250 {
                    run(&format!("SELECT c{n} FROM t WHERE id = $1"), 5);
                }
                HttpResponse::Ok().finish()
            },
        ))
        .wrap(RequestScope::new(MINUTE))
        .wrap(n_plus_one.clone());
    let app = test::init_service(app).await;
    for first in [0, 250, 500, 750, 1_000] {
        let request = test::TestRequest::with_uri(&format!("/?first={first}"));
        assert_eq!(ask(&app, request).await.status, 200);
    }
    assert_eq!(n_plus_one.told().len(), 1_024);
    assert_eq!(log.lines(MESSAGE).len(), 1_024);
    assert_eq!(counted(&registry), [("unmatched".to_owned(), 1_250.0)]);
}
