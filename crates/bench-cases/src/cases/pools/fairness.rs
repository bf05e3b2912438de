//! Many tasks over few connections: whether each of them gets on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use tokio::task::JoinSet;

use super::{
    panicked,
    point_select::{PointSelect, Points, select},
};
use crate::{
    Env,
    around::keeping,
    postgres::{Pooled, counted},
};

/// A side: the statement of [`point_select`](super::point_select) through the pool `P`, by tasks
/// whose operations are counted one by one.
pub(super) async fn fairness<P: Pooled>(
    env: Arc<Env>,
    settings: Arc<PointSelect>,
) -> Result<Box<dyn Arm>, Fault> {
    let (points, pool) = Points::behind::<P>(&env, &settings).await?;
    let arm = Tasks {
        pool,
        points: Arc::clone(&points),
        tasks: settings.pool.tasks,
    };
    Ok(keeping(counted(Box::new(arm), env.owner_url()?), points))
}

struct Tasks<P> {
    pool: P,
    points: Arc<Points>,
    tasks: usize,
}

impl<P: Pooled> Tasks<P> {
    async fn run_all(&self, (limit, most): (Duration, u64)) -> Result<Tally, Fault> {
        let started = Instant::now();
        let each = most.div_ceil(self.tasks as u64);
        let mut tasks = JoinSet::new();
        for _ in 0..self.tasks {
            let (pool, points) = (self.pool.clone(), Arc::clone(&self.points));
            tasks.spawn(async move {
                let mut done = 0_u64;
                while done < each && started.elapsed() < limit {
                    pool.request(select(&pool, &points)).await?;
                    done += 1;
                }
                Ok::<u64, Fault>(done)
            });
        }
        let mut done = Vec::new();
        while let Some(task) = tasks.join_next().await {
            done.push(task.map_err(panicked)??);
        }
        let mut tally = Tally {
            operations: done.iter().sum(),
            ..Tally::default()
        };
        tally
            .figures
            .insert("jain_index".to_owned(), jain_index(&done));
        Ok(tally)
    }
}

impl<P: Pooled> Arm for Tasks<P> {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async { select(&self.pool, &self.points).await.map(drop) })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(self.run_all(budget.limits()))
    }
}

/// 1 where all have the same, 1/n where one of n has everything (Jain, Chiu, Hawe: "A Quantitative
/// Measure of Fairness and Discrimination", DEC-TR-301, 1984).
#[expect(clippy::cast_precision_loss, reason = "counts of operations")]
fn jain_index(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|it| *it as f64).sum();
    let squares: f64 = shares.iter().map(|it| (*it as f64).powi(2)).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (shares.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::jain_index;

    #[test]
    fn the_index_goes_from_one_of_all_to_all_alike() {
        let check = |shares: &[u64], expect: f64| {
            assert!((jain_index(shares) - expect).abs() < 1e-9, "{shares:?}");
        };
        check(&[7, 7, 7, 7], 1.0);
        check(&[8, 0, 0, 0], 0.25);
        check(&[1, 3], 0.8);
        check(&[0, 0], 1.0);
    }
}
