//! The cases of the cache, in a namespace of their own.

use std::time::Duration;

use ruleiq_bench::{Fault, Target};
use ruleiq_cache::CacheManager;
use ruleiq_pools::PoolManager;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::job::{Doing, Job, Preparing, Work};

/// Their names.
pub(super) const NAMES: [&str; 6] = [
    "l2_hit_1", "get_miss", "set", "delete", "mget_100", "mset_100",
];
/// The keys that the cases of Redis use, here and in the command's benchmark. They are deleted by
/// name, since a pattern would read every key of Redis; and there are as many as a part has
/// operations, so that each deletion of a part finds a key.
pub const CACHE_KEYS: u32 = 1_000;
/// The size of their values as JSON.
pub const CACHE_VALUE_BYTES: usize = 1_024;
const KEYS: u64 = CACHE_KEYS as u64;
/// Keys of one command that fills or clears.
const BATCH: usize = 250;
/// Operations under way at once: what `--concurrency 2` is.
const TASKS: usize = 2;
/// Keys of one operation on many.
const MANY: u64 = 100;
/// What is left behind by a process that is killed does not live longer.
const TTL: Duration = Duration::from_secs(60);
/// How long the end of a run waits for its keys to be gone; after that they go in the background.
const CLEARING: Duration = Duration::from_millis(500);

/// What is kept: the size of a small record.
#[derive(Deserialize, Serialize)]
struct Kept {
    number: u64,
    text: String,
}

/// A run's place in Redis, and its turn. Both are given back when it ends, however that happens.
pub(super) struct Guest {
    /// Values live in Redis alone, so that it is asked every time. None without Redis.
    namespace: Option<CacheManager>,
    has_left: bool,
    turn: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// With a namespace that nobody else has.
    pub(super) fn new(pools: &PoolManager, turn: OwnedSemaphorePermit) -> Result<Guest, Fault> {
        Ok(Guest {
            namespace: namespace(pools)?,
            has_left: false,
            turn: Some(turn),
        })
    }

    pub(super) fn namespace(&self) -> Option<&CacheManager> {
        self.namespace.as_ref()
    }

    /// Takes its keys away, and gives its turn to others.
    pub(super) async fn leave(mut self) {
        // A deletion that Redis does not hear of now is delivered when it does.
        drop(timeout(CLEARING, clear(self.namespace.as_ref())).await);
        self.has_left = true;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        // Without a runtime the process is at its end; the keys expire.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (namespace, turn) = (self.namespace.clone(), self.turn.take());
            runtime.spawn(async move {
                drop(timeout(CLEARING, clear(namespace.as_ref())).await);
                drop(turn);
            });
        }
    }
}

fn namespace(pools: &PoolManager) -> Result<Option<CacheManager>, Fault> {
    let Some(client) = pools.redis() else {
        return Ok(None);
    };
    let cache = CacheManager::builder()
        .prefix(format!("ruleiq-benchmark-{}", uuid::Uuid::new_v4()))
        .l1_max_bytes(0)
        .redis(client);
    cache.build().map(Some).map_err(Fault::failed)
}

async fn clear(cache: Option<&CacheManager>) {
    let Some(cache) = cache else { return };
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    for batch in keys.chunks(BATCH) {
        let keys: Vec<&str> = batch.iter().map(String::as_str).collect();
        cache.delete(&keys).await;
    }
}

/// The case of this name, ready.
///
/// # Errors
///
/// When its values cannot be stored.
pub(super) async fn job(name: &'static str, cache: Option<&CacheManager>) -> Result<Job, Fault> {
    let cache = cache.ok_or_else(|| Fault::Failed("the service has no Redis".to_owned()))?;
    if matches!(name, "l2_hit_1" | "mget_100") {
        store(cache, 0..KEYS).await?;
    }
    let cache = cache.clone();
    let asked = cache.clone();
    let (about, targets, operation): (_, _, Box<dyn Fn(u64) -> Doing<()>>) = match name {
        "l2_hit_1" => (
            "A value from Redis.",
            target(2_000.0, 5_000.0),
            Box::new(move |time| get(cache.clone(), time)),
        ),
        "get_miss" => (
            "A key that has no value.",
            vec![],
            Box::new(move |time| miss(cache.clone(), time)),
        ),
        "set" => (
            "A value is stored.",
            target(3_000.0, 10_000.0),
            Box::new(move |time| set(cache.clone(), time)),
        ),
        "delete" => return Ok(delete(cache)),
        "mget_100" => (
            "100 values from Redis.",
            vec![],
            Box::new(move |time| get_many(cache.clone(), time)),
        ),
        "mset_100" => (
            "100 values are stored.",
            vec![],
            Box::new(move |time| set_many(cache.clone(), time)),
        ),
        _ => unreachable!("`NAMES` has no other"),
    };
    Ok(waiting(name, about, targets, asked, operation))
}

