//! Writing to Redis: one value, and many at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use ruleiq_bench::{Arm, Case, Fault, Process, Target, concurrent};
use ruleiq_cache::CacheManager;
use ruleiq_performance::benchmark::CachedProfile;

use super::{
    OURS, TASKS,
    redis::{self, FRED, Remote, counted, telling},
    settings::{Draws, Settings},
    values::{encoded, json, missing},
};
use crate::{
    Env, Options,
    around::verified,
    redis_benchmark::{self, Load, redis_benchmark},
};

/// Keys of one `mset`.
const MANY: u32 = 100;
/// What the process may hold of what it writes: the default of the cache.
const L1_MAX_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn set(options: &Options) -> Case<Env> {
    let tasks = options.concurrency.unwrap_or(TASKS);
    Case::builder("cache", "set", settings(options, tasks, 1))
        .about("A value of 1 KB written, encoding included.")
        .cpu_of([Process::Client, Process::Redis])
        .target(Target::value_at_most("latency_p95", 3_000.0).critical_beyond(10_000.0))
        .quick()
        .subject(OURS.0, OURS.1, ours)
        .control("fred", FRED, bare)
        .peer("redis-benchmark", redis_benchmark::version(), peer)
        .build()
}

pub(super) fn mset_100(options: &Options) -> Case<Env> {
    let tasks = options.concurrency.unwrap_or(1);
    Case::builder("cache", "mset_100", settings(options, tasks, MANY))
        .about("A hundred values of 1 KB written, encoding included.")
        .cpu_of([Process::Client, Process::Redis])
        .subject(OURS.0, OURS.1, ours)
        .control("fred, pipelined", FRED, bare)
        .build()
}

fn settings(options: &Options, tasks: usize, per_operation: u32) -> Settings {
    Settings {
        // Two writes of one key at once would get into each other's way, by chance.
        draws: Draws::Shuffled,
        l1_max_bytes: L1_MAX_BYTES,
        ..Settings::remote(options, tasks, per_operation)
    }
}

/// What all tasks of a side share.
struct Writer {
    remote: Arc<Remote>,
    order: Vec<u32>,
    next: AtomicUsize,
    per_operation: usize,
    ttl_s: u64,
}

impl Writer {
    async fn connect(env: &Env, settings: &Settings) -> Result<Arc<Writer>, Fault> {
        let remote = Remote::connect(env, settings).await?;
        Ok(Arc::new(Writer {
            order: remote.values.order(0),
            remote,
            next: AtomicUsize::new(0),
            per_operation: settings.per_operation as usize,
            ttl_s: settings.ttl_s,
        }))
    }

    /// The keys and values of the next operation: the next ones in their order.
    fn items(&self) -> impl Iterator<Item = (u32, &Arc<CachedProfile>)> {
        let count = self.per_operation.min(self.order.len());
        let first = self.next.fetch_add(count, Relaxed);
        (first..first + count).map(|it| {
            let number = self.order[it % self.order.len()];
            (number, &self.remote.values.profiles[number as usize])
        })
    }
}

async fn ours(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let writer = Writer::connect(&env, &settings).await?;
    let remote = Arc::clone(&writer.remote);
    let cache = remote.cache(settings.l1_max_bytes)?;
    // What Redis has, and not what the process holds.
    let reading = remote.cache(0)?;
    let ttl = settings.ttl();
    let told = cache.clone();
    let operation = move || {
        let (writer, cache) = (Arc::clone(&writer), cache.clone());
        async move {
            let keys = &writer.remote.values.keys;
            // An `Arc`, since whoever sets a value gives it away, and here it is needed again.
            let items = writer
                .items()
                .map(|(number, it)| (&keys[number as usize], Arc::clone(it)));
            cache.mset(items, ttl).await.map_err(Fault::failed)?;
            Ok(())
        }
    };
    let arm = concurrent(settings.at_once, operation, |()| Ok(()));
    let arm = written(arm, &remote, move |remote, number| {
        let reading = reading.clone();
        async move { our_value(&reading, &remote, number).await }
    });
    Ok(counted(telling(arm, told), remote))
}

async fn our_value(
    cache: &CacheManager,
    remote: &Remote,
    number: u32,
) -> Result<Option<CachedProfile>, Fault> {
    let found = cache
        .get::<Arc<CachedProfile>>(&remote.values.keys[number as usize])
        .await;
    Ok(found.map(|it| CachedProfile::clone(&it)))
}

async fn bare(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let writer = Writer::connect(&env, &settings).await?;
    let (names, remote) = (Arc::new(writer.remote.names()), Arc::clone(&writer.remote));
    let operation = move || {
        let (writer, names) = (Arc::clone(&writer), Arc::clone(&names));
        async move { write(&writer, &names).await }
    };
    let arm = concurrent(settings.at_once, operation, |()| Ok(()));
    let arm = written(arm, &remote, |remote, number| async move {
        let found: Option<Bytes> = remote
            .client
            .get(remote.name(number))
            .await
            .map_err(Fault::failed)?;
        Ok(found.and_then(|it| postcard::from_bytes(&it).ok()))
    });
    Ok(counted(arm, remote))
}

async fn write(writer: &Writer, names: &[String]) -> Result<(), Fault> {
    let commands = &writer.remote.commands;
    let items = writer.items().map(|(number, profile)| {
        let bytes = encoded(&**profile).into();
        (&*names[number as usize], bytes)
    });
    if writer.per_operation == 1 {
        for (name, bytes) in items {
            let set = redis::set(commands, name, bytes, writer.ttl_s).await;
            set.map_err(Fault::failed)?;
        }
        return Ok(());
    }
    let pipeline = writer.remote.client.pipeline();
    let pipeline = pipeline.with_options(commands.options());
    for (name, bytes) in items {
        let set = redis::set(&pipeline, name, bytes, writer.ttl_s).await;
        set.map_err(Fault::failed)?;
    }
    pipeline.all::<()>().await.map_err(Fault::failed)
}

/// `arm`, whose check compares what Redis has afterwards. Reads what the first operation wrote.
fn written<F>(
    arm: Box<dyn Arm>,
    remote: &Arc<Remote>,
    read: impl Fn(Arc<Remote>, u32) -> F + Send + Sync + 'static,
) -> Box<dyn Arm>
where
    F: Future<Output = Result<Option<CachedProfile>, Fault>> + Send + 'static,
{
    let (remote, read) = (Arc::clone(remote), Arc::new(read));
    verified(arm, move || {
        let (remote, read) = (Arc::clone(&remote), Arc::clone(&read));
        async move {
            let number = *remote.values.order(0).first().ok_or_else(|| missing(0))?;
            let found = read(Arc::clone(&remote), number).await?;
            remote.values.compare(number, found.as_ref())
        }
    })
}

/// As many `SET`s under way on one connection as the others have tasks.
async fn peer(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let remote = Remote::connect(&env, &settings).await?;
    let value = String::from_utf8(json(&*remote.values.profiles[0]));
    let load = Load {
        prefix: remote.prefix.clone(),
        command: vec![
            "SET".into(),
            format!("{}:profile:__rand_int__", remote.prefix),
            value.map_err(Fault::failed)?,
            "EX".into(),
            settings.ttl_s.to_string(),
        ],
        pipeline: settings.at_once,
        keys: settings.keys,
    };
    redis_benchmark(env.redis_url()?, load, remote).await
}
