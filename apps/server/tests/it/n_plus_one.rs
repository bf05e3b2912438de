//! No endpoint runs a statement again and again.

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    access::{endpoints, send},
    server::{Server, json_of, text},
};

/// Two runs of one statement from one line fail a request.
const FAIL: &[(&str, &str)] = &[
    ("RULEIQ_ENV", "development"),
    ("N_PLUS_ONE", "fail"),
    ("N_PLUS_ONE_THRESHOLD", "2"),
];

#[tokio::test]
async fn no_endpoint_runs_a_statement_twice_from_one_line() {
    let server = Server::start_with(FAIL).await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    for endpoint in endpoints(&server, &ada).await {
        for token in [&ada.token, &admin.token] {
            let response = send(&server, &endpoint, Some(token)).await;
            let (method, path, status) = (&endpoint.method, &endpoint.path, response.status());
            let body = response.text().await.unwrap();
            assert!(
                !status.is_server_error(),
                "{method} {path}: {status} {body}"
            );
        }
    }
}

#[tokio::test]
async fn no_list_costs_a_statement_for_each_item() {
    let server = Server::start_with(FAIL).await;
    let ada = server.user("ada").await;
    let mut id = String::new();
    for _ in 0..8 {
        server.profile(&ada).await;
        id = server.assessment(&ada, 3).await;
    }
    let detail = server.detail(&ada, &id).await;
    let questions = detail["questions"].as_array().unwrap();
    assert!(questions.len() >= 10 && detail["frameworks"].as_array().unwrap().len() == 3);
    let answers: Vec<_> = questions
        .iter()
        .map(|it| json!({ "question_id": text(it, "/id"), "answer": true }))
        .collect();
    let path = format!("/api/v1/assessments/{id}");
    for (action, body) in [
        ("responses", json!({ "responses": answers })),
        ("complete", json!({})),
    ] {
        let response = server.post(&ada, &format!("{path}/{action}"), &body).await;
        let status = response.status();
        assert!(
            status.is_success(),
            "{action}: {}",
            response.text().await.unwrap()
        );
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    for (path, items) in [
        ("/api/v1/assessments", 8),
        ("/api/v1/business-profiles", 8),
        ("/api/v1/frameworks", 8),
    ] {
        let list = json_of(server.get(&ada, path).await, 200).await;
        let list = list.get("items").unwrap_or(&list).as_array().unwrap();
        assert!(list.len() >= items, "{path} has {} items", list.len());
    }
}
