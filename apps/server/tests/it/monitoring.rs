use reqwest::Method;
use ruleiq_test_support::TestDatabase;
use serde_json::{Value, json};

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
async fn an_administrator_makes_an_index_by_the_connection_for_that() {
    let database = TestDatabase::migrated().await;
    let url = database.url().to_owned();
    let server = Server::start_on(database, &[("DATABASE_ADMIN_URL", &url)]).await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    let path = "/api/v1/performance/database/optimize";
    let mut body = json!({ "action": "create_index", "table": "users", "columns": ["full_name"] });
    problem_of(server.post(&ada, path, &body).await, 403, "admin_only").await;

    let planned = json_of(server.post(&admin, path, &body).await, 200).await;
    body["dry_run"] = json!(false);
    let done = json_of(server.post(&admin, path, &body).await, 200).await;

    assert_eq!(done["statements"], planned["statements"], "{done}");
    assert_eq!(
        done["index"]["index"], "public.idx_users_full_name",
        "{done}"
    );
    let there = json_of(server.post(&admin, path, &body).await, 200).await;
    assert_eq!(there["index"]["outcome"], "exists", "{there}");
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
