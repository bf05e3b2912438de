use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse, test, web};
use futures_util::poll;
use ruleiq_scope::{CausalToken, Scope};
use ruleiq_web::{CausalTokens, RequestScope, Timing};
use tokio::time::Instant;

use crate::{answer::ask, log::Log};

const MINUTE: Duration = Duration::from_secs(60);

/// Says in which scope it was dropped.
struct Held(Arc<AtomicU32>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
        // A session that goes back reads it.
        assert!(Scope::current().is_some(), "dropped outside of the scope");
    }
}

#[actix_web::test]
async fn a_handler_runs_in_a_scope_with_the_routes_template_and_a_deadline() {
    tokio::time::pause();
    let app = App::new()
        .service(web::scope("/api").route(
            "/users/{id}/posts/{post}",
            web::get().to(|request: HttpRequest| async move {
                let scope = Scope::current().unwrap();
                assert_eq!(scope.deadline(), Some(Instant::now() + MINUTE));
                let of_request = request.extensions().get::<Scope>().cloned().unwrap();
                assert_eq!(of_request.route(), scope.route());
                scope.route().unwrap().to_owned()
            }),
        ))
        .wrap(RequestScope::new(MINUTE));
    let app = test::init_service(app).await;
    let answer = ask(
        &app,
        test::TestRequest::with_uri("/api/users/7/posts/8?x=1"),
    )
    .await;
    assert_eq!(answer.body, "/api/users/{id}/posts/{post}");
    assert!(Scope::current().is_none());
}

#[actix_web::test]
async fn a_request_that_matches_no_route_has_a_scope_without_one() {
    let app = App::new()
        .default_service(web::to(|| async {
            assert_eq!(Scope::current().unwrap().route(), None);
            HttpResponse::NotFound().finish()
        }))
        .wrap(RequestScope::new(MINUTE));
    let app = test::init_service(app).await;
    assert_eq!(
        ask(&app, test::TestRequest::with_uri("/nope")).await.status,
        404
    );
}

#[actix_web::test]
async fn a_request_at_its_deadline_is_dropped_with_all_it_holds_and_answered_504() {
    tokio::time::pause();
    let log = Log::from(tracing::level_filters::LevelFilter::WARN);
    let dropped = Arc::new(AtomicU32::new(0));
    let held = Arc::clone(&dropped);
    let app = App::new()
        .default_service(web::to(move || {
            let held = Held(Arc::clone(&held));
            async move {
                let _held = held;
                pending::<HttpResponse>().await
            }
        }))
        .wrap(RequestScope::new(MINUTE));
    let app = test::init_service(app).await;
    // Ends at once: the paused clock goes forward when all wait.
    let answer = ask(&app, test::TestRequest::get()).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.code(), "deadline_exceeded");
    assert_eq!(dropped.load(Relaxed), 1);
    assert_eq!(log.lines("request dropped at its deadline").len(), 1);
}

#[actix_web::test]
async fn a_request_whose_client_leaves_is_dropped_in_its_scope() {
    let dropped = Arc::new(AtomicU32::new(0));
    let held = Arc::clone(&dropped);
    let app = App::new()
        .default_service(web::to(move || {
            let held = Held(Arc::clone(&held));
            async move {
                let _held = held;
                pending::<HttpResponse>().await
            }
        }))
        .wrap(RequestScope::new(MINUTE));
    let app = test::init_service(app).await;
    let mut answer = ask(&app, test::TestRequest::get());
    assert!(poll!(&mut answer).is_pending());
    drop(answer);
    assert_eq!(dropped.load(Relaxed), 1);
}

#[actix_web::test]
async fn an_answer_that_is_there_at_the_deadline_is_given() {
    tokio::time::pause();
    let app = App::new()
        .default_service(web::to(|| async {
            tokio::time::sleep(MINUTE).await;
            "just in time"
        }))
        .wrap(RequestScope::new(MINUTE));
    let app = test::init_service(app).await;
    let answer = ask(&app, test::TestRequest::get()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"just in time"[..])
    );
}

