//! More requests than the pool can serve: how many have their answer in time.

use std::{sync::Arc, time::Duration};

use ruleiq_bench::{Arm, Budget, Doing, Fault, Tally};
use ruleiq_pools::PoolManager;
use ruleiq_query::Read as _;
use ruleiq_scope::Scope;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::panicked;
use crate::{
    Env,
    postgres::{Bare, Ours, PoolSettings, Pooled, warm},
};

/// What a request does: it keeps a connection for 10 ms, and costs no processor time.
const STATEMENT: &str = "SELECT pg_sleep(0.01)";
/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long the capacity is measured for before it is exceeded.
const CALIBRATION: Duration = Duration::from_secs(1);
/// In the first part of a slice the queue builds up; the answers after it count.
const RAMP: u32 = 8;
/// How long a request keeps its connection, at least.
const SERVICE: Duration = Duration::from_millis(10);

/// What both sides are set up from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Overload {
    #[serde(flatten)]
    pool: PoolSettings,
    statement: &'static str,
    patience_ms: u128,
    /// Requests offered, as a share of those that can be served.
    load: f64,
}

impl Overload {
    pub(super) fn new(connections: usize, load: f64) -> Overload {
        Overload {
            // As many tasks as connections are what can be served.
            pool: PoolSettings::new(connections, connections),
            statement: STATEMENT,
            patience_ms: PATIENCE.as_millis(),
            load,
        }
    }
}

/// The control: as many tasks as connections, none of which ever waits.
pub(super) async fn capacity(
    env: Arc<Env>,
    settings: Arc<Overload>,
) -> Result<Box<dyn Arm>, Fault> {
    Ok(Box::new(Capacity::create(&env, &settings).await?))
}

/// The subject: requests that come whether or not the last ones are answered.
pub(super) async fn overload(
    env: Arc<Env>,
    settings: Arc<Overload>,
) -> Result<Box<dyn Arm>, Fault> {
    let capacity = Capacity::create(&env, &settings).await?;
    let served = capacity.serve(CALIBRATION).await?;
    let per_second = served / CALIBRATION.as_secs_f64();
    Ok(Box::new(Overloaded {
        ours: warm(env.database_url()?, &settings.pool, STATEMENT, &[]).await?,
        interval: Duration::from_secs_f64(1.0 / (per_second * settings.load)),
    }))
}

struct Capacity {
    pool: Bare,
    connections: u32,
}

struct Overloaded {
    ours: Ours,
    interval: Duration,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    InTime,
    Late,
    Refused,
}

impl Capacity {
    async fn create(env: &Env, settings: &Overload) -> Result<Capacity, Fault> {
        let pool = warm(env.database_url()?, &settings.pool, STATEMENT, &[]).await?;
        Ok(Capacity {
            pool,
            connections: u32::try_from(settings.pool.connections).unwrap_or(u32::MAX),
        })
    }

    /// How many requests are served in this time.
    async fn serve(&self, time: Duration) -> Result<f64, Fault> {
        let until = Instant::now() + time;
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let pool = self.pool.clone();
            tasks.spawn(async move {
                let mut served = 0_u32;
                while Instant::now() < until {
                    let connection = pool.checkout().await?;
                    Bare::query(&connection, STATEMENT, &[]).await?;
                    served += u32::from(Instant::now() < until);
                }
                Ok::<u32, Fault>(served)
            });
        }
        let mut all = 0.0;
        while let Some(served) = tasks.join_next().await {
            all += f64::from(served.map_err(panicked)??);
        }
        Ok(all)
    }
}

impl Arm for Capacity {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            let connection = self.pool.checkout().await?;
            Bare::query(&connection, STATEMENT, &[]).await.map(drop)
        })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(async move {
            let interval = SERVICE.div_f64(f64::from(self.connections));
            let time = time(budget, interval);
            let served = self.serve(time).await?;
            Ok(tally(served, served / time.as_secs_f64()))
        })
    }
}

impl Overloaded {
    async fn offer(&self, time: Duration) -> Result<Tally, Fault> {
        let started = Instant::now();
        let mut requests = JoinSet::new();
        let mut due = started;
        while due < started + time {
            sleep_until(due).await;
            let pools = self.ours.pools().clone();
            requests.spawn(async move { (request(&pools, due).await, Instant::now()) });
            due += self.interval;
        }
        let (mut in_time, mut late, mut refused) = (0.0, 0.0, 0.0);
        let ramp = time / RAMP;
        let counted = (started + ramp)..(started + time);
        while let Some(request) = requests.join_next().await {
            let (answer, at) = request.map_err(panicked)?;
            match answer? {
                Answer::InTime if counted.contains(&at) => in_time += 1.0,
                Answer::InTime => {}
                Answer::Late => late += 1.0,
                Answer::Refused => refused += 1.0,
            }
        }
        let mut tally = tally(in_time, in_time / (time - ramp).as_secs_f64());
        let figures = [("late_answers", late), ("refused", refused)];
        tally
            .figures
            .extend(figures.map(|(name, figure)| (name.to_owned(), figure)));
        Ok(tally)
    }
}

impl Arm for Overloaded {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(async {
            match request(self.ours.pools(), Instant::now()).await? {
                Answer::InTime => Ok(()),
                other => Err(Fault::Failed(format!("a single request was {other:?}"))),
            }
        })
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(self.offer(time(budget, self.interval)))
    }
}

/// How long a slice is in which requests come so often.
fn time(budget: Budget, interval: Duration) -> Duration {
    match budget {
        Budget::For(time) => time,
        Budget::Operations(most) => {
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            interval.saturating_mul(most).min(budget.limits().0)
        }
    }
}

/// One request, whose client came at a moment and goes away some time after it.
async fn request(pools: &PoolManager, due: Instant) -> Result<Answer, Fault> {
    let deadline = due + PATIENCE;
    let scope = Scope::builder().deadline(deadline).build();
    let work = async {
        let Ok(session) = pools.session().await else {
            return Ok(Answer::Refused);
        };
        match session.query(STATEMENT, &[]).await {
            Ok(_) if Instant::now() <= deadline => Ok(Answer::InTime),
            Ok(_) | Err(ruleiq_query::Error::TimedOut { .. }) => Ok(Answer::Late),
            Err(ruleiq_query::Error::DeadlinePassed) => Ok(Answer::Refused),
            Err(error) => Err(Fault::failed(error)),
        }
    };
    scope.run(work).await
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count"
)]
fn tally(served: f64, per_second: f64) -> Tally {
    let mut tally = Tally {
        operations: served as u64,
        ..Tally::default()
    };
    tally.figures.insert("goodput_per_s".to_owned(), per_second);
    tally
}
