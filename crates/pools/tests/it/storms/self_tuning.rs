//! A pool that begins at a bad size, and finds a good one.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use ruleiq_pools::{PoolManager, PostgresConfig, StepOutcome, TuningConfig};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec};
use tokio::{
    task::JoinSet,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    Bar::{AtLeast, AtMost},
    is_full, print, report,
};
use crate::fixture::{config, manager, stats};

/// Sizes that no search of the pool's chose.
const SWEEP: [usize; 8] = [1, 2, 4, 8, 16, 24, 40, 64];
/// Too few, and too many.
const BAD: [usize; 2] = [1, 64];
const ROWS: i64 = 10_000;
/// What comes in a burst, and how often.
const BURST: usize = 40;
const BURSTS: Duration = Duration::from_millis(250);
/// A request of a burst that takes longer is no good.
const IN_TIME: Duration = Duration::from_millis(60);

#[derive(Clone, Copy, Debug)]
enum Workload {
    /// Rows by their keys, by callers that ask again at once.
    Short,
    /// Sessions that are kept while something else is waited for.
    Long,
    /// Many requests at once, and then none.
    Bursty,
    /// Both of the first.
    Mixed,
}

/// A service under load.
struct Load {
    is_over: Arc<AtomicBool>,
    /// Requests that were answered, in time where there is one.
    good: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(pools: &PoolManager, workload: Workload) -> Load {
        let mut load = Load {
            is_over: Arc::default(),
            good: Arc::default(),
            tasks: JoinSet::new(),
        };
        match workload {
            Workload::Short => load.callers(pools, 50, short),
            Workload::Long => load.callers(pools, 40, long),
            Workload::Mixed => {
                load.callers(pools, 30, short);
                load.callers(pools, 10, long);
            }
            Workload::Bursty => load.bursts(pools),
        }
        load
    }

    fn callers<F>(
        &mut self,
        pools: &PoolManager,
        callers: usize,
        request: fn(PoolManager, i64) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        for caller in 0..callers {
            let (pools, is_over, good) = (pools.clone(), self.is_over.clone(), self.good.clone());
            self.tasks.spawn(async move {
                let mut n = i64::try_from(caller).unwrap();
                while !is_over.load(Relaxed) {
                    n = (n * 31 + 7) % ROWS;
                    request(pools.clone(), n).await;
                    good.fetch_add(1, Relaxed);
                }
            });
        }
    }

    fn bursts(&mut self, pools: &PoolManager) {
        let (pools, is_over, good) = (pools.clone(), self.is_over.clone(), self.good.clone());
        self.tasks.spawn(async move {
            let mut ticks = time::interval(BURSTS);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut requests = JoinSet::new();
            while !is_over.load(Relaxed) {
                ticks.tick().await;
                for _ in 0..BURST {
                    let (pools, good) = (pools.clone(), good.clone());
                    requests.spawn(async move {
                        let began = Instant::now();
                        burst(pools).await;
                        good.fetch_add(u64::from(began.elapsed() <= IN_TIME), Relaxed);
                    });
                }
                while requests.try_join_next().is_some() {}
            }
            requests.join_all().await;
        });
    }

    /// Good requests per second, from now on and for so long.
    async fn goodput(&self, time: Duration) -> f64 {
        let (before, began) = (self.good.load(Relaxed), Instant::now());
        time::sleep(time).await;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred thousand")]
        let good = (self.good.load(Relaxed) - before) as f64;
        good / began.elapsed().as_secs_f64()
    }

    async fn end(self) {
        self.is_over.store(true, Relaxed);
        self.tasks.join_all().await;
    }
}

async fn short(pools: PoolManager, n: i64) {
    let session = pools.session().await.unwrap();
    let row = "SELECT body FROM pages WHERE n = $1";
    session.query_one(row, &[&n]).await.unwrap();
}

async fn long(pools: PoolManager, n: i64) {
    let session = pools.session().await.unwrap();
    let row = "SELECT body FROM pages WHERE n = $1";
    session.query_one(row, &[&n]).await.unwrap();
    // The caller works on it.
    time::sleep(Duration::from_millis(20)).await;
    session.query_one(row, &[&n]).await.unwrap();
}

async fn burst(pools: PoolManager) {
    let session = pools.session().await.unwrap();
    session.query("SELECT pg_sleep(0.01)", &[]).await.unwrap();
}

/// How long things are measured for.
struct Times {
    window: Duration,
    sweep: Duration,
    settle: Duration,
}

impl Times {
    fn of_this_run() -> Times {
        let ms = Duration::from_millis;
        match is_full() {
            true => Times {
                window: ms(3_000),
                sweep: ms(2_000),
                settle: ms(500),
            },
            false => Times {
                window: ms(500),
                sweep: ms(50),
                settle: ms(10),
            },
        }
    }
}

/// A pool of so many connections, which are all open.
async fn pool_of(config: &PostgresConfig, size: usize) -> PoolManager {
    let pools = manager(PostgresConfig {
        size: NonZeroUsize::new(size).unwrap(),
        max_overflow: 0,
        ..config.clone()
    });
    drop(join_all((0..size).map(|_| pools.session())).await);
    pools
}

