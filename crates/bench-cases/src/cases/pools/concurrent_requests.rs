//! Many requests over few connections: how long they wait, and how much of the pool is in use.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Histogram, Tally, concurrent};

use super::point_select::{PointSelect, Points};
use crate::{
    Env,
    around::keeping,
    postgres::{Pooled, counted},
};

/// Statements of one request, all on the connection that it has waited for.
const STATEMENTS: usize = 3;
/// How often the pool is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A side: requests through the pool `P`.
pub(super) async fn concurrent_requests<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<PointSelect>,
) -> Result<Box<dyn Arm>, Fault> {
    let (points, pool) = Points::behind::<P>(&env, &settings).await?;
    let waits = Waits::default();

    let (mine, its_pool, its_waits) = (Arc::clone(&points), pool.clone(), waits.clone());
    let operation = move || {
        let (pool, points, waits) = (its_pool.clone(), Arc::clone(&mine), its_waits.clone());
        async move { pool.request(request(&pool, &points, &waits)).await }
    };
    let arm = concurrent(settings.pool.tasks, operation, |()| Ok(()));
    let arm = Box::new(Watched { arm, pool, waits });
    Ok(keeping(counted(arm, env.owner_url()?), points))
}

/// One operation.
async fn request<P: Pooled>(pool: &P, points: &Points, waits: &Waits) -> Result<(), Fault> {
    let asked = Instant::now();
    let connection = pool.checkout().await?;
    waits.record(asked.elapsed());
    for _ in 0..STATEMENTS {
        let key = points.key();
        let row = P::query_one(&connection, &points.statement, &[&key]).await?;
        Points::judge(key, &row)?;
    }
    Ok(())
}

/// How long connections were waited for.
#[derive(Clone, Debug, Default)]
struct Waits(Arc<Mutex<Histogram>>);

impl Waits {
    fn record(&self, wait: Duration) {
        self.histogram().record(wait);
    }

    fn take(&self) -> Histogram {
        mem::take(&mut self.histogram())
    }

    fn histogram(&self) -> std::sync::MutexGuard<'_, Histogram> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An arm whose slices also tell how the pool was used.
struct Watched<P> {
    arm: Box<dyn Arm>,
    pool: P,
    waits: Waits,
}

impl<P: Pooled> Watched<P> {
    async fn watch(&mut self, budget: Budget) -> Result<Tally, Fault> {
        drop(self.waits.take());
        let mut most: f64 = 0.0;
        let running = self.arm.run(budget);
        tokio::pin!(running);
        let mut tally = loop {
            tokio::select! {
                tally = &mut running => break tally?,
                () = tokio::time::sleep(LOOK) => most = most.max(self.pool.utilization()),
            }
        };
        let waits = self.waits.take();
        tally.figures.insert("utilization_max".to_owned(), most);
        // A percentile of slices is none of all waits; a mean and a maximum are.
        let waits = [("wait_mean_us", waits.mean()), ("wait_us_max", waits.max())];
        for (name, wait) in waits {
            let micros = wait.unwrap_or_default().as_secs_f64() * 1e6;
            tally.figures.insert(name.to_owned(), micros);
        }
        Ok(tally)
    }
}

impl<P: Pooled> Arm for Watched<P> {
    fn check(&mut self) -> Doing<'_, ()> {
        self.arm.check()
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(self.watch(budget))
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
