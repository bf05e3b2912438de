//! The cases of the cache, in a namespace of their own.

use std::{ops::Range, sync::Arc, time::Duration};

use ruleiq_bench::{Fault, Target};
use ruleiq_cache::CacheManager;
use ruleiq_pools::PoolManager;
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    job::{Doing, Job, Operation, Preparing, Work},
    profile::CachedProfile,
};

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

/// The values of a run and where they are kept. Made before anything is timed.
pub(super) struct Records {
    /// They live in Redis alone, so that it is asked every time.
    cache: CacheManager,
    keys: Vec<String>,
    profiles: Vec<CachedProfile>,
}

impl Records {
    fn new(cache: CacheManager) -> Records {
        let numbers = 0..CACHE_KEYS;
        Records {
            cache,
            keys: numbers
                .clone()
                .map(|it| format!("profile:{it:012}"))
                .collect(),
            profiles: numbers
                .map(|it| CachedProfile::new(it, CACHE_VALUE_BYTES))
                .collect(),
        }
    }

    /// The key of a time and what is kept under it.
    fn at(&self, time: u64) -> (&str, &CachedProfile) {
        let at = usize::try_from(time % KEYS).expect("below a `u32`");
        (&self.keys[at], &self.profiles[at])
    }

    /// Stores what these times need, each key once.
    async fn store(&self, times: Range<u64>) -> Result<(), Fault> {
        let last = times.end.min(times.start + KEYS);
        let times: Vec<u64> = (times.start..last).collect();
        for batch in times.chunks(BATCH) {
            let values = batch.iter().map(|time| self.at(*time));
            let values = values.map(|(key, profile)| (key, profile.clone()));
            let stored = self.cache.mset(values, TTL).await;
            stored.map_err(Fault::failed)?;
        }
        Ok(())
    }

    async fn clear(&self) {
        for batch in self.keys.chunks(BATCH) {
            let keys: Vec<&str> = batch.iter().map(String::as_str).collect();
            self.cache.delete(&keys).await;
        }
    }
}

/// A run's place in Redis, and its turn. Both are given back when the run and its last task are gone,
/// however that happens.
pub(super) struct Guest {
    /// None without Redis.
    records: Option<Arc<Records>>,
    has_left: bool,
    turn: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// With a namespace that nobody else has.
    pub(super) fn new(
        pools: &PoolManager,
        turn: OwnedSemaphorePermit,
    ) -> Result<Arc<Guest>, Fault> {
        Ok(Arc::new(Guest {
            records: namespace(pools)?.map(Records::new).map(Arc::new),
            has_left: false,
            turn: Some(turn),
        }))
    }

    pub(super) fn records(&self) -> Option<&Arc<Records>> {
        self.records.as_ref()
    }

