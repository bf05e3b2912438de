//! Redis: whether it answers, and what it does when it is full.

use ruleiq_pools::PoolManager;

use super::Finding;

const SUBJECT: &str = "redis";

pub(super) async fn check(pools: &PoolManager) -> Finding {
    let Some(info) = pools.redis_info().await else {
        return Finding::fail(
            SUBJECT,
            "does not answer, or refuses the login: see REDIS_URL; the server works without it, and slower",
        );
    };
    let (version, policy) = (&info.version, &info.max_memory_policy);
    match info.max_memory_bytes {
        0 => Finding::note(
            SUBJECT,
            format!("reachable, version {version}, without a limit of memory; set `maxmemory`"),
        ),
        _ if policy == "noeviction" => Finding::note(
            SUBJECT,
            format!(
                "reachable, version {version}; when its memory is full, writes fail: set \
                 `maxmemory-policy allkeys-lru`"
            ),
        ),
        bytes => Finding::ok(
            SUBJECT,
            format!("reachable, version {version}, {policy} at {bytes} bytes"),
        ),
    }
}
