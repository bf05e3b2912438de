use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use actix_web::{
    App, HttpResponse,
    dev::Service as _,
    http::StatusCode,
    test::{TestRequest, init_service},
    web,
};
use ruleiq_metrics::Metrics;
use ruleiq_web::{CatchPanic, RequestId, Timing};

use crate::answer::ask;

/// Counts that it was dropped.
struct Held(Arc<AtomicU32>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[actix_web::test]
async fn a_request_that_panicked_is_answered_and_lets_go_of_what_it_held() {
    let dropped = Arc::new(AtomicU32::new(0));
    let held = Arc::clone(&dropped);
    let handler = move || {
        let held = Held(Arc::clone(&held));
        async move {
            tokio::task::yield_now().await;
            let _held = held;
            panic!("with a secret") as HttpResponse
        }
    };
    let metrics = Metrics::new();
    let app = App::new()
        .route("/panics", web::get().to(handler))
        .route("/works", web::get().to(HttpResponse::Ok))
        .wrap(CatchPanic::new())
        .wrap(Timing::new(metrics.clone()))
        .wrap(RequestId::new());
    let app = init_service(app).await;

    let answer = ask(&app, TestRequest::with_uri("/panics")).await;

    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.code(), "internal");
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(dropped.load(Relaxed), 1);
    assert_eq!(metrics.summary()[0].errors, 1);
    let answer = ask(&app, TestRequest::with_uri("/works")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[actix_web::test]
async fn a_service_that_panics_before_it_answers_with_a_future_is_answered_for_too() {
    let app = App::new()
        .wrap_fn(|request, service| {
            assert!(request.path() != "/panics", "as told");
            service.call(request)
        })
        .wrap(CatchPanic::new());
    let app = init_service(app).await;
    let answer = ask(&app, TestRequest::with_uri("/panics")).await;
    assert_eq!(answer.code(), "internal");
}
