//! Who may ask what, and how.

use actix_web::http::Method;
use ruleiq_query::Read as _;

use crate::service::{Service, send};

const ADMINS: [&str; 6] = [
    "/api/v1/performance/metrics",
    "/api/v1/performance/database/advice",
    "/api/v1/performance/database/health",
    "/api/v1/performance/database/stats",
    "/api/v1/performance/cache/stats",
    "/api/v1/performance/pool/stats",
];
const ALL: [&str; 2] = ["/health", "/api/v1/performance/health"];

#[actix_web::test]
async fn the_guard_is_asked_before_anything_else() {
    let (service, _database, _redis) = Service::start().await;
    // Advice is about what was run.
    let session = service.pools.session().await.unwrap();
    session.query("SELECT id FROM users", &[]).await.unwrap();
    drop(session);
    for path in ADMINS {
        let nobody = service.send(Method::GET, path, None).await;
        nobody.is_problem(401, "token_missing");
        let faulty = format!("{path}?no_such_parameter=1");
        let other = service.send(Method::GET, &faulty, Some("eve")).await;
        other.is_problem(403, "forbidden");
        service.get(path).await.ok();
    }
    for path in ALL {
        service.send(Method::GET, path, None).await.ok();
    }
}

#[actix_web::test]
async fn unknown_parameters_are_refused() {
    let (service, _database, _redis) = Service::start().await;
    for path in ADMINS {
        let answer = service.get(&format!("{path}?table=users")).await;
        answer.is_problem(400, "invalid_query");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("unknown field `table`"), "{detail}");
    }
    for threshold in ["-1", "1.5", "fast", ""] {
        let path = format!("/api/v1/performance/metrics?threshold_ms={threshold}");
        service.get(&path).await.is_problem(400, "invalid_query");
    }
}

#[actix_web::test]
async fn other_methods_are_refused() {
    let (service, _database, _redis) = Service::start().await;
    for path in ADMINS {
        let answer = service.send(Method::POST, path, Some("root")).await;
        answer.is_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    for path in ALL {
        let answer = service.send(Method::DELETE, path, None).await;
        answer.is_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD");
        let head = service.send(Method::HEAD, path, None).await;
        assert_eq!(head.status, 200);
    }
}

#[actix_web::test]
async fn health_can_be_mounted_alone() {
    let (service, _database, _redis) = Service::start().await;
    for path in ALL.iter().chain(&ADMINS) {
        let routes = |config: &mut _| service.performance.configure_health(config);
        let answer = send(routes, Method::GET, path, Some("root")).await;
        let expected = if ALL.contains(path) { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{path}");
    }
}

#[test]
fn what_is_required_is_asked_for() {
    let error = ruleiq_performance::Performance::builder()
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`pools` was not given: call `Performance::builder().pools(…)`"
    );
}
