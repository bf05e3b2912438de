//! The description of the endpoints.

use actix_web::http::Method;
use serde_json::Value;

use crate::benchmark;

pub(crate) fn document() -> Value {
    serde_json::to_value(ruleiq_performance::openapi()).unwrap()
}

#[actix_web::test]
async fn every_endpoint_is_described_and_every_description_is_an_endpoint() {
    let (service, _database, _redis) = benchmark::service().await;
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let expected = [
        "/api/v1/performance/benchmark",
        "/api/v1/performance/cache/stats",
        "/api/v1/performance/database/advice",
        "/api/v1/performance/database/health",
        "/api/v1/performance/database/optimize",
        "/api/v1/performance/database/stats",
        "/api/v1/performance/health",
        "/api/v1/performance/metrics",
        "/api/v1/performance/pool/optimize",
        "/api/v1/performance/pool/stats",
        "/health",
    ];
    let mut described: Vec<_> = paths.keys().collect();
    described.sort();
    assert_eq!(described, expected);

    let read = paths.iter().filter(|(_, item)| item.get("get").is_some());
    for (path, item) in read {
        let get = &item["get"];
        assert!(get["summary"].is_string(), "{path}");
        let is_open = get.get("security").is_none();
        let without = service.send(Method::GET, path, None).await;
        assert_eq!(is_open, without.status == 200, "{path}");
        // Once is enough for its form, and nobody else has parameters of this name.
        let once = if path.ends_with("benchmark") {
            "?iterations=1"
        } else {
            ""
        };
        let report = service.get(&format!("{path}{once}")).await.ok();
        let schema = get.pointer("/responses/200/content/application~1json/schema");
        assert_describes(&document, schema.unwrap(), &report);
    }
}

/// Every field of the answer is in the schema, and every required one is in the answer.
pub(crate) fn assert_describes(document: &Value, schema: &Value, report: &Value) {
    let Some(reference) = schema["$ref"].as_str() else {
        return;
    };
    let schema = document.pointer(&reference[1..]).unwrap();
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for field in report.as_object().unwrap().keys() {
        assert!(
            properties.contains_key(field),
            "`{field}` is not in {schema}"
        );
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        let field = field.as_str().unwrap();
        assert!(report.get(field).is_some(), "no `{field}` in {report}");
    }
}

#[test]
fn every_reference_is_resolved() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
                }
                fields.values().for_each(|it| check(document, it));
            }
            Value::Array(items) => items.iter().for_each(|it| check(document, it)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}

#[test]
fn problems_are_described_in_the_form_in_which_they_are_sent() {
    for (path, item) in document()["paths"].as_object().unwrap() {
        let operation = item.get("get").unwrap_or(&item["post"]);
        for (status, response) in operation["responses"].as_object().unwrap() {
            for (kind, content) in response["content"].as_object().unwrap() {
                let is_problem = content["schema"]["$ref"] == "#/components/schemas/Problem";
                let is_sent_so = kind == "application/problem+json";
                assert_eq!(is_problem, is_sent_so, "{path} {status}");
            }
        }
    }
}
