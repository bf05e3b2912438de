//! A closed loop: each connection sends its next request when the last one is answered.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Client, Limits, Target,
    client::{Effort, Watch, still_open},
    connection::Connection,
    recorder::Recorder,
    worker::Orders,
};
use crate::{Arm, Budget, Doing, Fault, Tally};

/// A closed loop as one side of a case.
#[derive(Debug)]
pub struct ClosedLoop(Client);

impl ClosedLoop {
    /// Opens the connections, as [`Client::connect`] does.
    ///
    /// # Errors
    ///
    /// When one cannot be opened, or an answer is not the expected one.
    pub async fn connect(target: Target, connections: usize) -> Result<ClosedLoop, Fault> {
        let client = Client::connect(target, connections, Limits::default()).await?;
        Ok(ClosedLoop(client))
    }
}

impl Arm for ClosedLoop {
    fn check(&mut self) -> Doing<'_, ()> {
        Box::pin(self.0.check())
    }

    fn run(&mut self, budget: Budget) -> Doing<'_, Tally> {
        Box::pin(self.0.closed_loop(budget))
    }
}

#[derive(Debug)]
struct Shared {
    orders: Arc<Orders>,
    budget: Budget,
    started: Instant,
    /// All tasks are on one thread: nobody ever waits for it.
    recorder: Mutex<Recorder>,
}

impl Shared {
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next request, if the budget has one left.
    fn begin(&self, now: Instant) -> bool {
        let mut recorder = self.recorder();
        let (limit, most) = self.budget.limits();
        let is_left = recorder.begun() < most && now.duration_since(self.started) < limit;
        if is_left {
            recorder.begin();
        }
        is_left
    }
}

/// Runs the loop; answers the connections that are still open, and what was counted.
pub(super) async fn run(
    orders: Arc<Orders>,
    connections: Vec<Connection>,
    budget: Budget,
) -> Result<(Vec<Connection>, Tally), Fault> {
    let n = connections.len();
    let watch = Watch::start()?;
    let shared = Arc::new(Shared {
        orders,
        budget,
        started: watch.started(),
        recorder: Mutex::default(),
    });
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(Arc::clone(&shared), connection));
    }
    let connections = workers.join_all().await.into_iter().flatten().collect();
    let effort = watch.stop()?;
    let recorder = std::mem::take(&mut *shared.recorder());
    Ok((still_open(connections).await, tally(recorder, effort, n)))
}

/// What one connection does; answers it, unless it broke and could not be replaced.
async fn work(shared: Arc<Shared>, mut connection: Connection) -> Option<Connection> {
    let mut now = Instant::now();
    while shared.begin(now) {
        let outcome = shared.orders.send(&mut connection).await;
        let done = Instant::now();
        let is_right = shared.recorder().end(&outcome, done - now);
        now = done;
        if !is_right && !connection.is_open().await {
            connection = match shared.orders.reconnect().await {
                Ok(it) => it,
                Err(fault) => {
                    shared.recorder().tally.fail(&fault);
                    return None;
                }
            };
            shared.recorder().reconnects += 1;
            now = Instant::now();
        }
    }
    Some(connection)
}

fn tally(recorder: Recorder, effort: Effort, connections: usize) -> Tally {
    let Recorder {
        mut tally,
        service,
        reconnects,
        ..
    } = recorder;
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of requests and connections"
    )]
    let (operations, reconnects, n) = (
        tally.operations as f64,
        reconnects as f64,
        connections as f64,
    );
    if let Some(mean) = service.mean() {
        let under_way = operations * mean.as_secs_f64() / seconds(effort.wall);
        let difference = (under_way / n - 1.0).abs();
        tally.figures.insert("littles_law_max".into(), difference);
    }
    let figures = [
        ("reconnects", reconnects),
        ("client_busy_max", effort.busy()),
    ];
    let figures = figures.map(|(name, figure)| (name.to_owned(), figure));
    tally.figures.extend(figures);
    tally.latency = Some(service);
    tally
}

fn seconds(wall: Duration) -> f64 {
    wall.as_secs_f64().max(1e-9)
}
