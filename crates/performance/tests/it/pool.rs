//! `GET …/pool/stats` and `POST …/pool/optimize`.

use std::time::Duration;

use actix_web::test::TestRequest;
use ruleiq_test_support::eventually;
use serde_json::{Value, json};

use crate::{
    document::{assert_describes, document},
    service::{Answer, Service, pools, postgres, send_as_is},
};

const PATH: &str = "/api/v1/performance/pool/stats";

#[actix_web::test]
async fn connections_are_counted_and_judged() {
    let (service, _database, _redis) = Service::start().await;
    let stats = service.get(PATH).await.ok();
    assert_eq!(stats["database"]["size"], 1, "{stats}");
    assert_eq!(stats["database"]["max_overflow"], 1, "{stats}");
    assert_eq!(stats["database"]["checked_out"], 0, "{stats}");
    assert_eq!(stats["database"]["verdict"], "ok", "{stats}");
    assert_eq!(stats["database"].get("advice"), None);
    assert!(stats["redis"]["checked_in"].is_number(), "{stats}");
    assert_eq!(stats.get("monitor"), None);

    let first = service.pools.session().await.unwrap();
    let half = service.get(PATH).await.ok();
    assert_eq!(half["database"]["utilization"], 0.5, "{half}");
    assert_eq!(half["database"]["verdict"], "ok", "{half}");
    let second = service.pools.session().await.unwrap();
    let all = service.get(PATH).await.ok();
    assert_eq!(all["database"]["checked_out"], 2, "{all}");
    assert_eq!(all["database"]["verdict"], "high_utilization", "{all}");
    assert!(
        all["database"]["advice"].as_str().unwrap().contains("80 %"),
        "{all}"
    );

    let waiting = tokio::spawn(service.pools.session());
    eventually(Duration::from_secs(5), || async {
        service.get(PATH).await.ok()["database"]["verdict"] == "exhausted"
    })
    .await;
    drop((first, second));
    drop(waiting.await.unwrap().unwrap());
    eventually(Duration::from_secs(5), || async {
        let stats = service.get(PATH).await.ok();
        stats["database"]["checked_out"] == 0 && stats["database"]["verdict"] == "ok"
    })
    .await;
}

#[actix_web::test]
async fn a_pool_for_monitoring_is_told_apart() {
    let (_, database, redis) = Service::start().await;
    let application = pools(postgres(database.app_url()), redis.url());
    let monitor = pools(postgres(database.monitor_url()), redis.url());
    let service = Service::with(&application, redis.prefix(), |it| {
        it.monitor(monitor.clone())
    });
    let _held = monitor.session().await.unwrap();
    let stats = service.get(PATH).await.ok();
    assert_eq!(stats["monitor"]["checked_out"], 1, "{stats}");
    assert_eq!(stats["database"]["checked_out"], 0, "{stats}");
}

async fn optimize(service: &Service, token: Option<&str>, body: &Value) -> Answer {
    let mut request = TestRequest::post()
        .uri("/api/v1/performance/pool/optimize")
        .insert_header(("content-type", "application/json"))
        .insert_header(("x-user", "root"))
        .set_payload(body.to_string());
    if let Some(token) = token {
        request = request.insert_header(("authorization", format!("Bearer {token}")));
    }
    send_as_is(|config| service.performance.configure(config), request).await
}

#[actix_web::test]
async fn what_should_be_another_is_told_and_set_when_asked() {
    let (_service, database, redis) = Service::start().await;
    let mut config = postgres(database.app_url());
    config.tuning.max_connections = std::num::NonZeroUsize::new(1);
    let pools = pools(config, redis.url());
    let service = Service::with(&pools, redis.prefix(), |it| it);
    let ask = async |body| optimize(&service, Some("root"), &body).await;

    let told = ask(json!({})).await.ok();
    let first = &told["recommendations"][0];
    let connections = |size, max_overflow| json!({ "setting": "connections", "size": size, "max_overflow": max_overflow });
    assert_eq!(first["now"], connections(1, 1), "{told}");
    assert_eq!(first["to"], connections(1, 0), "{told}");
    assert_eq!(first["is_applicable"], true, "{told}");
    assert_eq!(told.get("applied"), None, "{told}");
    assert!(told["share"]["instances"].as_u64() >= Some(1), "{told}");
    assert_eq!(pools.stats().database.unwrap().max_overflow, 1);

    let done = ask(json!({ "dry_run": false })).await.ok();
    assert_eq!(done["applied"]["outcome"], "kept", "{done}");
    assert_eq!(done["steps"][0], done["applied"], "{done}");
    assert_eq!(done["recommendations"], json!([]), "{done}");
    assert_eq!(pools.stats().database.unwrap().max_overflow, 0);
    let schema = json!({ "$ref": "#/components/schemas/PoolOptimized" });
    assert_describes(&document(), &schema, &done);

    let without = optimize(&service, None, &json!({ "dry_run": false })).await;
    assert_eq!(without.status, 401);
    assert_eq!(ask(json!({ "size": 3 })).await.status, 422);
    pools.close().await;
    assert_eq!(ask(json!({})).await.status, 503);
}
