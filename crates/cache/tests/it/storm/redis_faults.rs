//! Redis in all the ways in which it can be of no use, under load: no call fails, what is remembered stays
//! bounded, and the cache is whole again afterwards without anybody's help.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{CustomCommand, InfoKind},
};
use futures_util::future::join_all;
use ruleiq_cache::CacheManager;
use ruleiq_test_support::{FaultProxy, OwnServers, RedisSpec, Spec, Which, eventually};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{Instant, sleep, timeout},
};

use crate::{
    place::{LIMIT, TTL, client, healed},
    soak::{Dice, is_full, report, report_none},
};

const ACTORS: u64 = 32;
const KEYS: u64 = 20_000;
const COMMAND_TIMEOUT: Duration = Duration::from_millis(250);
/// What a machine that is busy adds to that.
const SLACK: Duration = Duration::from_millis(50);
const L1_BYTES: usize = 1024 * 1024;
/// What the cache remembers at most of what Redis was not told, and what its callers are at.
const MOST_PENDING: u64 = 20_000 + 64 + ACTORS * 8;
/// How many keys an instance loads that loads for a while, a millisecond each.
const LOADING_KEYS: u64 = 2_000;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Halted,
    Stalled,
    Slow,
    Loading,
    OutOfMemory,
    WrongPassword,
    ReadOnly,
    TooManyClients,
}

impl Fault {
    /// What Redis itself counts of it in its `INFO`, where it gets to that.
    fn answer(self) -> Option<&'static str> {
        match self {
            Fault::Killed | Fault::Halted | Fault::Stalled | Fault::Slow => None,
            Fault::Loading => Some("errorstat_LOADING:count="),
            Fault::OutOfMemory => Some("errorstat_OOM:count="),
            Fault::WrongPassword => Some("errorstat_WRONGPASS:count="),
            Fault::ReadOnly => Some("errorstat_READONLY:count="),
            Fault::TooManyClients => Some("rejected_connections:"),
        }
    }
}

struct Storm {
    servers: OwnServers,
    proxy: FaultProxy,
    /// Not through the proxy.
    admin: Client,
    password: String,
    cache: CacheManager,
    done: AtomicBool,
    calls: AtomicU64,
    failed: AtomicU64,
    /// In milliseconds.
    worst: AtomicU64,
}

async fn command(client: &Client, line: &str) {
    let mut words = line.split(' ').map(str::to_owned);
    let name = words.next().unwrap();
    let command = CustomCommand::new(name, None, false);
    let arguments: Vec<String> = words.collect();
    client.custom::<(), _>(command, arguments).await.unwrap();
}

impl Storm {
    async fn new() -> Storm {
        let settings = [("enable-debug-command", "yes"), ("key-load-delay", "1000")];
        let more = [("loading-process-events-interval-bytes", "1024")];
        let settings = settings.into_iter().chain(more);
        let redis = RedisSpec {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..RedisSpec::default()
        };
        let servers = OwnServers::start(Spec {
            redis: Some(redis),
            ..Spec::default()
        })
        .await;
        let url = servers.redis_url();
        let proxy = FaultProxy::in_front_of(url).await;
        let (redis, admin) = (client(&proxy.url(url)), client(url));
        redis.init().await.unwrap();
        admin.init().await.unwrap();
        let options = CacheManager::builder().redis(redis).l1_max_bytes(L1_BYTES);
        let cache = options.command_timeout(COMMAND_TIMEOUT).build().unwrap();
        let password = url.rsplit_once('@').unwrap().0.rsplit_once(':').unwrap().1;
        Storm {
            password: password.to_owned(),
            servers,
            proxy,
            admin,
            cache,
            done: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            worst: AtomicU64::new(0),
        }
    }

    /// Answers a command that runs as long as the fault lasts, if that is how it is made.
    async fn begin(&self, fault: Fault) -> Option<JoinHandle<()>> {
        let admin = &self.admin;
        match fault {
            Fault::Killed => self.servers.kill(Which::Redis).await,
            Fault::Halted => self.servers.pause(Which::Redis).await,
            Fault::Stalled => self.proxy.stall().await,
            Fault::Slow => self.proxy.delay(Duration::from_millis(45)).await,
            Fault::Loading => {
                command(admin, &format!("DEBUG POPULATE {LOADING_KEYS} filler")).await;
                let admin = admin.clone();
                let reload = async move { command(&admin, "DEBUG RELOAD").await };
                return Some(tokio::spawn(reload));
            }
            Fault::OutOfMemory => command(admin, "CONFIG SET maxmemory 1").await,
            Fault::WrongPassword => {
                command(admin, "CONFIG SET requirepass another").await;
                self.proxy.cut().await;
            }
            Fault::ReadOnly => command(admin, "REPLICAOF 127.0.0.1 1").await,
            Fault::TooManyClients => {
                command(admin, "CONFIG SET maxclients 1").await;
                self.proxy.cut().await;
            }
        }
        None
    }

    async fn end(&self, fault: Fault) {
        let admin = &self.admin;
        match fault {
            Fault::Killed => self.servers.start_again(Which::Redis).await,
            Fault::Halted => self.servers.resume(Which::Redis).await,
            Fault::Stalled | Fault::Slow => self.proxy.heal().await,
            Fault::Loading => {}
            Fault::OutOfMemory => command(admin, "CONFIG SET maxmemory 0").await,
            Fault::WrongPassword => {
                command(admin, &format!("CONFIG SET requirepass {}", self.password)).await;
            }
            Fault::ReadOnly => command(admin, "REPLICAOF NO ONE").await,
            Fault::TooManyClients => command(admin, "CONFIG SET maxclients 1000").await,
        }
    }

