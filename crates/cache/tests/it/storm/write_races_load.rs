//! Loads, writes and invalidations that race in every order: futures are polled one at a time, in an order
//! that is drawn from a seed, and dropped now and then.
//!
//! The database is a counter per key. An invalidation raises it first; when it has returned, no read that
//! begins may give less, and no copy may be less.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Duration,
};

use futures_util::FutureExt as _;
use ruleiq_cache::{CacheManager, Policy};
use tokio::{
    task::{unconstrained, yield_now},
    time::advance,
};

use crate::{
    place::Place,
    soak::{Dice, is_full, report},
};

const ACTORS: usize = 6;
const SECOND: Duration = Duration::from_secs(1);
/// A run takes some hundred, or some thousand while Redis answers.
const MOST_TURNS: u64 = 10_000_000;

struct Row {
    key: String,
    value: AtomicU64,
    /// What the last invalidation that has returned has left.
    floor: AtomicU64,
    is_written: AtomicBool,
}

struct World {
    cache: CacheManager,
    /// Another instance, which fills Redis. It is told of invalidations, sooner or later.
    other: Option<CacheManager>,
    /// What the keys of these rows begin with.
    start: String,
    rows: [Row; 2],
    old: AtomicU64,
}

#[derive(Default)]
struct Figures {
    old: u64,
    /// The first one with an old value, to be repeated.
    seed: Option<u64>,
    stale: u64,
    shared: u64,
    refused: u64,
    dropped: u64,
}

impl World {
    fn new(cache: CacheManager, other: Option<CacheManager>, start: String) -> World {
        let row = |n| Row {
            key: format!("{start}{n}"),
            value: AtomicU64::new(1),
            floor: AtomicU64::new(0),
            is_written: AtomicBool::new(false),
        };
        World {
            cache,
            other,
            rows: [row(0), row(1)],
            start,
            old: AtomicU64::new(0),
        }
    }

    fn check(&self, value: u64, floor: u64) {
        self.old.fetch_add(u64::from(value < floor), SeqCst);
    }

    /// Looks at the copies of a cache in the process alone.
    fn check_copies(&self) {
        for row in &self.rows {
            let copy = self.cache.get::<u64>(&row.key).now_or_never().unwrap();
            if let Some(copy) = copy {
                self.check(*copy, row.floor.load(SeqCst));
            }
        }
    }
}

/// Reads first and answers later.
async fn load(world: Arc<World>, at: usize, yields: u64, fails: bool) -> Result<u64, &'static str> {
    let value = world.rows[at].value.load(SeqCst);
    for _ in 0..yields {
        yield_now().await;
    }
    match fails {
        true => Err("down"),
        false => Ok(value),
    }
}

/// What all values of a row have.
fn tagged(row: &Row) -> Policy {
    let tags = [row.key.as_str()];
    Policy::new(20 * SECOND).tags(tags).tables(&["rows"])
}

fn policy(dice: &mut Dice, row: &Row) -> Policy {
    let policy = tagged(row);
    match dice.roll(4) {
        0 => policy.stale_if_error(60 * SECOND),
        1 => policy.stale_while_revalidate(60 * SECOND),
        2 => policy.stale_if_error(60 * SECOND).soft_timeout(SECOND),
        _ => policy,
    }
}

async fn read(world: &Arc<World>, dice: &mut Dice) {
    let at = dice.pick(world.rows.len());
    let row = &world.rows[at];
    let (policy, yields, fails) = (policy(dice, row), dice.roll(5), dice.roll(6) == 0);
    let load = {
        let world = Arc::clone(world);
        move || load(world, at, yields, fails)
    };
    let cache = &world.cache;
    let floor = row.floor.load(SeqCst);
    match dice.roll(8) {
        0 => {
            if let Some(value) = cache.get::<u64>(&row.key).await {
                world.check(*value, floor);
            }
        }
        1 => {
            let floors = world.rows.each_ref().map(|it| it.floor.load(SeqCst));
            let keys = world.rows.each_ref().map(|it| it.key.as_str());
            for (value, floor) in cache.mget::<u64>(&keys).await.into_iter().zip(floors) {
                world.check(*value.unwrap_or(u64::MAX.into()), floor);
            }
        }
        2 | 3 => {
            if let Ok(value) = cache.detached().get_or_load(&row.key, policy, load).await {
                world.check(*value, floor);
            }
        }
        4 if world.other.is_some() => {
            let other = world.other.as_ref().unwrap();
            drop(other.get_or_load(&row.key, policy, load).await);
        }
        _ => {
            if let Ok(value) = cache.get_or_load(&row.key, policy, load).await {
                world.check(*value, floor);
            }
        }
    }
}

/// Raises rows, has the cache invalidate them, and notes that.
async fn invalidate(rows: &[Row], invalidation: impl Future) {
    let values: Vec<u64> = rows
        .iter()
        .map(|it| it.value.fetch_add(1, SeqCst) + 1)
        .collect();
    invalidation.await;
    for (row, value) in rows.iter().zip(values) {
        row.floor.fetch_max(value, SeqCst);
    }
}