fn waiting(
    case: &'static str,
    about: &'static str,
    targets: Vec<Target>,
    cache: CacheManager,
    operation: Box<dyn Fn(u64) -> Doing<()>>,
) -> Job {
    // The one that is asked for by its name is asked for one at a time, whoever measures it.
    let tasks = if case == "l2_hit_1" { 1 } else { TASKS };
    let per_operation = if case.ends_with("_100") { MANY } else { 1 };
    Job {
        component: "cache",
        case,
        about,
        settings: json!({
            "at_once": tasks,
            "keys": KEYS,
            "value_bytes": CACHE_VALUE_BYTES,
            "per_operation": per_operation,
        }),
        targets,
        cache: Some(cache),
        work: Work::Waiting {
            tasks,
            prepare: None,
            operation,
        },
    }
}

fn target(p95_us: f64, critical_us: f64) -> Vec<Target> {
    vec![Target::value_at_most("latency_p95", p95_us).critical_beyond(critical_us)]
}

/// The values are put there beforehand, which is not timed.
fn delete(cache: CacheManager) -> Job {
    let (prepared, asked) = (cache.clone(), cache.clone());
    let operation: Box<dyn Fn(u64) -> Doing<()>> = Box::new(move |time| {
        let cache = cache.clone();
        Box::pin(async move {
            cache.delete(&[&key(time)]).await;
            Ok(())
        })
    });
    let job = waiting("delete", "A value is taken away.", vec![], asked, operation);
    let Work::Waiting {
        tasks, operation, ..
    } = job.work
    else {
        unreachable!("`waiting` makes no other")
    };
    let prepare: Box<Preparing> = Box::new(move |times| {
        let cache = prepared.clone();
        Box::pin(async move { store(&cache, times).await })
    });
    Job {
        work: Work::Waiting {
            tasks,
            prepare: Some(prepare),
            operation,
        },
        ..job
    }
}

fn get(cache: CacheManager, time: u64) -> Doing<()> {
    Box::pin(async move {
        let value = cache.get::<Kept>(&key(time)).await;
        is_right(value.as_deref(), time)
    })
}

fn miss(cache: CacheManager, time: u64) -> Doing<()> {
    Box::pin(async move {
        let value = cache.get::<Kept>(&format!("never-{time}")).await;
        match value {
            None => Ok(()),
            Some(_) => Err(Fault::Wrong("a value that nobody stored".to_owned())),
        }
    })
}

fn set(cache: CacheManager, time: u64) -> Doing<()> {
    Box::pin(async move {
        let stored = cache.set(&key(time), kept(time), TTL).await;
        stored.map_err(Fault::failed)
    })
}

fn get_many(cache: CacheManager, time: u64) -> Doing<()> {
    Box::pin(async move {
        let keys: Vec<String> = (time..time + MANY).map(key).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let values = cache.mget::<Kept>(&keys).await;
        let mut pairs = values.iter().zip(time..);
        pairs.try_for_each(|(value, time)| is_right(value.as_deref(), time))
    })
}

fn set_many(cache: CacheManager, time: u64) -> Doing<()> {
    Box::pin(async move { store(&cache, time..time + MANY).await })
}

/// Stores what these times need, each key once.
async fn store(cache: &CacheManager, times: std::ops::Range<u64>) -> Result<(), Fault> {
    let last = times.end.min(times.start + KEYS);
    let times: Vec<u64> = (times.start..last).collect();
    for batch in times.chunks(BATCH) {
        let values = batch.iter().map(|time| (key(*time), kept(*time)));
        cache.mset(values, TTL).await.map_err(Fault::failed)?;
    }
    Ok(())
}

fn key(time: u64) -> String {
    format!("record:{}", time % KEYS)
}

fn kept(time: u64) -> Kept {
    let number = time % KEYS;
    // `{"number":7,"text":"…"}`
    let around = r#"{"number":,"text":""}"#.len() + number.to_string().len();
    let mut text = format!("record {number} of a benchmark, ").repeat(64);
    text.truncate(CACHE_VALUE_BYTES - around);
    Kept { number, text }
}

fn is_right(value: Option<&Kept>, time: u64) -> Result<(), Fault> {
    match value {
        Some(kept) if kept.number == time % KEYS => Ok(()),
        Some(_) => Err(Fault::Wrong("the value of another key".to_owned())),
        None => Err(Fault::Wrong("a value is not there".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn values_have_the_size_that_is_told() {
        for time in [0, 7, KEYS - 1, 123_456] {
            let bytes = serde_json::to_vec(&kept(time)).unwrap();
            assert_eq!(bytes.len(), CACHE_VALUE_BYTES);
        }
    }

    #[test]
    fn each_deletion_of_the_longest_part_has_a_key_of_its_own() {
        let part = crate::routes::benchmark::MAX_ITERATIONS / super::super::run::PARTS;
        let keys: BTreeSet<String> = (part..2 * part).map(key).collect();
        assert_eq!(keys.len() as u64, part);
    }
}
