//! Reading from Redis: hits that the process does not hold, misses, and many keys at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use fred::interfaces::KeysInterface as _;
use ruleiq_bench::{Arm, Case, Fault, Process, Target, concurrent};
use ruleiq_performance::benchmark::CachedProfile;

use super::{
    OURS, TASKS,
    redis::{FRED, Remote, counted, telling},
    settings::Settings,
    values::{encoded, missing},
};
use crate::{
    Env, Options,
    redis_benchmark::{self, Load, redis_benchmark},
};

/// Keys of one `mget`.
const MANY: u32 = 100;

/// What all tasks of a side share.
struct Reader {
    remote: Arc<Remote>,
    order: Vec<u32>,
    next: AtomicUsize,
}

pub(super) fn l2_hit_1(options: &Options) -> Case<Env> {
    l2_hit("l2_hit_1", options, 1)
        .about("A value of 1 KB that Redis has and the process has not, one at a time.")
        .target(Target::value_at_most("latency_p95", 2_000.0).critical_beyond(5_000.0))
        .quick()
        .build()
}

pub(super) fn l2_hit_64(options: &Options) -> Case<Env> {
    l2_hit("l2_hit_64", options, 64)
        .about("A value of 1 KB that Redis has and the process has not, 64 at a time.")
        .build()
}

fn l2_hit(name: &str, options: &Options, tasks: usize) -> ruleiq_bench::CaseBuilder<Env, Settings> {
    Case::builder("cache", name, Settings::remote(options, tasks, 1))
        .target(Target::ratio_at_most(1.15))
        .subject(OURS.0, OURS.1, ours)
        .control("fred, decoded", FRED, decoded)
        .control("fred, bytes alone", FRED, undecoded)
        .peer("redis-benchmark", redis_benchmark::version(), peer)
}

pub(super) fn get_miss(options: &Options) -> Case<Env> {
    let tasks = options.concurrency.unwrap_or(TASKS);
    Case::builder("cache", "get_miss", Settings::remote(options, tasks, 1))
        .about("A key without a value.")
        .cpu_of([Process::Client, Process::Redis])
        .subject(OURS.0, OURS.1, our_miss)
        .control("fred", FRED, bare_miss)
        .build()
}

pub(super) fn mget_100(options: &Options) -> Case<Env> {
    let tasks = options.concurrency.unwrap_or(1);
    Case::builder("cache", "mget_100", Settings::remote(options, tasks, MANY))
        .about("A hundred values of 1 KB that Redis has and the process has not.")
        .cpu_of([Process::Client, Process::Redis])
        .target(Target::ratio_at_most(1.3))
        .subject(OURS.0, OURS.1, our_many)
        .control("fred MGET, decoded", FRED, many_decoded)
        .control("fred MGET, bytes alone", FRED, many_undecoded)
        .build()
}

impl Reader {
    async fn connect(env: &Env, settings: &Settings) -> Result<Arc<Reader>, Fault> {
        let remote = Remote::connect(env, settings).await?;
        Ok(Arc::new(Reader {
            order: remote.values.order(0),
            remote,
            next: AtomicUsize::new(0),
        }))
    }

    fn number(&self) -> u32 {
        let at = self.next.fetch_add(1, Relaxed);
        self.order[at % self.order.len()]
    }

    /// A run of different numbers, from a drawn one on.
    fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        let (first, n) = (self.number(), self.remote.values.keys.len());
        let n = u32::try_from(n).expect("made from a `u32`");
        (0..MANY.min(n)).map(move |it| (first + it) % n)
    }
}

/// One value that was asked for, or many.
struct Answer {
    numbers: Vec<u32>,
    found: Vec<Option<Arc<CachedProfile>>>,
}

impl Answer {
    fn new(numbers: Vec<u32>, found: Vec<Option<Arc<CachedProfile>>>) -> Result<Answer, Fault> {
        let is_right = |(number, found): (&u32, &Option<Arc<CachedProfile>>)| {
            found.as_ref().is_some_and(|it| it.number == *number)
        };
        if numbers.len() == found.len() && numbers.iter().zip(&found).all(is_right) {
            Ok(Answer { numbers, found })
        } else {
            Err(missing(numbers.first().copied().unwrap_or_default()))
        }
    }
}

