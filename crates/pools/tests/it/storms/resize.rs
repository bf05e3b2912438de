//! A pool whose size changes all the time, under load.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};

use futures_util::future::join_all;
use ruleiq_pools::{PoolManager, PostgresConfig};
use ruleiq_query::Read as _;
use ruleiq_test_support::{TestDatabase, eventually};

use super::{Bar::AtMost, Random, is_full, report};
use crate::fixture::{
    MAX_OVERFLOW, PATIENCE, PLACES, SIZE, config, connections, every_place_is_usable, manager,
    stats,
};

const SEED: u64 = 0x5eed_0512;
const CALLERS: usize = 20;

async fn caller(pools: &PoolManager, is_over: &AtomicBool) {
    while !is_over.load(Relaxed) {
        let session = pools.session().await.unwrap();
        session.query_one("SELECT 1", &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resizing_loses_no_place_and_opens_none_too_many() {
    let resizes = if is_full() { 1_000 } else { 60 };
    let database = TestDatabase::empty().await;
    let pools = manager(PostgresConfig {
        idle_check: std::time::Duration::MAX,
        ..config(database.url())
    });
    let observer = database.client().await;
    let is_over = AtomicBool::new(false);
    let (mut random, most, above) = (Random(SEED), AtomicI64::new(0), AtomicUsize::new(0));
    let look = async |limit: i64| {
        let seen = connections(&observer).await;
        most.fetch_max(seen, Relaxed);
        above.fetch_add(usize::from(seen > limit), Relaxed);
        seen
    };

    let load = join_all((0..CALLERS).map(|_| caller(&pools, &is_over)));
    let resizing = async {
        let mut before = i64::try_from(PLACES).unwrap();
        for _ in 0..resizes {
            let size = 1 + usize::try_from(random.below(PLACES as u64)).unwrap();
            let max_overflow = usize::try_from(random.below((PLACES - size + 1) as u64)).unwrap();
            pools.resize(size, max_overflow).unwrap();
            let limit = size + max_overflow;
            // What is in use or being opened goes as it comes back,
            eventually(PATIENCE, || async { stats(&pools).connections() <= limit }).await;
            let limit = i64::try_from(limit).unwrap();
            let meanwhile = before.max(limit);
            eventually(PATIENCE, || async { look(meanwhile).await <= limit }).await;
            // and no other comes.
            look(limit).await;
            before = limit;
        }
        is_over.store(true, Relaxed);
    };
    tokio::join!(load, resizing);

    pools.resize(SIZE, MAX_OVERFLOW).unwrap();
    every_place_is_usable(&pools).await;
    let above = above.into_inner();
    report("resize_storm", above, "looks", AtMost(0));
    report(
        "resize_storm_most",
        most.into_inner(),
        "connections",
        AtMost(PLACES as i64),
    );
}
