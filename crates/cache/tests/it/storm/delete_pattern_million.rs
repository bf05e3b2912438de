//! A million keys under one pattern: all go, each is counted once, nothing else goes, and Redis has time for
//! others meanwhile.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _, ServerInterface as _},
    types::{CustomCommand, InfoKind, Value},
};
use ruleiq_cache::CacheManager;
use ruleiq_test_support::{OwnServers, RedisSpec, Spec};
use tokio::time::sleep;

use crate::{
    place::{LIMIT, TTL, client},
    soak::{Dice, is_full, report, report_none},
};

/// The most names that one command may carry: Redis does nothing else meanwhile.
const MOST_NAMES: usize = 1_000;
/// Few, so that pages of a scan are full of what goes.
const OTHERS: usize = 20;
const ROUNDS: usize = 5;
/// So that it ends before the keys have gone.
const BENCHMARK: [&str; 6] = ["-c", "20", "-n", "50000", "-t", "get"];

struct Storm {
    servers: OwnServers,
    client: Client,
    cache: CacheManager,
    /// Under a prefix of its own.
    other: CacheManager,
    keys: usize,
    failed: AtomicU64,
}

impl Storm {
    async fn new() -> Storm {
        let (spec, keys) = match is_full() {
            true => (RedisSpec::default(), 1_000_000),
            false => (logging_everything(), 20_000),
        };
        let servers = OwnServers::start(Spec {
            redis: Some(spec),
            ..Spec::default()
        })
        .await;
        let client = client(servers.redis_url());
        client.init().await.unwrap();
        let options = CacheManager::builder()
            .redis(client.clone())
            .command_timeout(LIMIT);
        let storm = Storm {
            servers,
            cache: options.clone().prefix("app").build().unwrap(),
            other: options.prefix("other").build().unwrap(),
            client,
            keys,
            failed: AtomicU64::new(0),
        };
        let others = (0..OTHERS).map(|n| (format!("many:{n}"), n));
        storm.other.mset(others, TTL).await.unwrap();
        let kept = (0..OTHERS).map(|n| (format!("few:{n}"), n));
        storm.cache.mset(kept, TTL).await.unwrap();
        storm
    }

    /// The first come from the cache itself, which shows that the names of the others are right.
    async fn fill(&self) {
        let ours = (0..MOST_NAMES).map(|n| (format!("many:{n}"), n));
        self.cache.mset(ours, TTL).await.unwrap();
        let all: Vec<usize> = (0..self.keys).collect();
        for some in all.chunks(MOST_NAMES) {
            let names = some.iter().map(|n| (format!("app:many:{n}"), "value"));
            self.client.mset(names.collect::<Vec<_>>()).await.unwrap();
        }
    }

