//! `GET …/cache/stats`.

use std::time::Duration;

use ruleiq_test_support::eventually;

use crate::service::Service;

#[actix_web::test]
async fn hits_and_misses_are_counted() {
    let (service, _database, _redis) = Service::start().await;
    let ttl = Duration::from_secs(60);
    // Redis is connected to in the background.
    eventually(Duration::from_secs(10), || async {
        service.cache.set("key", 1_u32, ttl).await.is_ok()
    })
    .await;
    assert_eq!(service.cache.get::<u32>("key").await.as_deref(), Some(&1));
    assert_eq!(service.cache.get::<u32>("other").await, None);

    let stats = service.get("/api/v1/performance/cache/stats").await.ok();

    assert_eq!(stats["misses"], 1, "{stats}");
    assert_eq!(stats["hit_rate"], 0.5, "{stats}");
    assert_eq!(stats["l1_entries"], 1, "{stats}");
}
