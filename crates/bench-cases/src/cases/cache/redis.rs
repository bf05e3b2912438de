//! The Redis side of a case: one client for all sides, a prefix of its own, exact counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike as _, FredResult},
    types::{
        Builder, Expiration, InfoKind,
        config::{Config, Options, ReconnectPolicy, TcpConfig, UnresponsiveConfig},
    },
};
use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use ruleiq_cache::CacheManager;
use ruleiq_performance::benchmark::RedisFailures;
use tokio::{runtime, time::timeout};
use uuid::Uuid;

use super::{
    settings::{Connection, Settings},
    values::{Values, encoded},
};
use crate::Env;

/// The version of the client.
pub(super) const FRED: &str = "10.1";
/// Longest that a prefix is cleared for.
const CLEAR_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Names per page of a scan.
const PAGE: u32 = 1_000;
/// Values per command when a prefix is filled.
const BATCH: usize = 500;
/// Operations whose commands are counted.
const COUNTED: u64 = 64;
/// Other programs may ask the same Redis in the meantime: the least of so many counts has the fewest
/// of their commands.
const ROUNDS: usize = 3;

/// What one side has in Redis. Its keys are cleared when it is dropped.
pub(super) struct Remote {
    pub(super) client: Client,
    /// The client with the options of the cache's own commands.
    pub(super) commands: WithOptions<Client>,
    /// What all its keys begin with, before a colon.
    pub(super) prefix: String,
    pub(super) values: Values,
    /// Commands that were sent beside those of the operations.
    pub(super) beside: AtomicU64,
    connection: Connection,
    url: String,
}

impl Remote {
    /// Connected, with a prefix under which there is nothing yet.
    pub(super) async fn connect(env: &Env, settings: &Settings) -> Result<Arc<Remote>, Fault> {
        let url = env.redis_url()?.to_owned();
        let pipeline = settings.at_once;
        let connection = settings
            .redis
            .clone()
            .unwrap_or_else(|| Connection::new(pipeline));
        let client = connect(&url, &connection).await?;
        let options = Options {
            max_attempts: Some(connection.max_attempts),
            timeout: Some(connection.command_timeout()),
            fail_fast: true,
            ..Options::default()
        };
        Ok(Arc::new(Remote {
            commands: client.with_options(&options),
            client,
            prefix: format!("ruleiq-bench:{}", Uuid::new_v4().simple()),
            values: Values::new(env.seed(), settings),
            beside: AtomicU64::new(0),
            connection,
            url,
        }))
    }

    /// The cache over this client and prefix.
    pub(super) fn cache(&self, l1_max_bytes: usize) -> Result<CacheManager, Fault> {
        CacheManager::builder()
            .redis(self.client.clone())
            .prefix(&self.prefix)
            .l1_max_bytes(l1_max_bytes)
            .command_timeout(self.connection.command_timeout())
            .build()
            .map_err(Fault::failed)
    }

    /// What the key of a number is called in Redis.
    pub(super) fn name(&self, number: u32) -> String {
        format!("{}:{}", self.prefix, self.values.keys[number as usize])
    }

    /// What all keys are called in Redis.
    pub(super) fn names(&self) -> Vec<String> {
        let numbers = 0..u32::try_from(self.values.keys.len()).expect("made from a `u32`");
        numbers.map(|it| self.name(it)).collect()
    }

    /// Puts all values under their keys, as JSON.
    pub(super) async fn fill(&self, settings: &Settings) -> Result<(), Fault> {
        let named: Vec<_> = self
            .names()
            .into_iter()
            .zip(&self.values.profiles)
            .collect();
        for batch in named.chunks(BATCH) {
            let pipeline = self.client.pipeline();
            for (name, profile) in batch {
                set(&pipeline, name, encoded(&***profile).into(), settings.ttl_s)
                    .await
                    .map_err(Fault::failed)?;
            }
            pipeline.all::<()>().await.map_err(Fault::failed)?;
        }
        Ok(())
    }
}

impl Drop for Remote {
    /// Clears the prefix on a thread of its own, since there may be no runtime here any more.
    fn drop(&mut self) {
        let (url, connection) = (self.url.clone(), self.connection.clone());
        let pattern = format!("{}:*", self.prefix);
        let clearing = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(Fault::failed)?.block_on(async {
                let client = connect(&url, &connection).await?;
                let cleared = timeout(CLEAR_LIMIT, clear(&client, &pattern)).await;
                drop(timeout(CONNECT_LIMIT, client.quit()).await);
                cleared.map_err(Fault::failed)?.map_err(Fault::failed)
            })
        });
        // What stays has a time to live.
        drop(clearing.join());
        if let Ok(runtime) = runtime::Handle::try_current() {
            let client = self.client.clone();
            runtime.spawn(async move { timeout(CONNECT_LIMIT, client.quit()).await });
        }
    }
}

/// A client that is connected. Errors do not quote the address, which can hold a password.
pub(crate) async fn connect(url: &str, settings: &Connection) -> Result<Client, Fault> {
    let config = Config::from_url(url)
        .map_err(|_| Fault::Failed("the URL of Redis cannot be read".to_owned()))?;
    let mut builder = Builder::from_config(config);
    builder
        .with_performance_config(|it| it.default_command_timeout = settings.command_timeout())
        .with_connection_config(|it| {
            it.connection_timeout = Duration::from_millis(settings.connect_timeout_ms);
            it.internal_command_timeout = Duration::from_millis(settings.connect_timeout_ms);
            it.max_command_attempts = settings.max_attempts;
            it.max_command_buffer_len = settings.max_waiting;
            it.unresponsive = UnresponsiveConfig {
                max_timeout: Some(Duration::from_millis(settings.unresponsive_ms)),
                interval: Duration::from_millis(settings.look_every_ms),
            };
            it.tcp = TcpConfig {
                nodelay: Some(settings.nodelay),
                ..TcpConfig::default()
            };
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2));
    let client = builder.build().map_err(Fault::failed)?;
    let connecting = timeout(CONNECT_LIMIT, client.init()).await;
    connecting.map_err(Fault::failed)?.map_err(Fault::failed)?;
    Ok(client)
}

