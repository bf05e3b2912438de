//! `GET /health`.

use actix_web::http::Method;
use ruleiq_test_support::{FaultProxy, TestDatabase, TestRedis};
use serde_json::json;

use crate::service::{Answer, Service, pools, postgres};

async fn ask(service: &Service) -> Answer {
    service.send(Method::GET, "/health", None).await
}

#[actix_web::test]
async fn each_server_that_fails_shows_in_the_answer() {
    let database = TestDatabase::migrated().await;
    let redis = TestRedis::namespace().await;
    let (db_proxy, redis_proxy) = (
        FaultProxy::in_front_of(database.app_url()).await,
        FaultProxy::in_front_of(redis.url()).await,
    );
    let pools = pools(
        postgres(&db_proxy.url(database.app_url())),
        &redis_proxy.url(redis.url()),
    );
    let service = Service::over(&pools, redis.prefix());
    let healthy = json!({ "status": "healthy", "database": true, "redis": true });
    assert_eq!(ask(&service).await.ok(), healthy);
    let beside = service.get("/api/v1/performance/health").await;
    assert_eq!(beside.ok(), healthy);

    redis_proxy.refuse().await;
    let degraded = ask(&service).await.ok();
    assert_eq!(
        degraded,
        json!({ "status": "degraded", "database": true, "redis": false })
    );

    db_proxy.refuse().await;
    let down = ask(&service).await;
    assert_eq!(down.status, 503);
    assert_eq!(down.header("cache-control"), "no-store");
    assert_eq!(
        down.body,
        json!({ "status": "unhealthy", "database": false, "redis": false })
    );

    db_proxy.heal().await;
    redis_proxy.heal().await;
    ruleiq_test_support::eventually(std::time::Duration::from_secs(30), || async {
        ask(&service).await.body == healthy
    })
    .await;
}

#[actix_web::test]
async fn a_server_that_never_answers_is_not_waited_for() {
    let database = TestDatabase::migrated().await;
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(database.app_url()).await;
    let pools = pools(postgres(&proxy.url(database.app_url())), redis.url());
    let service = Service::over(&pools, redis.prefix());
    proxy.stall().await;
    let answer = ask(&service).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body["redis"], true);
}
