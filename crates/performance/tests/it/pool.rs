//! `GET …/pool/stats`.

use std::time::Duration;

use ruleiq_test_support::eventually;

use crate::service::{Service, pools, postgres};

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
