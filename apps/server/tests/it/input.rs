//! Faulty requests: each is refused with a code that says what, and a detail that says where.

use reqwest::Method;

use crate::server::{Server, problem_of};

/// Path, status, code, and a part of the detail.
const FAULTY_PATHS: [(&str, u16, &str, &str); 16] = [
    (
        "/api/v1/assessments?limit=0",
        400,
        "invalid_limit",
        "`limit` is 0, expected 1 to 100",
    ),
    ("/api/v1/assessments?limit=101", 400, "invalid_limit", "101"),
    (
        "/api/v1/assessments?limit=-1",
        400,
        "invalid_query",
        "`limit`: invalid digit",
    ),
    (
        "/api/v1/assessments?limit=x",
        400,
        "invalid_query",
        "`limit`: invalid digit",
    ),
    (
        "/api/v1/business-profiles?limit=x",
        400,
        "invalid_query",
        "`limit`: invalid digit",
    ),
    (
        "/api/v1/assessments?status=open",
        400,
        "invalid_query",
        "`status`: unknown variant `open`, expected one of `draft`",
    ),
    (
        "/api/v1/assessments?cursor=x",
        400,
        "invalid_cursor",
        "next_cursor",
    ),
    (
        "/api/v1/assessments?cursor=",
        400,
        "invalid_cursor",
        "next_cursor",
    ),
    (
        "/api/v1/assessments?page=2",
        400,
        "invalid_query",
        "unknown field `page`",
    ),
    (
        "/api/v1/business-profiles?page=2",
        400,
        "invalid_query",
        "unknown field `page`",
    ),
    (
        "/api/v1/assessments/1",
        400,
        "invalid_path",
        "in the path: UUID",
    ),
    ("/api/v1/users/me", 400, "invalid_path", "UUID"),
    ("/api/v1/frameworks/%00", 400, "invalid_path", "UUID"),
    ("/api/v1/nothing", 404, "not_found", "no such route"),
    ("/", 404, "not_found", "no such route"),
    ("/docs/nothing", 404, "not_found", "no such page"),
];

#[tokio::test]
async fn faulty_queries_and_paths_are_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for (path, status, code, fault) in FAULTY_PATHS {
        let detail = problem_of(server.get(&ada, path).await, status, code).await;
        assert!(detail.contains(fault), "{path}: {detail}");
    }
}

#[tokio::test]
async fn faulty_bodies_are_refused() {
    let server = Server::start_with(&[("MAX_BODY_BYTES", "4096")]).await;
    let ada = server.user("ada").await;
    let good = r#""name":"N","industry":"I","country":"GB","employee_count":1"#;
    let unknown = format!("{{{good},\"colour\":1}}");
    let wrong_type = format!("{{{}}}", good.replace(":1", ":\"many\""));
    let country = format!("{{{}}}", good.replace("GB", "gb"));
    let staff = format!("{{{}}}", good.replace(":1", ":0"));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(5_000));
    let deep = "[".repeat(2_000);
    for (body, status, code, fault) in [
        ("", 400, "malformed_json", "EOF"),
        ("{", 400, "malformed_json", "line 1 column 1"),
        (deep.as_str(), 422, "invalid_body", "expected a string"),
        ("[]", 422, "invalid_body", "invalid length 0"),
        ("{}", 422, "invalid_body", "missing field `name`"),
        (&unknown, 422, "invalid_body", "unknown field `colour`"),
        (&wrong_type, 422, "invalid_body", "expected i32"),
        (&country, 422, "invalid_field", "`country`"),
        (
            &staff,
            422,
            "invalid_field",
            "`employee_count` is 0, expected at least 1",
        ),
        (&long, 413, "body_too_large", "4096 bytes"),
    ] {
        let request = server
            .request(Method::POST, "/api/v1/business-profiles")
            .bearer_auth(&ada.token)
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        let detail = problem_of(request.send().await.unwrap(), status, code).await;
        assert!(detail.contains(fault), "{body:.60}: {detail}");
    }
    let text = server
        .request(Method::POST, "/api/v1/business-profiles")
        .bearer_auth(&ada.token)
        .body("name=N");
    problem_of(text.send().await.unwrap(), 415, "not_json").await;
}

#[tokio::test]
async fn a_method_that_a_resource_does_not_know_is_refused() {
    let server = Server::start().await;
    for (method, path, allow) in [
        (Method::DELETE, "/api/v1/assessments", "GET, POST, HEAD"),
        (Method::PUT, "/api/v1/auth/login", "POST"),
        (Method::POST, "/livez", "GET, HEAD"),
        (Method::POST, "/api/openapi.json", "GET, HEAD"),
        (Method::POST, "/docs/index.html", "GET, HEAD"),
    ] {
        let response = server.request(method, path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], allow);
        problem_of(response, 405, "method_not_allowed").await;
    }
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = Server::start().await;
    let made = server.request(Method::GET, "/livez").send().await.unwrap();
    assert!(made.headers().contains_key("x-request-id"));
    let given = server
        .request(Method::GET, "/api/v1/nothing")
        .header("X-Request-Id", "abc-123");
    assert_eq!(
        given.send().await.unwrap().headers()["x-request-id"],
        "abc-123"
    );
}

#[tokio::test]
async fn what_can_be_read_has_a_head() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for path in [
        "/livez",
        "/readyz",
        "/docs/",
        "/api/openapi.json",
        "/api/v1/frameworks",
    ] {
        let request = server.request(Method::HEAD, path).bearer_auth(&ada.token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.bytes().await.unwrap().len(), 0, "{path}");
    }
    let request = server.request(Method::HEAD, "/api/v1/frameworks");
    assert_eq!(request.send().await.unwrap().status(), 401);
}