/// Where tuning ends, and after how many steps.
async fn tune(pools: &PoolManager, load: &Load, times: &Times, share: usize) -> (usize, usize) {
    let limit = || stats(pools).size + stats(pools).max_overflow;
    let most_steps = if is_full() { 20 } else { 3 };
    let mut steps = 0;
    while steps < most_steps {
        let patience = Instant::now() + 5 * times.window;
        while !pools.optimize_pools().await.unwrap().is_measured && Instant::now() < patience {
            time::sleep(times.window / 10).await;
        }
        let Some(step) = pools.apply_optimization().await.unwrap() else {
            break;
        };
        steps += 1;
        let mut last = step;
        while last.outcome == StepOutcome::OnTrial {
            assert!(limit() <= share, "{} connections of {share}", limit());
            time::sleep(times.window / 10).await;
            last = pools.optimize_pools().await.unwrap().steps.pop().unwrap();
        }
        assert!(limit() <= share, "{} connections of {share}", limit());
        println!("{:?} -> {:?}: {:?}", last.from, last.to, last.outcome);
    }
    assert!(load.good.load(Relaxed) > 0);
    (limit(), steps)
}

/// A server of its own, and one workload.
struct Contest {
    name: &'static str,
    workload: Workload,
    times: Times,
    config: PostgresConfig,
    /// The most connections that are fair.
    share: usize,
    /// Other instances, which do nothing but be there.
    _peers: Vec<PoolManager>,
    _servers: OwnServers,
}

impl Contest {
    async fn new(name: &'static str, workload: Workload, peers: usize) -> Contest {
        let times = Times::of_this_run();
        let servers = OwnServers::start(Spec {
            postgres: Some(PostgresSpec {
                settings: vec![("max_connections".to_owned(), "120".to_owned())],
                ..PostgresSpec::default()
            }),
            ..Spec::default()
        })
        .await;
        let config = PostgresConfig {
            tuning: TuningConfig {
                window: times.window,
                ..TuningConfig::default()
            },
            ..config(servers.postgres_url())
        };
        let first = pool_of(&config, 1).await;
        let table = format!(
            "CREATE TABLE pages AS SELECT n::bigint, repeat('x', 200) AS body \
             FROM generate_series(0, {ROWS}) n; \
             ALTER TABLE pages ADD PRIMARY KEY (n); ANALYZE pages"
        );
        let session = first.session().await.unwrap();
        session.batch_execute(&table).await.unwrap();
        drop(session);
        let mut others = Vec::new();
        for _ in 0..peers {
            others.push(pool_of(&config, 1).await);
        }
        let share = first.optimize_pools().await.unwrap().share.unwrap();
        assert_eq!(share.instances, peers + 1, "{share:?}");
        first.close().await;
        Contest {
            name,
            workload,
            times,
            config,
            share: share.connections,
            _peers: others,
            _servers: servers,
        }
    }

    /// Good requests per second by a pool.
    async fn goodput(&self, pools: &PoolManager) -> f64 {
        let load = Load::start(pools, self.workload);
        time::sleep(self.times.settle).await;
        let goodput = load.goodput(self.times.sweep).await;
        load.end().await;
        goodput
    }

    /// The best of the fixed sizes.
    async fn sweep(&self) -> usize {
        let mut best = (0, 0.0);
        for size in SWEEP.into_iter().filter(|size| *size <= self.share) {
            let pools = pool_of(&self.config, size).await;
            let goodput = self.goodput(&pools).await;
            pools.close().await;
            println!("{}: {goodput:.0} a second by {size}", self.name);
            if goodput > best.1 {
                best = (size, goodput);
            }
        }
        best.0
    }

    /// What a pool that began with so many does of the best one, and how many steps it has taken.
    async fn from(&self, bad: usize, best: usize) -> (f64, usize) {
        let pools = pool_of(&self.config, bad).await;
        let load = Load::start(&pools, self.workload);
        let (found, steps) = tune(&pools, &load, &self.times, self.share).await;
        load.end().await;
        assert!(found <= self.share, "{found} of {}", self.share);
        println!(
            "{}: {found} from {bad} after {steps} steps, beside {best}",
            self.name
        );
        let fixed = pool_of(&self.config, best).await;
        // Turn by turn, whatever else the machine does.
        let (mut ours, mut theirs) = (0.0, 0.0);
        for _ in 0..if is_full() { 8 } else { 2 } {
            ours += self.goodput(&pools).await;
            theirs += self.goodput(&fixed).await;
        }
        fixed.close().await;
        pools.close().await;
        (ours / theirs, steps)
    }
}

async fn finds_a_good_size(name: &'static str, workload: Workload, peers: usize) {
    let contest = Contest::new(name, workload, peers).await;
    let best = contest.sweep().await;
    let (mut worst, mut most_steps) = (f64::INFINITY, 0);
    for bad in BAD {
        let (share, steps) = contest.from(bad, best).await;
        (worst, most_steps) = (f64::min(worst, share), most_steps.max(steps));
    }
    let name = format!("self_tuning_{name}");
    report(&format!("{name}_steps"), most_steps, "steps", AtMost(10));
    // It depends on what else the machine does: a soak judges it, a test does not.
    let rounded = (worst * 100.0).round() / 100.0;
    print(&name, &rounded, "of_the_best", &AtLeast(0.9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_tuning_short() {
    finds_a_good_size("short", Workload::Short, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_tuning_long() {
    finds_a_good_size("long", Workload::Long, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_tuning_bursty() {
    finds_a_good_size("bursty", Workload::Bursty, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_tuning_mixed() {
    finds_a_good_size("mixed", Workload::Mixed, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_tuning_too_many_instances() {
    finds_a_good_size("too_many_instances", Workload::Long, 9).await;
}
