//! The schema changes while everybody reads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use futures_util::future::join_all;
use ruleiq_pools::PoolManager;
use ruleiq_query::Read as _;
use ruleiq_test_support::TestDatabase;

use super::{Bar::AtMost, is_full, report};
use crate::fixture::{config, every_place_is_usable, manager};

const CALLERS: usize = 50;

#[derive(Default)]
struct Figures {
    reads: AtomicUsize,
    errors: AtomicUsize,
}

async fn caller(pools: &PoolManager, is_over: &AtomicBool, figures: &Figures) {
    while !is_over.load(Relaxed) {
        let session = pools.session().await.unwrap();
        for id in 1..=5_i32 {
            match session
                .query_one("SELECT * FROM t WHERE id = $1", &[&id])
                .await
            {
                Ok(row) => assert_eq!(row.get::<_, i32>("id"), id),
                Err(error) => {
                    println!("{error:?}");
                    figures.errors.fetch_add(1, Relaxed);
                }
            }
            figures.reads.fetch_add(1, Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_reads_sees_the_schema_change() {
    let changes = if is_full() { 500 } else { 25 };
    let database = TestDatabase::empty().await;
    let owner = database.client().await;
    owner
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, a int);
             INSERT INTO t SELECT n, n FROM generate_series(1, 5) n",
        )
        .await
        .unwrap();
    let pools = manager(config(database.url()));
    let (is_over, figures) = (AtomicBool::new(false), Figures::default());

    let load = join_all((0..CALLERS).map(|_| caller(&pools, &is_over, &figures)));
    let changing = async {
        for change in 0..changes {
            let sql = match change % 4 {
                0 => "ALTER TABLE t ADD COLUMN b text DEFAULT 'b'",
                1 => "CREATE INDEX t_b ON t (b)",
                2 => "DROP INDEX t_b; ALTER TABLE t ALTER COLUMN a TYPE bigint",
                _ => "ALTER TABLE t DROP COLUMN b, ALTER COLUMN a TYPE int",
            };
            owner.batch_execute(sql).await.unwrap();
            // Everybody meets it.
            let seen = figures.reads.load(Relaxed);
            while figures.reads.load(Relaxed) < seen + CALLERS {
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Relaxed);
    };
    tokio::join!(load, changing);

    every_place_is_usable(&pools).await;
    report(
        "ddl_under_load",
        figures.errors.into_inner(),
        "errors",
        AtMost(0),
    );
}
