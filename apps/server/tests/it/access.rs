//! Who may do what, endpoint by endpoint.

use std::{collections::BTreeSet, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{JWT_KEYS, Server, User, json_of};

/// Else the benchmark is closed to everybody.
const BENCHMARK_ON: &[(&str, &str)] = &[("ENABLE_BENCHMARK_ENDPOINT", "true")];

/// Who an endpoint is open to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    /// To all, without a token.
    All,
    /// To everybody who is logged in.
    Users,
    /// To the owner of the row, and to administrators.
    Owner,
    /// To administrators.
    Admins,
}

/// An endpoint as the API's description names it, and a request that the owner may send.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    template: &'static str,
    open: Open,
    pub(crate) path: String,
    body: Option<Value>,
}

impl Endpoint {
    fn get(template: &'static str, open: Open, id: &str) -> Endpoint {
        Endpoint {
            method: Method::GET,
            template,
            open,
            path: template.replace("{id}", id),
            body: None,
        }
    }

    fn post(template: &'static str, open: Open, id: &str, body: Value) -> Endpoint {
        Endpoint {
            method: Method::POST,
            body: Some(body),
            ..Endpoint::get(template, open, id)
        }
    }
}

/// Every endpoint, with the rows of one user. A test below compares it with the description.
pub(crate) async fn endpoints(server: &Server, owner: &User) -> Vec<Endpoint> {
    use Open::{Admins, All, Owner, Users};

    let id = &server.assessment(owner, 1).await;
    let question = crate::server::text(&server.detail(owner, id).await, "/questions/0/id");
    let framework = &server.frameworks(owner, 1).await[0];
    let profile = server.profile(owner).await;
    let registration = json!({
        "email": "new@example.com", "password": "correct horse battery", "full_name": "New",
    });
    let credentials = json!({ "email": "x@example.com", "password": "wrong horse battery" });
    let token = json!({ "refresh_token": "unknown" });
    let business = json!({ "name": "B", "industry": "I", "country": "GB", "employee_count": 1 });
    let assessment = json!({ "business_profile_id": profile, "framework_ids": [framework] });
    let responses = json!({ "responses": [{ "question_id": question, "answer": true }] });
    let vacuum = json!({ "action": "vacuum", "table": "users" });
    let (get, post) = (Endpoint::get, Endpoint::post);
    vec![
        post("/api/v1/auth/register", All, "", registration),
        post("/api/v1/auth/login", All, "", credentials),
        post("/api/v1/auth/refresh", All, "", token.clone()),
        post("/api/v1/auth/logout", All, "", token),
        get("/api/v1/users/{id}", Owner, &owner.id),
        get("/api/v1/frameworks", Users, ""),
        get("/api/v1/frameworks/{id}", Users, framework),
        get("/api/v1/business-profiles", Users, ""),
        post("/api/v1/business-profiles", Users, "", business),
        get("/api/v1/assessments", Users, ""),
        get("/api/v1/assessments/{id}", Owner, id),
        post("/api/v1/assessments/{id}/responses", Owner, id, responses),
        post("/api/v1/assessments/{id}/complete", Owner, id, json!({})),
        post("/api/v1/assessments", Users, "", assessment),
        get("/livez", All, ""),
        get("/readyz", All, ""),
        get("/health", All, ""),
        get("/api/v1/performance/health", All, ""),
        get("/api/v1/performance/metrics", Admins, ""),
        get("/api/v1/performance/database/advice", Admins, ""),
        get("/api/v1/performance/database/health", Admins, ""),
        get("/api/v1/performance/database/stats", Admins, ""),
        post("/api/v1/performance/database/optimize", Admins, "", vacuum),
        get("/api/v1/performance/cache/stats", Admins, ""),
        get("/api/v1/performance/pool/stats", Admins, ""),
        post("/api/v1/performance/pool/optimize", Admins, "", json!({})),
        Endpoint {
            path: "/api/v1/performance/benchmark?component=pools&iterations=1".to_owned(),
            ..get("/api/v1/performance/benchmark", Admins, "")
        },
    ]
}

