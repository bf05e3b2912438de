//! What the log says of a request.

use std::time::Duration;

use reqwest::Method;
use ruleiq_test_support::{FaultProxy, TestDatabase, eventually};
use serde_json::Value;

use crate::server::{Server, problem_of};

#[tokio::test]
async fn every_line_about_a_request_has_its_id_and_the_caller_gets_no_cause() {
    let database = TestDatabase::migrated().await;
    let proxy = FaultProxy::in_front_of(database.app_url()).await;
    let url = proxy.url(database.app_url());
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("SLOW_REQUEST_THRESHOLD", "0"),
    ];
    let server = Server::start_on(database, &settings).await;
    let ada = server.user("ada").await;
    proxy.refuse().await;

    let request = server
        .request(Method::GET, "/api/v1/assessments?cursor=&limit=1")
        .bearer_auth(&ada.token)
        .header("X-Request-Id", "the-refused-one");
    problem_of(request.send().await.unwrap(), 400, "invalid_cursor").await;
    let request = server
        .request(Method::GET, "/api/v1/assessments")
        .bearer_auth(&ada.token)
        .header("X-Request-Id", "the-failing-one");
    let response = request.send().await.unwrap();
    let detail = problem_of(response, 503, "database_unavailable").await;

    assert_eq!(detail, "the database cannot be reached");
    let lines = |message: &'static str, id: &'static str| {
        let is_it = |it: &&Value| it["message"] == message && it["span"]["request_id"] == id;
        server.log().iter().filter(is_it).count()
    };
    eventually(Duration::from_secs(10), || async {
        lines("request failed", "the-failing-one") == 1
    })
    .await;
    let log = server.log();
    let failed = log
        .iter()
        .find(|it| it["message"] == "request failed")
        .unwrap();
    let cause = failed["cause"].as_str().unwrap();
    // A connection that was open may be found closed by the statement alone.
    let causes = ["cannot connect to the database", "connection closed"];
    assert!(causes.iter().any(|it| cause.contains(it)), "{failed}");
    let without: Vec<&Value> = log
        .iter()
        .filter(|it| {
            it["message"]
                .as_str()
                .is_some_and(|it| it.contains("request"))
        })
        .filter(|it| it["span"]["request_id"].is_null())
        .collect();
    assert!(without.is_empty(), "{without:?}");
    let text = format!("{log:?}");
    assert!(!text.contains(&ada.token), "a token is in the log");
}

#[tokio::test]
async fn a_panic_is_answered_and_told_in_the_log_under_the_requests_id() {
    // A filter that names only this program's own lines.
    let server = Server::start_with(&[("LOG", "ruleiq_server=info")]).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    // A state that a later version of the schema might know.
    server
        .database
        .client()
        .await
        .batch_execute(
            "ALTER TABLE assessment_sessions DROP CONSTRAINT assessment_sessions_status_check;
             UPDATE assessment_sessions SET status = 'disputed'",
        )
        .await
        .unwrap();

    let request = server
        .request(Method::GET, &format!("/api/v1/assessments/{id}"))
        .bearer_auth(&ada.token)
        .header("Cache-Control", "no-cache")
        .header("X-Request-Id", "the-panicking-one");
    let detail = problem_of(request.send().await.unwrap(), 500, "internal").await;

    assert!(!detail.contains("constraint"), "{detail}");
    eventually(Duration::from_secs(10), || async {
        server.log().iter().any(|it| {
            it["message"] == "panicked" && it["span"]["request_id"] == "the-panicking-one"
        })
    })
    .await;
    let log = server.log();
    assert!(log.iter().all(Value::is_object), "{log:?}");
}
