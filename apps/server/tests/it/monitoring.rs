use reqwest::Method;
use serde_json::Value;

use crate::server::{Server, json_of, problem_of};

#[tokio::test]
async fn the_monitoring_endpoints_tell_what_happened() {
    let server = Server::start().await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    let id = server.assessment(&ada, 1).await;
    for _ in 0..3 {
        server.detail(&ada, &id).await;
    }
    let get = |path: &'static str| {
        let admin = &admin;
        let server = &server;
        async move { json_of(server.get(admin, path).await, 200).await }
    };

    let cache = get("/api/v1/performance/cache/stats").await;
    assert!(cache.to_string().contains("hit"), "{cache}");
    let pool = get("/api/v1/performance/pool/stats").await;
    assert!(
        pool.pointer("/database/checked_out")
            .is_some_and(Value::is_number),
        "{pool}"
    );
    let users = get("/api/v1/performance/database/stats?table_name=users").await;
    assert!(users.to_string().contains("users"), "{users}");
    let missing = server
        .get(
            &admin,
            "/api/v1/performance/database/stats?table_name=nothing",
        )
        .await;
    problem_of(missing, 404, "unknown_table").await;
    let health = get("/api/v1/performance/health").await;
    assert_eq!(health["database"], true, "{health}");
    assert_eq!(health["redis"], true, "{health}");
}

#[tokio::test]
async fn metrics_are_closed_without_a_token() {
    let server = Server::start().await;
    let response = server
        .request(Method::GET, "/metrics")
        .send()
        .await
        .unwrap();
    problem_of(response, 404, "not_found").await;
}

#[tokio::test]
async fn metrics_open_to_their_token_and_label_no_path() {
    let server = Server::start_with(&[("METRICS_TOKEN", "s3cret")]).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    server.detail(&ada, &id).await;
    let wrong = server
        .request(Method::GET, "/metrics")
        .bearer_auth("wrong")
        .send()
        .await
        .unwrap();
    problem_of(wrong, 401, "token_invalid").await;

    let metrics = server
        .request(Method::GET, "/metrics")
        .bearer_auth("s3cret")
        .send()
        .await
        .unwrap();
    assert_eq!(metrics.status(), 200);
    let text = metrics.text().await.unwrap();
    assert!(text.contains("/api/v1/assessments/{id}"), "{text}");
    assert!(!text.contains(&id), "{text}");
    assert!(text.contains("ruleiq_pools_"), "{text}");
    assert!(text.contains("ruleiq_cache_"), "{text}");
}

#[tokio::test]
async fn monitoring_can_be_turned_off() {
    let settings = [
        ("ENABLE_PERFORMANCE_MONITORING", "false"),
        ("METRICS_TOKEN", "s3cret"),
    ];
    let server = Server::start_with(&settings).await;
    let admin = server.admin().await;
    let stats = server.get(&admin, "/api/v1/performance/pool/stats").await;
    problem_of(stats, 404, "not_found").await;
    let metrics = server
        .request(Method::GET, "/metrics")
        .bearer_auth("s3cret")
        .send()
        .await
        .unwrap();
    problem_of(metrics, 404, "not_found").await;
    assert_eq!(
        server
            .request(Method::GET, "/health")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn answers_are_compressed_as_the_client_asks() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for coding in ["br", "zstd", "gzip"] {
        let response = server
            .request(Method::GET, "/api/v1/frameworks")
            .bearer_auth(&ada.token)
            .header("Accept-Encoding", coding)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["content-encoding"], coding);
        assert_eq!(response.headers()["vary"], "Accept-Encoding");
    }
    let plain = Server::start_with(&[("ENABLE_COMPRESSION", "false")]).await;
    let bob = plain.user("bob").await;
    let response = plain
        .request(Method::GET, "/api/v1/frameworks")
        .bearer_auth(&bob.token)
        .header("Accept-Encoding", "br")
        .send()
        .await
        .unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
}
