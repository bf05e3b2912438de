//! A writer, and readers in processes of their own whose networks fail one by one: how old is what they read, at most?
//!
//! The database stands in Redis as well, on a way that does not fail: the value of each row, and when the
//! invalidation of what was before each value had returned.

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _},
    types::Expiration,
};
use ruleiq_cache::{CacheManager, Policy};
use ruleiq_test_support::{FaultProxy, eventually};
use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout},
};

use crate::{
    place::{LIMIT, Place, TTL, armed, client, healed},
    soak::{Dice, is_full, report, report_none},
};

const ROWS: u64 = 8;
const READERS: u64 = 4;
/// What a copy in the process may be older than the last invalidation that Redis knows of: a silent
/// connection is noticed within two seconds, and without a listener a copy lives for `OUTAGE_TTL`. The
/// rest is for a machine that is busy.
const BOUND: Duration = Duration::from_millis(2_000 + 1_000);
const OUTAGE_TTL: Duration = Duration::from_millis(500);
/// Tells a reader its way to Redis, the way of its database, what names begin with, and its number.
const READER: &str = "RULEIQ_TEST_READER";
/// What the storm leaves in Redis goes by then.
const LEFTOVERS: Expiration = Expiration::EX(600);

struct Database {
    client: Client,
    prefix: String,
}

impl Database {
    async fn connect(url: &str, prefix: &str) -> Database {
        let client = client(url);
        client.init().await.unwrap();
        Database {
            client,
            prefix: prefix.to_owned(),
        }
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    async fn get(&self, what: &str) -> Option<u64> {
        self.client.get(self.name(what)).await.unwrap()
    }

    async fn set(&self, what: &str, number: u64) {
        let set =
            self.client
                .set::<(), _, _>(self.name(what), number, Some(LEFTOVERS), None, false);
        set.await.unwrap();
    }

    async fn value(&self, row: u64) -> u64 {
        self.get(&format!("row:{row}")).await.unwrap()
    }

    /// When the invalidation of what was before this value had returned, in milliseconds.
    async fn told(&self, row: u64, value: u64) -> Option<u64> {
        self.get(&format!("told:{row}:{value}")).await
    }
}

/// One of the processes that read.
struct Reader(Child);

impl Reader {
    async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It has ended already, where nothing went wrong.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// By the clock that all processes of a machine have.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

async fn read(cache: &CacheManager, database: &Database, row: u64) -> u64 {
    let key = format!("row:{row}");
    // Its tag is what it is called.
    let policy = Policy::new(TTL).tags([&key]);
    let load = || async { Ok::<_, ()>(database.value(row).await) };
    *cache.get_or_load(&key, policy, load).await.unwrap()
}

/// One process that reads until the networks are whole again. Without a storm it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_storm() {
    let Ok(place) = std::env::var(READER) else {
        return;
    };
    let place: Vec<&str> = place.split(' ').collect();
    let [way, url, prefix, number] = place[..] else {
        panic!("{place:?} is no place");
    };
    let database = Database::connect(url, prefix).await;
    let redis = client(way);
    redis.init().await.unwrap();
    let options = CacheManager::builder().redis(redis).prefix(prefix);
    let options = options.l1_ttl(TTL).outage_ttl(OUTAGE_TTL);
    let cache = options
        .command_timeout(Duration::from_millis(250))
        .build()
        .unwrap();
    armed(&cache).await;
    database.set(&format!("ready:{number}"), 1).await;

