//! Redis.

use ruleiq_pools::PoolManager;

use super::Finding;

pub(super) async fn check(pools: &PoolManager) -> Vec<Finding> {
    let answers = pools.health_check().await.redis == Some(true);
    vec![match answers {
        true => Finding::ok("redis", "reachable"),
        false => Finding::fail(
            "redis",
            "does not answer; see REDIS_URL. The server works without it, and slower",
        ),
    }]
}
