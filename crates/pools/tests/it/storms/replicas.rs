//! A primary that is lost, and a standby that is behind: nobody reads what is older than what they wrote.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ruleiq_pools::{CheckoutError, PoolManager};
use ruleiq_query::{Error, Queries as _};
use ruleiq_scope::{CausalToken, Scope};
use ruleiq_test_support::{Which, eventually};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_postgres::Client;

use super::{Bar, Random, is_full, report, report_time};
use crate::{
    fixture::PATIENCE,
    replicas::{Pair, quick, read},
};

const TASKS: u64 = 8;
/// Longer than a promotion takes, shorter than a test.
const HEALED_MS: u128 = 2_000;

/// What was acknowledged: the row and its position.
type Written = Arc<Mutex<Vec<(i64, CausalToken)>>>;

/// Writes a row in a transaction of its own.
async fn write(pools: &PoolManager, n: i64, synchronous: &str) -> Result<CausalToken, Failed> {
    let scope = Scope::builder().build();
    let write = async {
        let mut session = pools.session().await.map_err(|_| Failed)?;
        let transaction = session.transaction().await?;
        let set = format!("SET LOCAL synchronous_commit = {synchronous}");
        transaction.batch_execute(&set).await?;
        transaction
            .execute("INSERT INTO notes VALUES ($1)", &[&n])
            .await?;
        transaction.commit().await?.ok_or(Failed)
    };
    scope.run(write).await
}

/// It was not acknowledged, for whatever reason.
#[derive(Debug)]
struct Failed;

impl From<Error> for Failed {
    fn from(_: Error) -> Failed {
        Failed
    }
}

