//! What is counted, and how it is shown.

use prometheus::{Registry, TextEncoder};
use ruleiq_cache::CacheMetrics;

use crate::place::{Place, TTL, in_process};

#[tokio::test]
async fn stats_and_families_count_the_same() {
    let place = Place::new().await;
    let registry = Registry::new();
    let metrics = CacheMetrics::register(&registry).unwrap();
    let options = place.options(place.redis.client().await);
    let cache = options.metrics(metrics).build().unwrap();
    let other = place.cache().await;

    assert!(cache.get::<u8>("k").await.is_none());
    other.set("k", 1_u8, TTL).await.unwrap();
    for _ in 0..2 {
        assert!(cache.get::<u8>("k").await.is_some());
    }
    let fail = || async { Err::<u8, _>("failed") };
    assert!(cache.get_or_load("other", TTL, fail).await.is_err());

    let stats = cache.stats();
    assert_eq!((stats.l1_hits, stats.l2_hits, stats.misses), (1, 1, 2));
    assert_eq!((stats.loads, stats.load_failures), (1, 1));
    assert!((stats.hit_rate - 0.5).abs() < f64::EPSILON);
    assert_eq!(stats.l1_entries, 1);
    assert!(stats.l1_bytes > 0);
    assert_eq!(stats.redis_available, Some(true));

    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    for line in [
        "ruleiq_cache_hits_total{prefix=\"\",tier=\"l1\"} 1",
        "ruleiq_cache_hits_total{prefix=\"\",tier=\"l2\"} 1",
        "ruleiq_cache_misses_total{prefix=\"\"} 2",
        "ruleiq_cache_loads_total{outcome=\"failed\",prefix=\"\"} 1",
        "ruleiq_cache_loads_total{outcome=\"ok\",prefix=\"\"} 0",
        "ruleiq_cache_l1_entries 1",
        "ruleiq_cache_pending_invalidations 0",
        "ruleiq_cache_redis_errors_total{kind=\"timed_out\"} 0",
        "ruleiq_cache_redis_up 1",
        "ruleiq_cache_load_duration_seconds_count 1",
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "`{line}` is not in\n{text}"
        );
    }
}

#[tokio::test]
async fn the_families_are_registered_once() {
    let registry = Registry::new();
    CacheMetrics::register(&registry).unwrap();
    assert!(CacheMetrics::register(&registry).is_err());
}

#[tokio::test]
async fn a_new_cache_has_a_hit_rate_of_zero_and_knows_of_no_redis() {
    let stats = in_process().stats();
    let shown = serde_json::to_value(stats).unwrap();
    assert_eq!(shown["hit_rate"], 0.0);
    assert!(shown.get("redis_available").is_none(), "{shown}");
}
