//! What the cache does without Redis: hits in the process, and keys.
//!
//! The judging control of hits is moka, which people would use otherwise. The second one is the crate
//! that our first tier stands on, with our settings of it: what types, expiry and handles cost on
//! top.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use moka::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::DefaultLifecycle};
use ruleiq_bench::{Arm, Case, Fault, Target, repeat, threads};
use ruleiq_cache::{__macro::Key, CacheManager};
use ruleiq_performance::benchmark::CachedProfile;
use serde::Serialize;

use super::{OURS, settings::Settings, values::Values};
use crate::{
    Env, Options,
    judged::{Wrong, judged},
    seeded::Seeded,
};

/// What moka counts besides a value, as its documentation asks of a weigher.
const ENTRY_BYTES: usize = 128;
const STATUSES: [&str; 4] = ["draft", "in_progress", "completed", "archived"];

/// The version of the crate below our first tier.
const QUICK_CACHE: (&str, &str) = ("quick_cache", "0.7");
/// As our first tier splits its room into shards.
const SHARD_BYTES: usize = 4 * 1024 * 1024;
const ESTIMATED_ENTRY_BYTES: usize = 2_048;

/// A hit: its number and its value.
type Hit = (u32, Option<Arc<CachedProfile>>);

pub(super) fn l1_hit(options: &Options) -> Case<Env> {
    hits("l1_hit", Settings::local(options, 1))
        .about("A value that the process holds, read on one thread.")
        .on_one_thread()
        .quick()
        .subject(OURS.0, OURS.1, ours)
        .control("moka", "0.12", moka)
        .control(QUICK_CACHE.0, QUICK_CACHE.1, bare)
        .build()
}

pub(super) fn l1_hit_2(options: &Options) -> Case<Env> {
    hits("l1_hit_2", Settings::local(options, 2))
        .about("A value that the process holds, read on two threads at once.")
        .subject(OURS.0, OURS.1, ours)
        .control("moka", "0.12", moka)
        .control(QUICK_CACHE.0, QUICK_CACHE.1, bare)
        .build()
}

fn hits(name: &str, settings: Settings) -> ruleiq_bench::CaseBuilder<Env, Settings> {
    Case::builder("cache", name, settings).target(Target::ratio_at_most(0.6))
}

async fn ours(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let values = Arc::new(Values::new(env.seed(), &settings));
    let cache = CacheManager::builder()
        .l1_max_bytes(settings.l1_max_bytes)
        .build()
        .map_err(Fault::failed)?;
    for (key, profile) in values.keys.iter().zip(&values.profiles) {
        let set = cache.set(key, CachedProfile::clone(profile), settings.ttl());
        set.await.map_err(Fault::failed)?;
    }
    let get = move |key: &str| {
        // Where it stands, as `.await` does it: nothing moves the future, which has room for the way to Redis.
        let getting = pin!(cache.get::<CachedProfile>(key));
        match getting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(found) => found,
            // It is there at once, or it is not there.
            Poll::Pending => None,
        }
    };
    Ok(reading(&settings, &values, get))
}

async fn moka(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let values = Arc::new(Values::new(env.seed(), &settings));
    let weight = settings.value_bytes + ENTRY_BYTES;
    let cache = Cache::builder()
        .max_capacity(settings.l1_max_bytes as u64)
        .weigher(move |key: &String, _: &Arc<CachedProfile>| {
            u32::try_from(key.len() + weight).unwrap_or(u32::MAX)
        })
        .time_to_live(Duration::from_secs(settings.ttl_s))
        .build();
    for (key, profile) in values.keys.iter().zip(&values.profiles) {
        cache.insert(key.clone(), Arc::new(CachedProfile::clone(profile)));
    }
    Ok(reading(&settings, &values, move |key| cache.get(key)))
}

/// As our first tier weighs: a value, its key, and what an entry costs beside them.
#[derive(Clone, Debug)]
struct Weights {
    value_bytes: usize,
}

impl Weighter<Arc<str>, Arc<CachedProfile>> for Weights {
    fn weight(&self, key: &Arc<str>, _: &Arc<CachedProfile>) -> u64 {
        (key.len() + self.value_bytes + ENTRY_BYTES) as u64
    }
}

