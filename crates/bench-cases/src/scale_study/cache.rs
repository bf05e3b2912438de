//! The cache as keys in Redis grow, and as values in the process do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fred::interfaces::ClientLike as _;
use ruleiq_bench::{Arm, Fault, concurrent, cpu::Servers, report::GrowthPoint};
use ruleiq_cache::CacheManager;
use ruleiq_pools::{PoolManager, RedisConfig};
use uuid::Uuid;

use super::{Found, Say, Series, point};
use crate::{Env, around::in_batches, draws::Draws};

/// Commands to Redis that are under way at once.
const TASKS: usize = 64;
/// Keys in one filling command.
const BATCH: usize = 500;
/// Longer than filling and measuring take; what a killed study leaves is gone after it.
const LIFETIME: Duration = Duration::from_secs(900);
/// While filling, Redis is busy for longer than a reader would wait.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const CLEAR_LIMIT: Duration = Duration::from_secs(60);
/// More than all values take.
const ROOM: usize = 2 << 30;
/// A value: long enough that it is not its key that is measured.
const VALUE_BYTES: usize = 100;
/// What the cache adds to each value's bytes and its key's.
const OVERHEAD_BYTES: u64 = 128;

/// Keys that all have a value.
struct Filled {
    cache: CacheManager,
    keys: Draws<String>,
}

pub(super) async fn grow(
    env: &Arc<Env>,
    servers: Servers,
    sizes: &[u64],
    found: &Found,
    say: Say<'_>,
) -> Result<(), Fault> {
    let remote = Series {
        what: "keys",
        component: "cache",
        case: "l2_hit_64",
    };
    let local = Series {
        what: "cache_bytes",
        component: "cache",
        case: "l1_hit",
    };
    for size in sizes {
        say(&remote.says(*size));
        let measured = redis_point(env, servers, *size).await;
        if !found.keep(remote, *size, measured, say)? {
            break;
        }
    }
    for size in sizes {
        say(&format!("{}, by values", local.says(*size)));
        let measured = process_point(env, servers, *size).await;
        if !found.keep(local, *size, measured, say)? {
            break;
        }
    }
    Ok(())
}

async fn redis_point(env: &Env, servers: Servers, size: u64) -> Result<GrowthPoint, Fault> {
    let redis = RedisConfig {
        command_timeout: COMMAND_LIMIT,
        ..RedisConfig::new(env.redis_url()?)
    };
    let pools = PoolManager::builder().redis(redis).build();
    let pools = pools.map_err(Fault::failed)?;
    let client = pools.redis().expect("it was given");
    let connected = tokio::time::timeout(CONNECT_LIMIT, client.wait_for_connect()).await;
    connected
        .map_err(|_| Fault::Failed("Redis does not answer".to_owned()))?
        .map_err(Fault::failed)?;
    let cache = CacheManager::builder()
        .redis(client)
        .prefix(format!("ruleiq-bench-{}", Uuid::new_v4().simple()))
        .command_timeout(COMMAND_LIMIT)
        .l1_max_bytes(0)
        .build()
        .map_err(Fault::failed)?;
    let filled = Arc::new(Filled::new(cache.clone(), env, size).await?);
    let operation = move || {
        let filled = Arc::clone(&filled);
        async move { filled.get().await }
    };
    let mut arm = concurrent(TASKS, operation, |()| Ok(()));
    let measured = point::measure(size, &mut *arm, servers, BTreeMap::new()).await;
    drop(arm);
    // What is left when that takes too long expires.
    drop(tokio::time::timeout(CLEAR_LIMIT, cache.delete_pattern("?*")).await);
    pools.close().await;
    measured
}

async fn process_point(env: &Env, servers: Servers, size: u64) -> Result<GrowthPoint, Fault> {
    let cache = CacheManager::builder()
        .prefix("ruleiq-bench")
        .l1_max_bytes(ROOM)
        .build()
        .map_err(Fault::failed)?;
    let filled = Arc::new(Filled::new(cache, env, size).await?);
    let key_bytes = filled.keys.next().len() as u64;
    let bytes = size * (VALUE_BYTES as u64 + 2 + key_bytes + OVERHEAD_BYTES);
    let operation = move || {
        let filled = Arc::clone(&filled);
        async move { filled.get().await }
    };
    let mut arm: Box<dyn Arm> = in_batches(operation);
    #[expect(clippy::cast_precision_loss, reason = "a count of values")]
    let figures = BTreeMap::from([("values".to_owned(), size as f64)]);
    point::measure(bytes, &mut *arm, servers, figures).await
}

impl Filled {
    async fn new(cache: CacheManager, env: &Env, size: u64) -> Result<Filled, Fault> {
        let keys: Vec<String> = (0..size).map(|n| format!("study:{n:08}")).collect();
        for batch in keys.chunks(BATCH) {
            let values = batch.iter().map(|key| (key, value(key)));
            let stored = cache.mset(values, LIFETIME).await;
            stored.map_err(Fault::failed)?;
        }
        Ok(Filled {
            cache,
            keys: Draws::uniform(env.seed(), "keys", keys)?,
        })
    }

    async fn get(&self) -> Result<(), Fault> {
        let key = self.keys.next();
        match self.cache.get::<String>(key).await {
            Some(found) if found.len() == VALUE_BYTES && found.ends_with(key.as_str()) => Ok(()),
            Some(_) => Err(Fault::Wrong(format!("`{key}` has another's value"))),
            None => Err(Fault::Failed("a key that is there is a miss".to_owned())),
        }
    }
}

fn value(key: &str) -> String {
    format!("{key:.>VALUE_BYTES$}")
}
