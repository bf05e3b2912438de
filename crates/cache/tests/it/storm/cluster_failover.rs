//! A master of a Redis Cluster is killed under load: nobody fails, and nobody gets what an invalidation had
//! taken away.
//!
//! What a replica has not heard of by then is lost with its master, as the README says: writers pause until it
//! has, and go on when the master is dead.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use fred::{clients::Client, interfaces::ClientLike as _, types::InfoKind};
use futures_util::future::join_all;
use ruleiq_cache::CacheManager;
use ruleiq_test_support::{OwnServers, Which, eventually};
use tokio::{
    sync::RwLock,
    time::{sleep, timeout},
};

use crate::{
    cluster::{cluster, connected},
    place::{TTL, client},
    soak::{Dice, is_full, report_none},
};

/// Each actor invalidates one thing at a time.
const MOST_UNDER_WAY: u64 = 64;
/// For what takes a cluster's election as well.
const LONG: Duration = Duration::from_secs(60);
/// On all masters.
const KEYS: usize = 300;

struct Row {
    key: String,
    value: AtomicU64,
    /// What the last invalidation that has returned has left.
    floor: AtomicU64,
}

struct Storm {
    cache: CacheManager,
    rows: Vec<Row>,
    /// Writers hold it for reading.
    may_write: RwLock<()>,
    done: AtomicBool,
    calls: AtomicU64,
    writes: AtomicU64,
    errors: AtomicU64,
    wrong: AtomicU64,
}

impl Storm {
    fn new(client: Client) -> Storm {
        let row = |n| Row {
            key: format!("key:{{{n}}}:{n}"),
            value: AtomicU64::new(1),
            floor: AtomicU64::new(0),
        };
        Storm {
            cache: CacheManager::builder().redis(client).build().unwrap(),
            rows: (0..KEYS).map(row).collect(),
            may_write: RwLock::new(()),
            done: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
        }
    }

    async fn read(&self, row: &Row) {
        let floor = row.floor.load(SeqCst);
        let load = || async {
            let value = row.value.load(SeqCst);
            tokio::task::yield_now().await;
            Ok::<_, ()>(value)
        };
        match self.cache.get_or_load(&row.key, TTL, load).await {
            Ok(value) if *value < floor => self.wrong.fetch_add(1, SeqCst),
            Ok(_) => self.calls.fetch_add(1, SeqCst),
            Err(_) => self.errors.fetch_add(1, SeqCst),
        };
    }

    async fn write(&self, row: &Row, by_pattern: bool) {
        let _may = self.may_write.read().await;
        let value = row.value.fetch_add(1, SeqCst) + 1;
        if by_pattern {
            let pattern = format!("{}*", row.key);
            let deleted = self.cache.delete_pattern(&pattern).await;
            self.errors.fetch_add(u64::from(deleted.is_err()), SeqCst);
        } else {
            self.cache.delete(&[&row.key]).await;
        }
        row.floor.fetch_max(value, SeqCst);
        self.writes.fetch_add(1, SeqCst);
    }

    async fn act(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        while !self.done.load(SeqCst) {
            let row = &self.rows[dice.pick(KEYS)];
            match dice.roll(200) {
                0 => self.write(row, true).await,
                1..20 => self.write(row, false).await,
                _ => self.read(row).await,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the cache hears of everything and owes no more than its writers are at, and each key can be asked for.
    async fn healed(&self) {
        eventually(LONG, || async {
            let stats = self.cache.stats();
            let keys = self.rows.iter().map(|row| self.cache.exists(&row.key));
            stats.tracking == Some(true)
                && stats.pending_invalidations <= MOST_UNDER_WAY
                && join_all(keys).await.iter().all(Result::is_ok)
        })
        .await;
    }

    async fn kill(&self, servers: &OwnServers, which: Which) {
        let writers = self.may_write.write().await;
        replicated(servers.url(which)).await;
        servers.kill(which).await;
        drop(writers);
        let (calls, writes) = (self.calls.load(SeqCst), self.writes.load(SeqCst));
        eventually(LONG, || async {
            self.cache.stats().tracking == Some(false)
        })
        .await;
        self.healed().await;
        let written = self.writes.load(SeqCst) > writes;
        assert!(
            written && self.calls.load(SeqCst) > calls,
            "it was waited for"
        );
        // It comes back as a replica of who has taken its place.
        servers.start_again(which).await;
    }
}

/// Waits until the replica of a master has all that has been written by now.
async fn replicated(master: &str) {
    let client = client(master);
    client.init().await.unwrap();
    let offsets = || async {
        let info: String = client.info(Some(InfoKind::Replication)).await.unwrap();
        let number = |name: &str| -> Option<u64> {
            let (_, rest) = info.split_once(name)?;
            rest.split([',', '\r']).next()?.parse().ok()
        };
        (number("master_repl_offset:"), number(",offset="))
    };
    let (written, _) = offsets().await;
    assert!(written.is_some());
    eventually(LONG, || async { offsets().await.1 >= written }).await;
    client.quit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_fails_nobody() {
    let servers = cluster().await;
    let client = connected(&servers).await;
    let storm = Storm::new(client.clone());
    storm.read(&storm.rows[0]).await;
    eventually(LONG, || async {
        storm.cache.stats().tracking == Some(true)
    })
    .await;
    // In the end all masters are those that were replicas.
    let (actors, masters, time) = match is_full() {
        true => (64, 3, Duration::from_secs(10)),
        false => (16, 1, Duration::ZERO),
    };

    let actors = join_all((0..actors).map(|seed| storm.act(seed)));
    let faults = async {
        for node in 0..masters {
            sleep(time).await;
            storm.kill(&servers, Which::ClusterNode(node)).await;
        }
        sleep(time).await;
        storm.done.store(true, SeqCst);
    };
    let ended = timeout(LONG * 4, async { tokio::join!(actors, faults) }).await;
    assert!(ended.is_ok(), "somebody never ended");

    storm.healed().await;
    let other = CacheManager::builder().redis(client).l1_max_bytes(0);
    let other = other.build().unwrap();
    for row in &storm.rows {
        storm.read(row).await;
        let left = other.get::<u64>(&row.key).await;
        let is_old = left.is_some_and(|it| *it < row.floor.load(SeqCst));
        storm.wrong.fetch_add(u64::from(is_old), SeqCst);
    }
    assert!(other.stats().l2_hits > 0, "nothing is kept any more");
    report_none(
        "cluster_failover_wrong_values",
        storm.wrong.into_inner(),
        "values",
    );
    report_none(
        "cluster_failover_errors",
        storm.errors.into_inner(),
        "errors",
    );
}