async fn bare(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let values = Arc::new(Values::new(env.seed(), &settings));
    let room = settings.l1_max_bytes;
    let options = OptionsBuilder::new()
        .weight_capacity(room as u64)
        .estimated_items_capacity((room / ESTIMATED_ENTRY_BYTES).max(1))
        .shards((room / SHARD_BYTES).max(1))
        .build()
        .map_err(Fault::failed)?;
    let weights = Weights {
        value_bytes: settings.value_bytes,
    };
    let cache = Arc::new(quick_cache::sync::Cache::with_options(
        options,
        weights,
        DefaultHashBuilder::default(),
        DefaultLifecycle::default(),
    ));
    for (key, profile) in values.keys.iter().zip(&values.profiles) {
        cache.insert(Arc::from(&**key), Arc::new(CachedProfile::clone(profile)));
    }
    Ok(reading(&settings, &values, move |key| cache.get(key)))
}

/// An arm that reads by `get` on as many threads as the settings say.
fn reading<G>(settings: &Settings, values: &Arc<Values>, get: G) -> Box<dyn Arm>
where
    G: Fn(&str) -> Option<Arc<CachedProfile>> + Clone + Send + 'static,
{
    let wrong = Wrong::default();
    let check = {
        let values = Arc::clone(values);
        move |(number, found): &Hit| values.compare(*number, found.as_deref())
    };
    let make = {
        let (values, wrong) = (Arc::clone(values), wrong.clone());
        move |thread| hit(Arc::clone(&values), thread, get.clone(), wrong.clone())
    };
    let arm = match settings.at_once {
        1 => repeat(make(0), check),
        n => threads(n, make, check),
    };
    judged(arm, wrong, BTreeMap::new())
}

fn hit<G>(values: Arc<Values>, thread: usize, get: G, wrong: Wrong) -> impl FnMut() -> Hit
where
    G: Fn(&str) -> Option<Arc<CachedProfile>>,
{
    let order = values.order(thread);
    let mut at = 0;
    move || {
        let number = order[at % order.len()];
        at += 1;
        let found = get(&values.keys[number as usize]);
        wrong.judge(found.as_ref().is_some_and(|it| it.number == number));
        (number, found)
    }
}

/// The settings of the case `key`.
#[derive(Debug, Serialize)]
struct KeySettings {
    arguments: usize,
    /// Different keys, over and over.
    keys: usize,
}

/// What a key is made of.
type Arguments = (u64, &'static str, u32);

pub(super) fn key(options: &Options) -> Case<Env> {
    let settings = KeySettings {
        arguments: 3,
        keys: if options.tiny { 16 } else { 4_096 },
    };
    Case::builder("cache", "key", settings)
        .on_one_thread()
        .about("A key of a prefix and three arguments, as `#[cached]` builds it.")
        .target(Target::ratio_at_most(1.5))
        .subject(OURS.0, OURS.1, |env, settings| async move {
            Ok(keys(&env, &settings, |(user, status, page)| {
                let key = Key::new("assessments");
                key.with(&user).with(status).with(&page).finish()
            }))
        })
        .control("format!", "std", |env, settings| async move {
            Ok(keys(&env, &settings, |(user, status, page)| {
                Some(format!("assessments:[{user},\"{status}\",{page}]"))
            }))
        })
        .build()
}

fn keys<B>(env: &Env, settings: &KeySettings, build: B) -> Box<dyn Arm>
where
    B: Fn(Arguments) -> Option<String> + Send + 'static,
{
    let mut draws = Seeded::new(env.seed(), "arguments");
    let arguments: Vec<Arguments> = (0..settings.keys)
        .map(|_| {
            let status = *draws.pick(&STATUSES);
            (u64::from(draws.below(1_000_000)), status, draws.below(500))
        })
        .collect();
    let mut at = 0;
    let operation = move || {
        let of = arguments[at % arguments.len()];
        at += 1;
        (of, build(of))
    };
    repeat(
        operation,
        |((user, status, page), key): &(Arguments, Option<String>)| {
            let right = format!("assessments:[{user},{status:?},{page}]");
            match key {
                Some(key) if *key == right => Ok(()),
                other => Err(Fault::Wrong(format!("{other:?} in place of `{right}`"))),
            }
        },
    )
}