    /// Traffic on the other prefix, for as long as the keys go.
    async fn read_others(&self, done: &AtomicBool) {
        let mut dice = Dice::new(5);
        while !done.load(SeqCst) {
            let n = dice.pick(OTHERS);
            let load = || async { Err::<usize, ()>(()) };
            let value = self
                .other
                .get_or_load(&format!("many:{n}"), TTL, load)
                .await;
            let is_right = value.is_ok_and(|it| *it == n);
            self.failed.fetch_add(u64::from(!is_right), SeqCst);
            // A thousand a second, which leaves the processor to those who are measured.
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn delete_all(&self) {
        let done = AtomicBool::new(false);
        let delete = async {
            let count = self.cache.delete_pattern("many:*").await.unwrap();
            done.store(true, SeqCst);
            count
        };
        let (count, ()) = tokio::join!(delete, self.read_others(&done));
        assert_eq!(count, self.keys as u64);
        assert_eq!(self.cache.stats().pending_invalidations, 0);
        // The others, the epochs of both prefixes, and no lease.
        let left: usize = self.client.dbsize().await.unwrap();
        assert_eq!(left, 2 * OTHERS + 2);
    }

    /// Waits until the cache has heard of all that has been written: what is measured alone is alone.
    async fn is_quiet(&self) {
        let mut before = None;
        let heard = || Some(self.cache.stats().heard_invalidations);
        while before != heard() {
            before = heard();
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// In milliseconds, as `redis-benchmark` says.
    async fn p99(&self) -> f64 {
        // The program takes no password without a name.
        let url = self.servers.redis_url().replace("//:", "//default:");
        let run = move || {
            let mut command = Command::new("redis-benchmark");
            command.args(BENCHMARK).args(["--csv", "-u", &url]).output()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let output = output.expect("`redis-benchmark`, which Debian has in `redis-tools`");
        let text = String::from_utf8(output.stdout).unwrap();
        p99_of(&text).unwrap_or_else(|| panic!("no figures: {text}"))
    }
}

fn logging_everything() -> RedisSpec {
    let settings = [
        ("slowlog-log-slower-than", "0"),
        ("slowlog-max-len", "1000000"),
    ];
    RedisSpec {
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..RedisSpec::default()
    }
}

/// Reads a table of one test: `"test","rps","avg_latency_ms",…,"p99_latency_ms","max_latency_ms"`.
fn p99_of(csv: &str) -> Option<f64> {
    let mut lines = csv
        .lines()
        .map(|line| line.split(',').map(|it| it.trim_matches('"')));
    let at = lines.next()?.position(|it| it == "p99_latency_ms")?;
    lines.next()?.nth(at)?.parse().ok()
}

/// The most names that an `UNLINK` of the log has carried.
async fn most_names(client: &Client) -> usize {
    let slowlog = CustomCommand::new_static("SLOWLOG", None, false);
    let entries: Vec<Value> = client.custom(slowlog, vec!["GET", "-1"]).await.unwrap();
    // Each has its number, when, for how long, the words, and who.
    let words = entries
        .into_iter()
        .map(|entry| entry.into_array().swap_remove(3).into_array());
    words.filter_map(|it| names_of_unlink(&it)).max().unwrap()
}

fn names_of_unlink(words: &[Value]) -> Option<usize> {
    let (command, names) = words.split_first()?;
    if !command.as_str()?.eq_ignore_ascii_case("unlink") {
        return None;
    }
    let last = names.last()?.as_str()?;
    // What is more than 32 words ends with `... (969 more arguments)`.
    let more = last
        .strip_prefix("... (")
        .and_then(|it| it.split(' ').next()?.parse().ok());
    Some(more.map_or(names.len(), |more: usize| names.len() - 1 + more))
}

async fn unlinks(client: &Client) -> usize {
    let info: String = client.info(Some(InfoKind::CommandStats)).await.unwrap();
    let (_, rest) = info.split_once("cmdstat_unlink:calls=").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

/// In microseconds.
fn median(mut milliseconds: Vec<f64>) -> u64 {
    milliseconds.sort_by(f64::total_cmp);
    let median = Duration::from_secs_f64(milliseconds[milliseconds.len() / 2] / 1e3);
    u64::try_from(median.as_micros()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_keys_go_with_their_pattern_and_nothing_else_does() {
    let storm = Storm::new().await;
    if is_full() {
        measure(&storm).await;
    } else {
        storm.fill().await;
        storm.delete_all().await;
        let most = most_names(&storm.client).await;
        assert!(most <= MOST_NAMES, "{most} names in one command");
    }
    assert!(unlinks(&storm.client).await >= storm.keys / MOST_NAMES);
    for n in 0..OTHERS {
        let other = storm.other.get::<usize>(&format!("many:{n}")).await;
        let few = storm.cache.get::<usize>(&format!("few:{n}")).await;
        let is_there = other.as_deref() == Some(&n) && few.as_deref() == Some(&n);
        storm.failed.fetch_add(u64::from(!is_there), SeqCst);
    }
    let failed = storm.failed.load(SeqCst);
    report_none("delete_pattern_million_others", failed, "failed_calls");
}

async fn measure(storm: &Storm) {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        storm.fill().await;
        storm.is_quiet().await;
        alone.push(storm.p99().await);
        let ((), p99) = tokio::join!(storm.delete_all(), storm.p99());
        beside.push(p99);
    }
    let [alone, beside] = [alone, beside].map(median);
    let percent = 100 * beside / alone;
    report("delete_pattern_million_p99_alone", alone, "us", "any", true);
    report(
        "delete_pattern_million_p99_beside",
        beside,
        "us",
        "any",
        true,
    );
    report(
        "delete_pattern_million_p99",
        percent,
        "%",
        "<=200",
        percent <= 200,
    );
}
