//! Rows by key while one statement of a hundred takes long: how long the quick ones take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Histogram, Tally};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    panicked,
    point_select::{PointSelect, Points, select},
};
use crate::{Env, around::keeping, postgres::Pooled};

/// It keeps a connection for 50 ms, and costs no processor time.
const SLOW: &str = "SELECT pg_sleep(0.05)";
/// Of so many statements one is slow.
const ONE_OF: u64 = 100;

/// What both sides are set up from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mixed {
    #[serde(flatten)]
    select: PointSelect,
    slow: &'static str,
    slow_one_of: u64,
}

impl Mixed {
    pub(super) fn new(select: PointSelect) -> Mixed {
        Mixed {
            select,
            slow: SLOW,
            slow_one_of: ONE_OF,
        }
    }
}

/// A side: both statements through the pool `P`. Only the quick ones are timed.
pub(super) async fn tail<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<Mixed>,
) -> Result<Box<dyn Arm>, Fault> {
    let (points, pool) = Points::behind::<P>(&env, &settings.select).await?;
    let arm = Tasks {
        pool,
        points: Arc::clone(&points),
        tasks: settings.select.pool.tasks,
        begun: Arc::default(),
    };
    Ok(keeping(Box::new(arm), points))
}

struct Tasks<P> {
    pool: P,
    points: Arc<Points>,
    tasks: usize,
    begun: Arc<AtomicU64>,
}

impl<P: Pooled> Tasks<P> {
    async fn run_all(&self, (limit, most): (Duration, u64)) -> Result<Tally, Fault> {
        let started = Instant::now();
        let each = most.div_ceil(self.tasks as u64);
        let mut tasks = JoinSet::new();
        for _ in 0..self.tasks {
            let (pool, points) = (self.pool.clone(), Arc::clone(&self.points));
            let begun = Arc::clone(&self.begun);
            tasks.spawn(async move {
                let mut quick = Histogram::new();
                for _ in 0..each {
                    let at = Instant::now();
                    if at - started >= limit {
                        break;
                    }
                    if begun.fetch_add(1, Relaxed).is_multiple_of(ONE_OF) {
                        pool.request(sleep(&pool)).await?;
                    } else {
                        pool.request(select(&pool, &points)).await?;
                        quick.record(at.elapsed());
                    }
                }
                Ok::<Histogram, Fault>(quick)
            });
        }
        let mut quick = Histogram::new();
        while let Some(task) = tasks.join_next().await {
            quick.merge(&task.map_err(panicked)??);
        }
        Ok(Tally {
            operations: quick.len(),
            latency: Some(quick),
            ..Tally::default()
        })
    }
}

async fn sleep<P: Pooled>(pool: &P) -> Result<(), Fault> {
    let connection = pool.checkout().await?;
    P::query(&connection, SLOW, &[]).await.map(drop)
}

impl<P: Pooled> Arm for Tasks<P> {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { select(&self.pool, &self.points).await.map(drop) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(self.run_all(budget.limits()))
    }
}