#[actix_web::test]
async fn a_scope_within_a_scope_can_only_shorten_the_deadline() {
    tokio::time::pause();
    for (outer, inner) in [
        (MINUTE, 2 * MINUTE),
        (2 * MINUTE, MINUTE),
        (Duration::MAX, MINUTE),
    ] {
        let app = App::new()
            .service(
                web::scope("/api")
                    .route(
                        "/x",
                        web::get().to(|| async {
                            assert_eq!(ruleiq_scope::deadline(), Some(Instant::now() + MINUTE));
                            Scope::current()
                                .unwrap()
                                .record_queue(Duration::from_millis(5));
                            ""
                        }),
                    )
                    .wrap(RequestScope::new(inner)),
            )
            .wrap(RequestScope::new(outer))
            .wrap(Timing::new(ruleiq_metrics::Metrics::new()));
        let app = test::init_service(app).await;
        let answer = ask(&app, test::TestRequest::with_uri("/api/x")).await;
        assert_eq!(answer.status, 200);
        // It is the inner one that counts.
        let parts = answer.header("server-timing").unwrap();
        assert!(parts.contains("queue;dur=5.000"), "{parts}");
    }
}

#[actix_web::test]
async fn a_timeout_after_all_clocks_is_no_deadline() {
    let app = App::new()
        .default_service(web::to(|| async {
            assert_eq!(Scope::current().unwrap().deadline(), None);
            ""
        }))
        .wrap(RequestScope::new(Duration::MAX));
    let app = test::init_service(app).await;
    assert_eq!(ask(&app, test::TestRequest::get()).await.status, 200);
}

const TOKEN: CausalToken = CausalToken {
    system: 7,
    timeline: 1,
    lsn: 42,
};

/// Answers which token its scope has, and writes where it is told to.
async fn write_or_read(request: HttpRequest) -> String {
    let scope = Scope::current().unwrap();
    let before = scope.causal_token();
    if request.path() == "/write" {
        scope.set_causal_token(TOKEN);
    }
    format!("{before:?}")
}

#[actix_web::test]
async fn what_a_client_has_written_comes_along_with_its_next_request() {
    let tokens = CausalTokens::new([&b"secret"[..]], true);
    let registry = prometheus::Registry::new();
    tokens.register(&registry).unwrap();
    let app = App::new()
        .default_service(web::to(write_or_read))
        .wrap(RequestScope::new(MINUTE).causal(tokens));
    let app = test::init_service(app).await;

    let read = ask(&app, test::TestRequest::with_uri("/read")).await;
    assert_eq!(read.body, "None");
    assert_eq!(read.header("set-cookie"), None);

    let write = ask(&app, test::TestRequest::with_uri("/write")).await;
    let cookie = write.header("set-cookie").unwrap();
    for attribute in [
        "; HttpOnly",
        "; Secure",
        "; SameSite=Lax",
        "; Max-Age=60",
        "; Path=/",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let header = write.header("x-causal-token").unwrap();
    assert_eq!(pair, format!("causal_token={header}"));
    assert!(header.len() <= 64, "{header}");

    let with =
        |name: &str, value: &str| test::TestRequest::with_uri("/read").insert_header((name, value));
    let expect = format!("{:?}", Some(TOKEN));
    for request in [
        with("cookie", &format!("a=b; {pair}; c=d")),
        with("x-causal-token", header),
    ] {
        let read = ask(&app, request).await;
        assert_eq!(read.body, expect);
        assert_eq!(read.header("set-cookie"), None, "it has it already");
    }
    for request in [
        with("cookie", &format!("{pair}x")),
        with("x-causal-token", "nonsense"),
    ] {
        assert_eq!(ask(&app, request).await.body, "None");
    }
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
    let refused = "ruleiq_web_causal_tokens_refused_total 2";
    assert!(text.unwrap().lines().any(|it| it == refused));
}