pub(crate) async fn send(
    server: &Server,
    endpoint: &Endpoint,
    token: Option<&str>,
) -> reqwest::Response {
    let mut request = server.request(endpoint.method.clone(), &endpoint.path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = &endpoint.body {
        request = request.json(body);
    }
    request.send().await.unwrap()
}

/// A token for the user, signed with the server's key, that has expired.
fn expired(user: &User) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    use ring::hmac;

    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT", "kid": "test" }));
    let claims = part(json!({
        "iss": "ruleiq", "sub": user.id, "admin": true, "iat": 1, "exp": 2, "jti": user.id,
    }));
    let key = BASE64_URL_SAFE_NO_PAD
        .decode(JWT_KEYS.split_once(':').unwrap().1)
        .unwrap();
    let signed = format!("{header}.{claims}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test]
async fn no_endpoint_opens_without_a_valid_token() {
    let server = Server::start_with(BENCHMARK_ON).await;
    let ada = server.user("ada").await;
    let forged = ada.token.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    let expired = expired(&ada);
    for endpoint in endpoints(&server, &ada).await {
        if endpoint.open == Open::All {
            continue;
        }
        for token in [
            None,
            Some("nonsense"),
            Some(forged.as_str()),
            Some(&expired),
        ] {
            let response = send(&server, &endpoint, token).await;
            let (method, path) = (&endpoint.method, &endpoint.path);
            assert_eq!(response.status(), 401, "{method} {path} with {token:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_leaks_nothing(response, &ada).await;
        }
    }
}

#[tokio::test]
async fn no_endpoint_shows_another_users_rows() {
    let server = Server::start_with(BENCHMARK_ON).await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    for endpoint in endpoints(&server, &ada).await {
        let response = send(&server, &endpoint, Some(&eve.token)).await;
        let (method, path) = (&endpoint.method, &endpoint.path);
        match endpoint.open {
            Open::Owner => assert_eq!(response.status(), 404, "{method} {path}"),
            Open::Admins => assert_eq!(response.status(), 403, "{method} {path}"),
            Open::Users | Open::All => {}
        }
        assert_leaks_nothing(response, &ada).await;
    }
    let untouched = server.get(&ada, "/api/v1/assessments").await;
    let untouched = json_of(untouched, 200).await;
    assert!(
        untouched["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["status"] == "draft")
    );
}

#[tokio::test]
async fn the_owner_and_an_administrator_get_in() {
    let server = Server::start_with(BENCHMARK_ON).await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    for endpoint in endpoints(&server, &ada).await {
        for (who, is_admin) in [(&ada, false), (&admin, true)] {
            let response = send(&server, &endpoint, Some(&who.token)).await;
            let status = response.status();
            let refused = matches!(status.as_u16(), 401 | 403 | 404);
            let expected = endpoint.open == Open::Admins && !is_admin;
            let other_reason = endpoint.open == Open::All;
            let (method, path) = (&endpoint.method, &endpoint.path);
            assert!(
                refused == expected || other_reason,
                "{method} {path}: {status}"
            );
            assert!(!status.is_server_error(), "{method} {path}: {status}");
        }
    }
    let all = json_of(server.get(&admin, "/api/v1/assessments").await, 200).await;
    assert!(
        all["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["user_id"] == ada.id)
    );
}

#[tokio::test]
async fn the_tests_above_know_every_endpoint() {
    let server = Server::start_with(BENCHMARK_ON).await;
    let ada = server.user("ada").await;
    let description = server
        .request(Method::GET, "/api/openapi.json")
        .send()
        .await
        .unwrap();
    let description = json_of(description, 200).await;
    let described: BTreeSet<String> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let known: BTreeSet<String> = endpoints(&server, &ada)
        .await
        .iter()
        .map(|it| format!("{} {}", it.method, it.template))
        .collect();
    assert_eq!(described, known);
}

#[tokio::test]
async fn a_token_expires() {
    let server = Server::start_with(&[("ACCESS_TOKEN_TTL", "1")]).await;
    let ada = server.user("ada").await;
    let path = format!("/api/v1/users/{}", ada.id);
    ruleiq_test_support::eventually(Duration::from_secs(10), || async {
        server.get(&ada, &path).await.status() == StatusCode::UNAUTHORIZED
    })
    .await;
}

/// Nothing of the user stands in an answer to somebody else.
async fn assert_leaks_nothing(response: reqwest::Response, user: &User) {
    let url = response.url().path().to_owned();
    let body = response.text().await.unwrap();
    for secret in ["ada@example.com", "Acme", user.id.as_str()] {
        assert!(!body.contains(secret), "{url} shows `{secret}`: {body}");
    }
}