/// A check of every value of an answer.
fn comparing(reader: &Arc<Reader>) -> impl Fn(&Answer) -> Result<(), Fault> + use<> {
    let reader = Arc::clone(reader);
    move |answer| {
        let mut pairs = answer.numbers.iter().zip(&answer.found);
        pairs.try_for_each(|(number, found)| {
            let values = &reader.remote.values;
            values.compare(*number, found.as_deref())
        })
    }
}

/// Numbers, and what Redis has under their keys.
type Undecoded = (Vec<u32>, Vec<Option<Bytes>>);

/// A check of bytes against the encoding of their profiles.
fn comparing_bytes(reader: &Arc<Reader>) -> impl Fn(&Undecoded) -> Result<(), Fault> + use<> {
    let reader = Arc::clone(reader);
    move |(numbers, found)| {
        let mut pairs = numbers.iter().zip(found);
        pairs.try_for_each(|(number, found)| {
            let right = encoded(&*reader.remote.values.profiles[*number as usize]);
            match found {
                Some(found) if *found == right => Ok(()),
                _ => Err(missing(*number)),
            }
        })
    }
}

async fn ours(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let (reader, cache) = our_reader(&env, &settings).await?;
    let (check, remote) = (comparing(&reader), Arc::clone(&reader.remote));
    let told = cache.clone();
    let operation = move || {
        let (reader, cache) = (Arc::clone(&reader), cache.clone());
        async move {
            let number = reader.number();
            let key = &reader.remote.values.keys[number as usize];
            Answer::new(vec![number], vec![cache.get(key).await])
        }
    };
    let arm = concurrent(settings.at_once, operation, check);
    Ok(counted(telling(arm, told), remote))
}

async fn our_many(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let (reader, cache) = our_reader(&env, &settings).await?;
    let (check, remote) = (comparing(&reader), Arc::clone(&reader.remote));
    let told = cache.clone();
    let operation = move || {
        let (reader, cache) = (Arc::clone(&reader), cache.clone());
        async move {
            let numbers: Vec<u32> = reader.numbers().collect();
            let keys = &reader.remote.values.keys;
            let keys: Vec<&str> = numbers.iter().map(|it| &*keys[*it as usize]).collect();
            let found = cache.mget(&keys).await;
            Answer::new(numbers, found)
        }
    };
    let arm = concurrent(settings.at_once, operation, check);
    Ok(counted(telling(arm, told), remote))
}

/// A cache that holds nothing in the process, and whose values are all in Redis.
async fn our_reader(
    env: &Env,
    settings: &Settings,
) -> Result<(Arc<Reader>, ruleiq_cache::CacheManager), Fault> {
    let reader = Reader::connect(env, settings).await?;
    let remote = &reader.remote;
    let cache = remote.cache(settings.l1_max_bytes)?;
    let values: Vec<_> = remote
        .values
        .keys
        .iter()
        .zip(&remote.values.profiles)
        .collect();
    for batch in values.chunks(256) {
        let values = batch
            .iter()
            .map(|(key, it)| (key, CachedProfile::clone(it)));
        let set = cache.mset(values, settings.ttl());
        set.await.map_err(Fault::failed)?;
    }
    Ok((reader, cache))
}

async fn decoded(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let (reader, names) = bare_reader(&env, &settings).await?;
    let (check, remote) = (comparing(&reader), Arc::clone(&reader.remote));
    let operation = move || {
        let (reader, names) = (Arc::clone(&reader), Arc::clone(&names));
        async move {
            let number = reader.number();
            let found: Option<Bytes> = get(&reader, &names, number).await?;
            Answer::new(vec![number], vec![decode(found)?])
        }
    };
    let arm = concurrent(settings.at_once, operation, check);
    Ok(counted(arm, remote))
}

async fn undecoded(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let (reader, names) = bare_reader(&env, &settings).await?;
    let (check, remote) = (comparing_bytes(&reader), Arc::clone(&reader.remote));
    let operation = move || {
        let (reader, names) = (Arc::clone(&reader), Arc::clone(&names));
        async move {
            let number = reader.number();
            let found: Option<Bytes> = get(&reader, &names, number).await?;
            match found {
                Some(it) if !it.is_empty() => Ok((vec![number], vec![Some(it)])),
                _ => Err(missing(number)),
            }
        }
    };
    let arm = concurrent(settings.at_once, operation, check);
    Ok(counted(arm, remote))
}