/// Which of the rows are not there.
async fn missing(client: &Client, written: &[(i64, CausalToken)]) -> Vec<i64> {
    let rows: Vec<i64> = written.iter().map(|(n, _)| *n).collect();
    let missing = "SELECT n FROM unnest($1::int8[]) n WHERE n NOT IN (SELECT n FROM notes)";
    let found = client.query(missing, &[&rows]).await.unwrap();
    found.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_your_writes() {
    let reads: u64 = if is_full() { 10_000 } else { 400 };
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let is_over = Arc::new(AtomicBool::new(false));
    // Replay stops and goes on, so that the standby is behind by more and by less than a read waits.
    let lagging = tokio::spawn({
        let (standby, is_over) = (pair.standby().await, Arc::clone(&is_over));
        async move {
            let mut random = Random(7);
            while !is_over.load(Relaxed) {
                standby
                    .batch_execute("SELECT pg_wal_replay_pause()")
                    .await
                    .unwrap();
                sleep(Duration::from_millis(random.below(80))).await;
                standby
                    .batch_execute("SELECT pg_wal_replay_resume()")
                    .await
                    .unwrap();
                sleep(Duration::from_millis(random.below(120))).await;
            }
        }
    });
    let (stale, on_standby) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (pools, stale, on_standby) =
            (pools.clone(), Arc::clone(&stale), Arc::clone(&on_standby));
        tasks.spawn(async move {
            for at in 0..reads / TASKS {
                let n = i64::try_from(task * reads + at).unwrap();
                let synchronous = if at % 2 == 0 { "on" } else { "off" };
                let token = write(&pools, n, synchronous).await.unwrap();
                let (is_there, was_on_standby) = read(&pools, Some(token), n).await.unwrap();
                stale.fetch_add(u64::from(!is_there), Relaxed);
                on_standby.fetch_add(u64::from(was_on_standby), Relaxed);
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    is_over.store(true, Relaxed);
    lagging.await.unwrap();
    report("stale_reads", stale.load(Relaxed), "reads", Bar::AtMost(0));
    let share = on_standby.load(Relaxed) * 100 / reads;
    report("read_on_the_standby", share, "percent", Bar::AtLeast(10));
}

/// Writers who go on whatever happens, and read what they wrote.
struct Writers {
    tasks: JoinSet<()>,
    written: Written,
    stale: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    next: Arc<AtomicI64>,
}

impl Writers {
    fn start(pools: &PoolManager, first: i64) -> Writers {
        let mut writers = Writers {
            tasks: JoinSet::new(),
            written: Written::default(),
            stale: Arc::default(),
            is_over: Arc::default(),
            next: Arc::new(AtomicI64::new(first)),
        };
        for _ in 0..TASKS {
            let pools = pools.clone();
            let (written, stale) = (Arc::clone(&writers.written), Arc::clone(&writers.stale));
            let (is_over, next) = (Arc::clone(&writers.is_over), Arc::clone(&writers.next));
            writers.tasks.spawn(async move {
                while !is_over.load(Relaxed) {
                    let n = next.fetch_add(1, Relaxed);
                    let Ok(token) = write(&pools, n, "on").await else {
                        sleep(Duration::from_millis(5)).await;
                        continue;
                    };
                    written.lock().unwrap().push((n, token));
                    // An answer that says it does not know is right.
                    if let Ok((is_there, _)) = read_once(&pools, token, n).await {
                        stale.fetch_add(u64::from(!is_there), Relaxed);
                    }
                }
            });
        }
        writers
    }

    fn count(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    async fn until_more(&self, more: usize) {
        let before = self.count();
        eventually(PATIENCE, || async { self.count() >= before + more }).await;
    }

    async fn end(mut self) -> (Vec<(i64, CausalToken)>, u64) {
        self.is_over.store(true, Relaxed);
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
        let written = self.written.lock().unwrap().clone();
        (written, self.stale.load(Relaxed))
    }
}

/// A read whose connection may be lost under it.
async fn read_once(
    pools: &PoolManager,
    token: CausalToken,
    n: i64,
) -> Result<(bool, bool), Failed> {
    use ruleiq_query::Read as _;
    let session = pools.read_session_after(token).await.map_err(|_| Failed)?;
    let rows = session
        .query("SELECT n FROM notes WHERE n = $1", &[&n])
        .await?;
    Ok((!rows.is_empty(), !session.is_on_primary()))
}

/// Ends the primary and makes the standby one. Answers how long until a write was acknowledged there.
async fn fail_over(pair: &Pair, writers: &Writers) -> u128 {
    let standby = pair.standby().await;
    pair.servers.kill(Which::Postgres).await;
    let began = Instant::now();
    standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    let before = writers.count();
    eventually(PATIENCE, || async { writers.count() > before }).await;
    began.elapsed().as_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promotion_sync() {
    let writes = if is_full() { 3_000 } else { 100 };
    let pair = Pair::start().await;
    let primary = pair.primary().await;
    primary
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        .await
        .unwrap();
    primary
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        primary.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    let pools = pair.pools(quick());
    let writers = Writers::start(&pools, 0);
    writers.until_more(writes).await;
    let healed = fail_over(&pair, &writers).await;
    writers.until_more(writes).await;
    let (written, stale) = writers.end().await;
    let missing = missing(&pair.standby().await, &written).await;
    report("sync_stale_reads", stale, "reads", Bar::AtMost(0));
    report("sync_lost_writes", missing.len(), "writes", Bar::AtMost(0));
    report_time("sync_healed", healed, Bar::AtMost(HEALED_MS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promotion_async() {
    let writes = if is_full() { 3_000 } else { 100 };
    let pair = Pair::start().await;
    let pools = pair.pools(quick());
    let writers = Writers::start(&pools, 0);
    writers.until_more(writes).await;
    // What is written from here on does not get there.
    let standby = pair.standby().await;
    standby
        .batch_execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        .await
        .unwrap();
    standby
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
        standby
            .query_one(receivers, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
    })
    .await;
    writers.until_more(20).await;
    pair.servers.kill(Which::Postgres).await;
    standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    writers.until_more(writes).await;
    let (written, stale) = writers.end().await;
    let missing = missing(&standby, &written).await;
    let mut silent = 0;
    for (n, token) in written.iter().filter(|(n, _)| missing.contains(n)) {
        let read = read(&pools, Some(*token), *n).await;
        silent += usize::from(!matches!(read, Err(CheckoutError::TokenLost { .. })));
    }
    report("async_stale_reads", stale, "reads", Bar::AtMost(0));
    report(
        "async_lost_writes",
        missing.len(),
        "writes",
        Bar::AtLeast(1),
    );
    report("async_silent_tokens", silent, "tokens", Bar::AtMost(0));

    // The old primary comes back and would take writes.
    pair.servers.start_again(Which::Postgres).await;
    let old = pair.primary().await;
    let count = "SELECT count(*) FROM notes";
    let before = old.query_one(count, &[]).await.unwrap().get::<_, i64>(0);
    let writers = Writers::start(&pools, 1_000_000_000);
    writers.until_more(writes).await;
    let (written, stale) = writers.end().await;
    let after = old.query_one(count, &[]).await.unwrap().get::<_, i64>(0);
    report(
        "split_brain_writes",
        after - before,
        "writes",
        Bar::AtMost(0),
    );
    report("split_brain_stale_reads", stale, "reads", Bar::AtMost(0));
    assert!(self::missing(&standby, &written).await.is_empty());
}