/// Of two writes of one key at once, either may be the last: that is for the writers to say.
struct Writing<'a>(&'a AtomicBool);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

async fn write(world: &Arc<World>, dice: &mut Dice) {
    let at = dice.pick(world.rows.len());
    let (cache, row) = (&world.cache, &world.rows[at]);
    match dice.roll(16) {
        0 => invalidate(&world.rows, cache.clear()).await,
        1 | 2 => {
            let pattern = format!("{}*", world.start);
            invalidate(&world.rows, cache.delete_pattern(&pattern)).await;
        }
        3 => drop(cache.expire(&row.key, 10 * SECOND).await),
        8 | 9 => {
            let rows = std::slice::from_ref(row);
            invalidate(rows, cache.invalidate_tags(&[&row.key])).await;
        }
        10 => invalidate(&world.rows, cache.invalidate_tables(&["rows"])).await,
        4..=7 if !row.is_written.swap(true, SeqCst) => {
            let _writing = Writing(&row.is_written);
            let value = row.value.fetch_add(1, SeqCst) + 1;
            drop(cache.set(&row.key, value, tagged(row)).await);
            row.floor.fetch_max(value, SeqCst);
        }
        _ => {
            let rows = std::slice::from_ref(row);
            invalidate(rows, cache.delete(&[&row.key])).await;
        }
    }
}

async fn act(world: Arc<World>, mut dice: Dice) {
    for _ in 0..=dice.roll(4) {
        match dice.roll(3) {
            0 => write(&world, &mut dice).await,
            _ => read(&world, &mut dice).await,
        }
        yield_now().await;
    }
}

/// Polls actors until all have ended or been dropped. Answers how many were dropped.
async fn play(world: &Arc<World>, seed: u64) -> u64 {
    // The early refresh throws dice of its own.
    fastrand::seed(seed);
    let mut dice = Dice::new(seed);
    let mut actors: Vec<Pin<Box<dyn Future<Output = ()>>>> = (0..ACTORS)
        .map(|_| {
            let dice = Dice::new(dice.roll(u64::MAX));
            Box::pin(act(Arc::clone(world), dice)) as Pin<Box<dyn Future<Output = ()>>>
        })
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    let (mut dropped, mut turns) = (0, 0);
    while !actors.is_empty() {
        let at = dice.pick(actors.len());
        match dice.roll(64) {
            0 => {
                drop(actors.swap_remove(at));
                dropped += 1;
            }
            1 if world.other.is_none() => advance(SECOND * 12).await,
            // Tasks of the cache's own, and the client.
            2..=10 => yield_now().await,
            _ => {
                if actors[at].as_mut().poll(&mut context).is_ready() {
                    drop(actors.swap_remove(at));
                }
            }
        }
        if world.other.is_none() {
            world.check_copies();
        }
        turns += 1;
        assert!(turns < MOST_TURNS, "the run with seed {seed} is stuck");
    }
    dropped
}

impl Figures {
    async fn add(&mut self, world: &Arc<World>, seed: u64) {
        self.dropped += play(world, seed).await;
        let old = world.old.load(SeqCst);
        self.old += old;
        self.seed = self.seed.or((old > 0).then_some(seed));
    }

    fn count(&mut self, cache: &CacheManager) {
        let stats = cache.stats();
        self.stale += stats.stale;
        self.shared += stats.misses.saturating_sub(stats.loads);
        self.refused += stats.refused_fills;
    }

    fn report(&self, name: &str) {
        let (old, seed) = (self.old, self.seed);
        report(name, old, "old_values", "0", old == 0);
        assert_eq!(old, 0, "the first with seed {seed:?}");
        let raced = [self.shared, self.refused, self.dropped];
        assert!(!raced.contains(&0), "nothing raced: {raced:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_order_of_loads_and_writes_gives_an_old_value() {
    let seeds = if is_full() { 100_000 } else { 2_000 };
    let mut figures = Figures::default();
    for seed in 0..seeds {
        let options = CacheManager::builder().l1_max_bytes(64 * 1024);
        let cache = options.build().unwrap();
        let world = Arc::new(World::new(cache, None, "row:".to_owned()));
        unconstrained(figures.add(&world, seed)).await;
        figures.count(&world.cache);
    }
    assert!(figures.stale > 0, "no value's time was up");
    figures.report("write_races_load");
}

/// The order is drawn here too, but for when Redis answers.
#[tokio::test]
async fn no_order_of_loads_and_writes_gives_an_old_value_from_redis() {
    let place = Place::new().await;
    let (cache, other) = (place.cache().await, place.redis_alone().await);
    let seeds = if is_full() { 5_000 } else { 100 };
    let mut figures = Figures::default();
    for seed in 0..seeds {
        let start = format!("{seed}:");
        let world = Arc::new(World::new(cache.clone(), Some(other.clone()), start));
        unconstrained(figures.add(&world, seed)).await;
    }
    figures.count(&cache);
    figures.report("write_races_load_in_redis");
}