    async fn has_answered(&self, fault: Fault) -> bool {
        let info: String = self.admin.info(Some(InfoKind::All)).await.unwrap();
        let counted = fault.answer().and_then(|it| info.split_once(it));
        counted.is_some_and(|(_, count)| !count.starts_with('0'))
    }

    async fn act(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        while !self.done.load(SeqCst) {
            let key = format!("key:{}", dice.roll(KEYS));
            let begun = Instant::now();
            let action = dice.roll(8);
            let is_pattern = action == 1 && dice.roll(20) == 0;
            let done = match action {
                0 => {
                    let more = format!("key:{}", dice.roll(KEYS));
                    self.cache.delete(&[&key, &more]).await;
                    true
                }
                _ if is_pattern => self.cache.delete_pattern(&format!("{key}*")).await.is_ok(),
                1 => {
                    let value = self.cache.get::<String>(&key).await;
                    value.is_none_or(|it| it.trim_start() == key)
                }
                _ => {
                    let load = || async { Ok::<_, ()>(format!("{key:>500}")) };
                    let value = self.cache.get_or_load(&key, TTL, load).await;
                    value.is_ok_and(|it| it.trim_start() == key)
                }
            };
            // A pattern takes as many commands as there are keys to look at.
            if !is_pattern {
                let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
                self.worst.fetch_max(took, SeqCst);
            }
            self.calls.fetch_add(1, SeqCst);
            self.failed.fetch_add(u64::from(!done), SeqCst);
            let stats = self.cache.stats();
            assert!(stats.pending_invalidations <= MOST_PENDING, "{stats:?}");
            assert!(stats.l1_bytes <= L1_BYTES as u64, "{stats:?}");
            yield_now().await;
        }
    }

    /// Waits until so many calls have ended from now on.
    async fn calls(&self, more: u64) {
        let before = self.calls.load(SeqCst);
        eventually(LIMIT, || async { self.calls.load(SeqCst) >= before + more }).await;
    }

    async fn suffer(&self, fault: Fault) {
        self.calls(ACTORS * 4).await;
        let errors = self.cache.stats().redis_errors;
        self.worst.store(0, SeqCst);
        let lasting = self.begin(fault).await;
        if !matches!(fault, Fault::Slow) {
            eventually(LIMIT, || async {
                self.cache.stats().redis_errors > errors + 2
            })
            .await;
        }
        self.calls(ACTORS * 4).await;
        if let Some(lasting) = lasting {
            lasting.await.unwrap();
        }
        if fault.answer().is_some() {
            eventually(LIMIT, || async { self.has_answered(fault).await }).await;
        }
        if is_full() {
            sleep(Duration::from_secs(10)).await;
        }
        let worst = self.worst.load(SeqCst);
        self.end(fault).await;
        if is_full() {
            let limit = u64::try_from((COMMAND_TIMEOUT + SLACK).as_millis()).unwrap();
            let name = format!("redis_faults_{fault:?}_worst").to_lowercase();
            report(&name, worst, "ms", &format!("<={limit}"), worst <= limit);
        }
        self.done.store(true, SeqCst);
    }

    /// Nobody has done anything but end the fault.
    async fn is_whole(&self) {
        healed(&self.cache).await;
        eventually(LIMIT, || async {
            self.cache.stats().tracking == Some(true)
        })
        .await;
        let other = CacheManager::builder().redis(self.admin.clone());
        let other = other.l1_max_bytes(0).build().unwrap();
        let load = || async { Ok::<_, ()>(7_u8) };
        eventually(LIMIT, || async {
            self.cache.get_or_load("after", TTL, load).await.unwrap();
            other.get::<u8>("after").await.is_some()
        })
        .await;
        assert_eq!(self.cache.stats().redis_available, Some(true));
    }
}

async fn storm_of(fault: Fault) {
    let storm = Storm::new().await;
    let actors = join_all((0..ACTORS).map(|seed| storm.act(seed)));
    let all = async { tokio::join!(actors, storm.suffer(fault)) };
    assert!(timeout(LIMIT * 5, all).await.is_ok(), "a call never ended");
    storm.is_whole().await;
    let failed = storm.failed.load(SeqCst) + storm.cache.stats().load_failures;
    report_none(
        &format!("redis_faults_{fault:?}").to_lowercase(),
        failed,
        "failed_calls",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_fails_nobody() {
    storm_of(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_halted_fails_nobody() {
    storm_of(Fault::Halted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stalls_fails_nobody() {
    storm_of(Fault::Stalled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_slow_fails_nobody() {
    storm_of(Fault::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_loads_its_data_fails_nobody() {
    storm_of(Fault::Loading).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_fails_nobody() {
    storm_of(Fault::OutOfMemory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_know_us_fails_nobody() {
    storm_of(Fault::WrongPassword).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_takes_no_writes_fails_nobody() {
    storm_of(Fault::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_has_too_many_clients_fails_nobody() {
    storm_of(Fault::TooManyClients).await;
}