async fn many_decoded(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let (reader, names) = bare_reader(&env, &settings).await?;
    let (check, remote) = (comparing(&reader), Arc::clone(&reader.remote));
    let operation = move || {
        let (reader, names) = (Arc::clone(&reader), Arc::clone(&names));
        async move {
            let (numbers, found) = get_many(&reader, &names).await?;
            let found = found.into_iter().map(decode).collect::<Result<_, _>>()?;
            Answer::new(numbers, found)
        }
    };
    let arm = concurrent(settings.at_once, operation, check);
    Ok(counted(arm, remote))
}

async fn many_undecoded(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let (reader, names) = bare_reader(&env, &settings).await?;
    let (check, remote) = (comparing_bytes(&reader), Arc::clone(&reader.remote));
    let operation = move || {
        let (reader, names) = (Arc::clone(&reader), Arc::clone(&names));
        async move {
            let (numbers, found) = get_many(&reader, &names).await?;
            match found.iter().position(Option::is_none) {
                None if found.len() == numbers.len() => Ok((numbers, found)),
                at => Err(missing(numbers[at.unwrap_or_default()])),
            }
        }
    };
    let arm = concurrent(settings.at_once, operation, check);
    Ok(counted(arm, remote))
}

/// The names of all values, which are in Redis as JSON.
async fn bare_reader(
    env: &Env,
    settings: &Settings,
) -> Result<(Arc<Reader>, Arc<Vec<String>>), Fault> {
    let reader = Reader::connect(env, settings).await?;
    reader.remote.fill(settings).await?;
    let names = Arc::new(reader.remote.names());
    Ok((reader, names))
}

async fn get(reader: &Reader, names: &[String], number: u32) -> Result<Option<Bytes>, Fault> {
    let name = &*names[number as usize];
    let got = reader.remote.commands.get(name).await;
    got.map_err(Fault::failed)
}

async fn get_many(reader: &Reader, names: &[String]) -> Result<Undecoded, Fault> {
    let numbers: Vec<u32> = reader.numbers().collect();
    let asked: Vec<&str> = numbers.iter().map(|it| &*names[*it as usize]).collect();
    let found = reader.remote.commands.mget(asked).await;
    Ok((numbers, found.map_err(Fault::failed)?))
}

fn decode(found: Option<Bytes>) -> Result<Option<Arc<CachedProfile>>, Fault> {
    let decoded = found.map(|it| postcard::from_bytes(&it).map(Arc::new));
    decoded
        .transpose()
        .map_err(|it| Fault::Wrong(it.to_string()))
}

async fn our_miss(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let reader = Reader::connect(&env, &settings).await?;
    let cache = reader.remote.cache(settings.l1_max_bytes)?;
    let remote = Arc::clone(&reader.remote);
    let told = cache.clone();
    let operation = move || {
        let (reader, cache) = (Arc::clone(&reader), cache.clone());
        async move {
            let key = &reader.remote.values.keys[reader.number() as usize];
            let found = cache.get::<CachedProfile>(key).await;
            none(found.is_none())
        }
    };
    let arm = concurrent(settings.at_once, operation, |()| Ok(()));
    Ok(counted(telling(arm, told), remote))
}

async fn bare_miss(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let reader = Reader::connect(&env, &settings).await?;
    let (names, remote) = (Arc::new(reader.remote.names()), Arc::clone(&reader.remote));
    let operation = move || {
        let (reader, names) = (Arc::clone(&reader), Arc::clone(&names));
        async move {
            let found = get(&reader, &names, reader.number()).await?;
            none(found.is_none())
        }
    };
    let arm = concurrent(settings.at_once, operation, |()| Ok(()));
    Ok(counted(arm, remote))
}

fn none(is_none: bool) -> Result<(), Fault> {
    match is_none {
        true => Ok(()),
        false => Err(Fault::Wrong("a value that nobody has set".to_owned())),
    }
}

/// As many `GET`s under way on one connection as the others have tasks.
async fn peer(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let remote = Remote::connect(&env, &settings).await?;
    remote.fill(&settings).await?;
    let load = Load {
        prefix: remote.prefix.clone(),
        command: vec![
            "GET".into(),
            format!("{}:profile:__rand_int__", remote.prefix),
        ],
        pipeline: settings.at_once,
        keys: settings.keys,
    };
    redis_benchmark(env.redis_url()?, load, remote).await
}