    let mut dice = Dice::new(number.parse::<u64>().unwrap() + 11);
    let (mut oldest, mut reads) = (0, 0);
    let begun = Instant::now();
    while database.get("over").await.is_none() {
        assert!(begun.elapsed() < LIMIT * 9, "the storm has no end");
        let row = dice.roll(ROWS);
        let asked = now();
        let value = read(&cache, &database, row).await;
        let overtaken = database.told(row, value + 1).await;
        oldest = oldest.max(overtaken.map_or(0, |it| asked.saturating_sub(it)));
        reads += 1;
    }
    armed(&cache).await;
    healed(&cache).await;
    // What was told last may still be on its way.
    let mut stale = 0;
    for row in 0..ROWS {
        let is_told = async {
            while read(&cache, &database, row).await != database.value(row).await {
                yield_now().await;
            }
        };
        stale += u64::from(timeout(BOUND, is_told).await.is_err());
    }
    let flushes = cache.stats().flushes;
    for (what, figure) in [
        ("oldest", oldest),
        ("reads", reads),
        ("flushes", flushes),
        ("stale", stale),
    ] {
        database.set(&format!("{what}:{number}"), figure).await;
    }
}

/// Cuts, stalls and closes one way after the other until it is done.
async fn fail(proxies: &[FaultProxy], done: &AtomicBool) {
    let mut dice = Dice::new(5);
    // A small storm is over before many that are long.
    let longest = if is_full() { 3_000 } else { 800 };
    while !done.load(SeqCst) {
        let proxy = &proxies[dice.pick(proxies.len())];
        match dice.roll(3) {
            0 => proxy.cut().await,
            1 => proxy.stall().await,
            _ => proxy.refuse().await,
        }
        sleep(Duration::from_millis(dice.roll(longest))).await;
        proxy.heal().await;
        sleep(Duration::from_millis(dice.roll(500))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_process_reads_what_is_older_than_the_bound() {
    let place = Place::new().await;
    let (url, prefix) = (place.redis.url(), place.redis.prefix());
    let database = Database::connect(url, prefix).await;
    for row in 0..ROWS {
        database.set(&format!("row:{row}"), 1).await;
    }
    let program = std::env::current_exe().unwrap();
    let (mut proxies, mut readers) = (Vec::new(), Vec::new());
    for number in 0..READERS {
        let proxy = place.proxy().await;
        let place = format!("{} {url} {prefix} {number}", proxy.url(url));
        let process = Command::new(&program)
            .args(["--exact", "storm::coherence::a_reader_of_the_storm"])
            .env(READER, place)
            .stdout(Stdio::null())
            .spawn();
        readers.push(Reader(process.unwrap()));
        proxies.push(proxy);
    }
    for number in 0..READERS {
        let ready = format!("ready:{number}");
        eventually(LIMIT, || async { database.get(&ready).await.is_some() }).await;
    }

    let writer = place.cache().await;
    let time = Duration::from_secs(if is_full() { 60 } else { 5 });
    let (begun, done) = (Instant::now(), AtomicBool::new(false));
    let write = async {
        let (mut dice, mut writes) = (Dice::new(3), 0);
        while begun.elapsed() < time {
            let row = dice.roll(ROWS);
            let (key, value) = (format!("row:{row}"), database.value(row).await + 1);
            database.set(&key, value).await;
            match dice.roll(2) {
                0 => writer.invalidate_tags(&[&key]).await,
                _ => writer.delete(&[&key]).await,
            }
            database.set(&format!("told:{row}:{value}"), now()).await;
            writes += 1;
            sleep(Duration::from_millis(dice.roll(50))).await;
        }
        done.store(true, SeqCst);
        writes
    };
    let (writes, ()) = tokio::join!(write, fail(&proxies, &done));
    for proxy in &proxies {
        proxy.heal().await;
    }
    database.set("over", 1).await;

    let (mut oldest, mut flushes, mut stale) = (0, 0, 0);
    for (number, reader) in readers.iter_mut().enumerate() {
        let ended = timeout(LIMIT * 3, reader.ended()).await;
        assert!(ended.expect("it ends").success(), "reader {number} failed");
        let figure = async |what| database.get(&format!("{what}:{number}")).await.unwrap();
        oldest = oldest.max(figure("oldest").await);
        flushes += figure("flushes").await;
        stale += figure("stale").await;
        assert!(figure("reads").await > 100, "reader {number} did not read");
    }
    assert!(writes > 20, "{writes} writes");
    assert!(flushes > 0, "no network failed");
    let bound = u64::try_from(BOUND.as_millis()).unwrap();
    report("coherence", oldest, "ms", "<=3000", oldest <= bound);
    // A machine that is very busy takes longer; without a bound it would be as long as the storm.
    let bound = if is_full() { bound } else { 4_000 };
    assert!(oldest <= bound, "a read was {oldest} ms old");
    report_none("coherence_stale_after_heal", stale, "reads");
}