/// Sets one key, as a program without a cache's crate would.
pub(super) async fn set(
    commands: &(impl fred::interfaces::KeysInterface + Sync),
    name: &str,
    bytes: bytes::Bytes,
    ttl_s: u64,
) -> FredResult<()> {
    let ttl = Expiration::EX(i64::try_from(ttl_s).unwrap_or(i64::MAX));
    commands.set(name, bytes, Some(ttl), None, false).await
}

/// Takes away, page by page, all keys that a pattern matches, and counts them.
pub(super) async fn clear(
    commands: &(impl fred::interfaces::KeysInterface + Sync),
    pattern: &str,
) -> FredResult<u64> {
    let (mut cursor, mut count) = ("0".to_owned(), 0);
    loop {
        let (next, names): (String, Vec<String>) = commands
            .scan_page(cursor, pattern, Some(PAGE), None)
            .await?;
        if !names.is_empty() {
            count += commands.unlink::<u64, _>(names).await?;
        }
        if next == "0" {
            return Ok(count);
        }
        cursor = next;
    }
}

/// `arm`, whose operations go through `cache`: what that hid of Redis's failures are errors.
pub(super) fn telling(arm: Box<dyn Arm>, cache: CacheManager) -> Box<dyn Arm> {
    Box::new(Telling { arm, cache })
}

struct Telling {
    arm: Box<dyn Arm>,
    cache: CacheManager,
}

impl Arm for Telling {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move {
            let failures = RedisFailures::since_now(&self.cache);
            let mut tally = self.arm.run(budget).await?;
            failures.tell(&mut tally);
            Ok(tally)
        })
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        self.arm.after()
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        self.arm.counts()
    }
}

/// `arm`, whose commands are counted by Redis.
pub(super) fn counted(arm: Box<dyn Arm>, remote: Arc<Remote>) -> Box<dyn Arm> {
    Box::new(Counted { arm, remote })
}

struct Counted {
    // Fields are dropped in this order: the operations end before their keys are cleared.
    arm: Box<dyn Arm>,
    remote: Arc<Remote>,
}

/// Commands that Redis ran, those within scripts included, and those that a side sent beside its
/// operations.
async fn commands(remote: &Remote) -> Result<(u64, u64), Fault> {
    let info = remote.client.info(Some(InfoKind::CommandStats));
    let text: String = info.await.map_err(Fault::failed)?;
    Ok((calls(&text), remote.beside.load(Relaxed)))
}

impl Arm for Counted {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        self.arm.run(budget)
    }

    fn before(&mut self) -> Doing<'_, ()> {
        self.arm.before()
    }

    fn after(&mut self) -> Doing<'_, ()> {
        self.arm.after()
    }

    fn counts(&mut self) -> Doing<'_, BTreeMap<String, f64>> {
        Box::pin(async {
            let mut least = f64::INFINITY;
            for _ in 0..ROUNDS {
                self.arm.before().await?;
                let (before, beside_before) = commands(&self.remote).await?;
                let tally = self.arm.run(Budget::Operations(COUNTED)).await?;
                let (after, beside) = commands(&self.remote).await?;
                self.arm.after().await?;
                let sent = sent((before, after), (beside_before, beside))?;
                if tally.operations != COUNTED {
                    return Err(Fault::Failed(format!(
                        "{} of {COUNTED} operations failed while commands were counted",
                        COUNTED.saturating_sub(tally.operations)
                    )));
                }
                #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
                let per_operation = sent as f64 / COUNTED as f64;
                least = least.min(per_operation);
            }
            let mut counts = self.arm.counts().await?;
            counts.insert("commands_per_op".to_owned(), least);
            Ok(counts)
        })
    }
}

/// How many commands the operations sent. An error where Redis began to count anew meanwhile.
fn sent(all: (u64, u64), beside: (u64, u64)) -> Result<u64, Fault> {
    let grown = |(before, after): (u64, u64)| after.checked_sub(before);
    grown(all)
        .zip(grown(beside))
        .and_then(|(all, beside)| all.checked_sub(beside))
        .ok_or_else(|| Fault::Failed("Redis's counts were reset while they were read".to_owned()))
}

/// The sum of all calls in what `INFO commandstats` says, but for the asking itself.
fn calls(info: &str) -> u64 {
    let of_line = |line: &str| -> Option<u64> {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        if name == "info" {
            return None;
        }
        rest.split(',').next()?.parse().ok()
    };
    info.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_were_reset_are_no_counts() {
        assert_eq!(sent((10, 30), (0, 5)), Ok(15));
        assert!(sent((30, 10), (0, 0)).is_err());
        assert!(sent((10, 12), (0, 5)).is_err());
    }

    #[test]
    fn calls_are_summed_without_those_of_the_asking() {
        let info = "# Commandstats\r\n\
            cmdstat_get:calls=11,usec=5,usec_per_call=1.67,rejected_calls=0,failed_calls=0\r\n\
            cmdstat_config|get:calls=2,usec=5,usec_per_call=1.67,rejected_calls=0,failed_calls=0\r\n\
            cmdstat_info:calls=7,usec=5,usec_per_call=1.67,rejected_calls=0,failed_calls=0\r\n";
        assert_eq!(calls(info), 13);
    }
}
