//! Writers, readers and a network that fails, all at once.
//!
//! The database is a counter per key. A writer raises it, has the cache invalidate the key, and then
//! notes the value as seen by all: from that moment on, no read of this instance may give less.

mod cluster_failover;
mod coherence;
mod delete_pattern_million;
mod keys_never_collide;
mod leader_dropped;
mod one_load;
mod redis_faults;
mod schema_change;
mod write_races_load;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use ruleiq_cache::{CacheManager, Policy};
use ruleiq_test_support::eventually;
use tokio::time::Instant;

use crate::{
    place::{LIMIT, Place, TTL, healed},
    soak::{Dice, is_full, report},
};

const KEYS: usize = 8;
const WRITERS: u64 = 2;

struct Row {
    key: String,
    value: AtomicU64,
    seen: AtomicU64,
}

fn pick<'a>(dice: &mut Dice, rows: &'a [Row]) -> &'a Row {
    &rows[dice.pick(rows.len())]
}

fn rows() -> Arc<[Row]> {
    let row = |n| Row {
        key: format!("row:{n}"),
        value: AtomicU64::new(1),
        seen: AtomicU64::new(0),
    };
    (0..KEYS).map(row).collect()
}

async fn read(cache: &CacheManager, row: &Row, yields: u64) -> u64 {
    let load = || async {
        let value = row.value.load(SeqCst);
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        Ok::<_, ()>(value)
    };
    // Its tag is what it is called.
    let policy = Policy::new(TTL).tags([&row.key]);
    *cache.get_or_load(&row.key, policy, load).await.unwrap()
}

async fn reader(cache: CacheManager, rows: Arc<[Row]>, seed: u64, steps: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let mut stale = 0;
    for _ in 0..steps {
        let row = pick(&mut dice, &rows);
        let seen = row.seen.load(SeqCst);
        let value = if dice.roll(4) == 0 {
            match cache.get::<u64>(&row.key).await {
                Some(value) => *value,
                None => continue,
            }
        } else {
            read(&cache, row, dice.roll(4)).await
        };
        stale += u64::from(value < seen);
    }
    stale
}

async fn writer(cache: CacheManager, rows: Arc<[Row]>, seed: u64, done: Arc<AtomicBool>) -> u64 {
    let mut dice = Dice::new(seed);
    let mut writes = 0;
    while !done.load(SeqCst) {
        let row = pick(&mut dice, &rows);
        let value = row.value.fetch_add(1, SeqCst) + 1;
        match dice.roll(8) {
            0 => drop(
                cache
                    .delete_pattern(&format!("{}*", row.key))
                    .await
                    .unwrap(),
            ),
            1 => cache.clear().await,
            2..=4 => cache.invalidate_tags(&[&row.key]).await,
            _ => cache.delete(&[&row.key]).await,
        }
        row.seen.fetch_max(value, SeqCst);
        writes += 1;
        for _ in 0..dice.roll(8) {
            tokio::task::yield_now().await;
        }
    }
    writes
}

/// Runs readers and writers on one instance, and answers how many reads were stale.
async fn race(cache: &CacheManager, rows: &Arc<[Row]>, readers: u64, steps: u64) -> (u64, u64) {
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (1..=WRITERS)
        .map(|seed| {
            let (cache, rows, done) = (cache.clone(), Arc::clone(rows), Arc::clone(&done));
            tokio::spawn(writer(cache, rows, seed, done))
        })
        .collect();
    let readers = (0..readers).map(|n| {
        let (cache, rows) = (cache.clone(), Arc::clone(rows));
        tokio::spawn(reader(cache, rows, 1_000 + n, steps))
    });
    let stale = join_all(readers.collect::<Vec<_>>()).await;
    done.store(true, SeqCst);
    let writes = join_all(writers).await;
    (
        stale.into_iter().map(Result::unwrap).sum(),
        writes.into_iter().map(Result::unwrap).sum(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_is_older_than_an_invalidation_that_has_returned() {
    let place = Place::new().await;
    let (readers, steps) = if is_full() { (16, 50_000) } else { (8, 1_000) };
    let (cache, other) = (place.cache().await, place.cache().await);
    let rows = rows();
    // Another instance fills Redis all the while.
    let (_, (stale, writes)) = tokio::join!(
        reader(other.clone(), Arc::clone(&rows), 77, steps),
        race(&cache, &rows, readers, steps)
    );
    report("cache_stale_reads", stale, "reads", "0", stale == 0);
    assert!(writes > 0);
    assert_eq!(
        stale,
        0,
        "of {} reads beside {writes} writes",
        readers * steps
    );
    let refused = cache.stats().refused_fills + other.stats().refused_fills;
    assert!(refused > 0, "nothing raced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_network_that_fails_makes_no_read_stale_and_none_fail() {
    let place = Place::new().await;
    let proxy = place.proxy().await;
    let options = place.behind(&proxy).await;
    let command_timeout = Duration::from_millis(50);
    let cache = options.command_timeout(command_timeout).build().unwrap();
    let other = place.cache().await;
    let rows = rows();
    let rounds = if is_full() { 400 } else { 12 };

    let (done, mut dice) = (AtomicBool::new(false), Dice::new(7));
    let faults = async {
        for round in 0..rounds {
            // As many commands as it takes for the fault to be seen, or what there is.
            let errors = cache.stats().redis_errors;
            match dice.roll(3) {
                0 => proxy.refuse().await,
                1 => proxy.stall().await,
                _ => proxy.cut().await,
            }
            let limit = Instant::now() + command_timeout * 4;
            while cache.stats().redis_errors < errors + 3 && Instant::now() < limit {
                tokio::task::yield_now().await;
            }
            proxy.heal().await;
            if round % 4 == 0 {
                // Writers go on: each is at one invalidation, mostly.
                eventually(LIMIT, || async {
                    let pending = cache.stats().pending_invalidations;
                    cache.exists("anything").await.is_ok() && pending <= WRITERS
                })
                .await;
            }
        }
        done.store(true, SeqCst);
    };
    let races = async {
        let (mut stale, mut writes) = (0, 0);
        while !done.load(SeqCst) {
            let (more_stale, more_writes) = race(&cache, &rows, 4, 500).await;
            stale += more_stale;
            writes += more_writes;
        }
        (stale, writes)
    };
    let ((), (stale, writes)) = tokio::join!(faults, races);
    report(
        "cache_stale_reads_in_outages",
        stale,
        "reads",
        "0",
        stale == 0,
    );
    assert_eq!(stale, 0, "beside {writes} writes");
    assert_eq!(cache.stats().load_failures, 0);

    healed(&cache).await;
    for row in rows.iter() {
        let last = row.value.load(SeqCst);
        assert_eq!(read(&cache, row, 0).await, last);
        // Its own copy may be as old as the copies of other instances may get.
        eventually(LIMIT, || async { read(&other, row, 0).await == last }).await;
    }
}