    /// Takes its keys away, and gives its turn to others; where a task is still there, it does so.
    pub(super) async fn leave(self: Arc<Self>) {
        if let Some(mut guest) = Arc::into_inner(self) {
            // A deletion that Redis does not hear of now is delivered when it does.
            clear(guest.records.as_deref()).await;
            guest.has_left = true;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.has_left {
            return;
        }
        // Without a runtime the process is at its end; the keys expire.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (records, turn) = (self.records.take(), self.turn.take());
            runtime.spawn(async move {
                clear(records.as_deref()).await;
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

async fn clear(records: Option<&Records>) {
    if let Some(records) = records {
        drop(timeout(CLEARING, records.clear()).await);
    }
}

/// The case of this name, ready.
///
/// # Errors
///
/// When its values cannot be stored.
pub(super) async fn job(name: &'static str, records: Option<&Arc<Records>>) -> Result<Job, Fault> {
    let records = records.ok_or_else(|| Fault::Failed("the service has no Redis".to_owned()))?;
    if matches!(name, "l2_hit_1" | "mget_100") {
        records.store(0..KEYS).await?;
    }
    let records = Arc::clone(records);
    let cache = records.cache.clone();
    let (about, targets, operation): (_, _, Arc<Operation>) = match name {
        "l2_hit_1" => (
            "A value from Redis.",
            target(2_000.0, 5_000.0),
            Arc::new(move |time| get(Arc::clone(&records), time)),
        ),
        "get_miss" => (
            "A key that has no value.",
            vec![],
            Arc::new(move |time| miss(Arc::clone(&records), time)),
        ),
        "set" => (
            "A value is stored.",
            target(3_000.0, 10_000.0),
            Arc::new(move |time| set(Arc::clone(&records), time)),
        ),
        "delete" => return Ok(delete(records)),
        "mget_100" => (
            "100 values from Redis.",
            vec![],
            Arc::new(move |time| get_many(Arc::clone(&records), time)),
        ),
        "mset_100" => (
            "100 values are stored.",
            vec![],
            Arc::new(move |time| set_many(Arc::clone(&records), time)),
        ),
        _ => unreachable!("`NAMES` has no other"),
    };
    Ok(waiting(name, about, targets, cache, operation))
}

fn waiting(
    case: &'static str,
    about: &'static str,
    targets: Vec<Target>,
    cache: CacheManager,
    operation: Arc<Operation>,
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
fn delete(records: Arc<Records>) -> Job {
    let (cache, prepared) = (records.cache.clone(), Arc::clone(&records));
    let operation: Arc<Operation> = Arc::new(move |time| {
        let records = Arc::clone(&records);
        Box::pin(async move {
            let (key, _) = records.at(time);
            records.cache.delete(&[key]).await;
            Ok(())
        })
    });
    let job = waiting("delete", "A value is taken away.", vec![], cache, operation);
    let Work::Waiting {
        tasks, operation, ..
    } = job.work
    else {
        unreachable!("`waiting` makes no other")
    };
    let prepare: Box<Preparing> = Box::new(move |times| {
        let records = Arc::clone(&prepared);
        Box::pin(async move { records.store(times).await })
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

fn get(records: Arc<Records>, time: u64) -> Doing {
    Box::pin(async move {
        let (key, right) = records.at(time);
        let found = records.cache.get::<CachedProfile>(key).await;
        is_right(found.as_deref(), right)
    })
}

fn miss(records: Arc<Records>, time: u64) -> Doing {
    Box::pin(async move {
        let key = format!("never-{time}");
        match records.cache.get::<CachedProfile>(&key).await {
            None => Ok(()),
            Some(_) => Err(Fault::Wrong("a value that nobody stored".to_owned())),
        }
    })
}

fn set(records: Arc<Records>, time: u64) -> Doing {
    Box::pin(async move {
        let (key, profile) = records.at(time);
        let stored = records.cache.set(key, profile.clone(), TTL).await;
        stored.map_err(Fault::failed)
    })
}

fn get_many(records: Arc<Records>, time: u64) -> Doing {
    Box::pin(async move {
        let (keys, right): (Vec<&str>, Vec<&CachedProfile>) =
            (time..time + MANY).map(|it| records.at(it)).unzip();
        let found = records.cache.mget::<CachedProfile>(&keys).await;
        let mut pairs = found.iter().zip(right);
        pairs.try_for_each(|(found, right)| is_right(found.as_deref(), right))
    })
}

fn set_many(records: Arc<Records>, time: u64) -> Doing {
    Box::pin(async move { records.store(time..time + MANY).await })
}

/// Only the numbers are compared, as the command's benchmark does while it measures.
fn is_right(found: Option<&CachedProfile>, right: &CachedProfile) -> Result<(), Fault> {
    match found {
        Some(found) if found.number == right.number => Ok(()),
        Some(_) => Err(Fault::Wrong("the value of another key".to_owned())),
        None => Err(Fault::Wrong("a value is not there".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_deletion_of_the_longest_part_has_a_key_of_its_own() {
        let cache = CacheManager::builder().build().unwrap();
        let records = Records::new(cache);
        let part = crate::routes::benchmark::MAX_ITERATIONS / super::super::run::PARTS;
        let keys: BTreeSet<&str> = (part..2 * part).map(|it| records.at(it).0).collect();
        assert_eq!(keys.len() as u64, part);
    }
}
