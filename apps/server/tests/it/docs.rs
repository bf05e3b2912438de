use reqwest::Method;

use crate::server::{Server, json_of};

#[tokio::test]
async fn the_api_describes_itself_without_the_network() {
    let server = Server::start().await;
    let page = server.request(Method::GET, "/docs").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.url().path(), "/docs/");
    let html = page.text().await.unwrap();
    assert!(html.contains("swagger-ui"), "{html}");
    for asset in [
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "swagger-initializer.js",
    ] {
        let asset = server
            .request(Method::GET, &format!("/docs/{asset}"))
            .send()
            .await
            .unwrap();
        assert_eq!(asset.status(), 200);
    }
    let absolute: Vec<&str> = html.matches("https://").collect();
    assert!(absolute.is_empty(), "{html}");
}

#[tokio::test]
async fn every_operation_is_described_with_its_answers() {
    let server = Server::start().await;
    let description = server
        .request(Method::GET, "/api/openapi.json")
        .send()
        .await
        .unwrap();
    let description = json_of(description, 200).await;
    assert_eq!(description["info"]["title"], "RuleIQ");
    assert_eq!(
        description["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            let responses = operation["responses"].as_object().unwrap();
            for response in responses.values() {
                let content = response["content"].as_object();
                for (kind, content) in content.into_iter().flatten() {
                    let schema = content["schema"]["$ref"].as_str().unwrap_or_default();
                    assert_eq!(
                        kind == "application/problem+json",
                        schema.ends_with("/Problem"),
                        "{method} {path}: {response}"
                    );
                }
            }
            let refusals = [
                ("security", &["401"] as &[_]),
                ("parameters", &["400"]),
                ("requestBody", &["400", "413", "415", "422"]),
            ];
            for (part, statuses) in refusals {
                for status in statuses.iter().filter(|_| operation.get(part).is_some()) {
                    assert!(responses.contains_key(*status), "{method} {path}: {status}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_may_be_any_json() {
    let server = Server::start().await;
    let description = server
        .request(Method::GET, "/api/openapi.json")
        .send()
        .await
        .unwrap();
    let description = json_of(description, 200).await;
    for schema in ["Response", "Question"] {
        let answer = &description["components"]["schemas"][schema]["properties"]["answer"];
        assert!(answer.is_object(), "{schema}");
        assert_eq!(answer.get("type"), None, "{schema}: {answer}");
    }
}
