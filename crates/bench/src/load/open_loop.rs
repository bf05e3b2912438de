//! An open loop: requests are sent at the moments of a schedule, whatever the server does.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinSet, time::timeout_at};

use super::{
    Pacer,
    alarm::Alarm,
    client::{Effort, Watch, still_open},
    connection::Connection,
    recorder::Recorder,
    worker::Orders,
};
use crate::{Fault, Histogram, report::Counts};

/// The pacer sleeps no shorter than this: what comes in between is sent together, so that a high
/// rate does not cost a wake-up per request.
const GRAIN: Duration = Duration::from_micros(50);

/// What an open loop saw.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    /// From the scheduled moment to the right answer. What was under way or never begun at the end,
    /// and what failed, is in it with the time from its moment to the end: it was not answered by
    /// then, and a server that refuses fast must not look fast.
    pub latency: Histogram,
    /// From sending to the right answer.
    pub service: Histogram,
    /// From the scheduled moment to sending: waiting for a free connection and the client's own
    /// lateness.
    pub lag: Histogram,
    /// The client's own lateness alone: from the moment when a request was due and its connection
    /// free to sending.
    pub pacing: Histogram,
    /// What became of the requests. `censored` are those under way at the end, `skipped` those
    /// never begun because no connection was free.
    pub counts: Counts,
    /// Scheduled requests per second.
    pub offered: f64,
    /// Right answers per second, until the last one came; one median service time is not held
    /// against it, since the last request cannot be answered when it is sent.
    pub answered: f64,
    /// Connections that had to be replaced.
    pub reconnects: u64,
    /// CPU time of the client's thread.
    pub client_cpu: Duration,
    /// From the begin to the last answer, or to where waiting for it was given up.
    pub wall: Duration,
    /// The share of its one core that the client used.
    pub client_busy: f64,
}

#[derive(Debug)]
struct Shared {
    orders: Arc<Orders>,
    started: Instant,
    /// Wakes idle connections.
    due: Notify,
    /// All tasks are on one thread: nobody ever waits for it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pacer: Pacer,
    /// The scheduled moment of each connection's request under way.
    under_way: Vec<Option<Duration>>,
    /// The scheduled moments of requests that failed, or had a wrong answer.
    failed: Vec<Duration>,
    has_all_come: bool,
    recorder: Recorder,
    latency: Histogram,
    lag: Histogram,
    pacing: Histogram,
    late: u64,
    last_answer: Duration,
}

/// What a connection has to do.
enum Turn {
    Send(Duration),
    Wait,
    End,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(pacer: Pacer, connections: usize) -> State {
        State {
            pacer,
            under_way: vec![None; connections],
            failed: Vec::new(),
            has_all_come: false,
            recorder: Recorder::default(),
            latency: Histogram::new(),
            lag: Histogram::new(),
            pacing: Histogram::new(),
            late: 0,
            last_answer: Duration::ZERO,
        }
    }

    /// What the connection at `slot`, free since `free`, has to do.
    fn turn(&mut self, slot: usize, now: Duration, free: Duration) -> Turn {
        match self.pacer.take(now) {
            Some(moment) => {
                self.under_way[slot] = Some(moment);
                self.lag.record(now - moment);
                self.pacing.record(now.saturating_sub(moment.max(free)));
                self.recorder.begin();
                Turn::Send(moment)
            }
            None if self.has_all_come => Turn::End,
            None => Turn::Wait,
        }
    }

    fn end(
        &mut self,
        slot: usize,
        outcome: &Result<(), Fault>,
        [moment, sent, done]: [Duration; 3],
        late: Duration,
    ) -> bool {
        self.under_way[slot] = None;
        let is_right = self.recorder.end(outcome, done - sent);
        if is_right {
            self.latency.record(done - moment);
            self.late += u64::from(done - moment > late);
            self.last_answer = self.last_answer.max(done);
        } else {
            self.failed.push(moment);
        }
        is_right
    }
}

/// Runs the loop; answers the connections that are still open, and what was seen.
pub(super) async fn run(
    orders: Arc<Orders>,
    connections: Vec<Connection>,
    pacer: Pacer,
    duration: Duration,
) -> Result<(Vec<Connection>, OpenLoop), Fault> {
    let alarm = Alarm::new().map_err(Fault::failed)?;
    let scheduled = pacer.len();
    let watch = Watch::start()?;
    let shared = Arc::new(Shared {
        started: watch.started(),
        due: Notify::new(),
        state: Mutex::new(State::new(pacer, connections.len())),
        orders,
    });
    let mut workers = JoinSet::new();
    for (slot, connection) in connections.into_iter().enumerate() {
        workers.spawn(work(Arc::clone(&shared), slot, connection));
    }
    pace(&shared, &alarm).await.map_err(Fault::failed)?;
    let limit = watch.started() + duration + shared.orders.limits.drain;
    let mut ended = Vec::new();
    while let Ok(Some(worker)) = timeout_at(limit.into(), workers.join_next()).await {
        ended.extend(worker.ok().flatten());
    }
    drop(workers);
    let effort = watch.stop()?;
    let seen = shared.state().finish(scheduled, duration, effort);
    Ok((still_open(ended).await, seen))
}

/// Wakes connections as the moments come.
async fn pace(shared: &Shared, alarm: &Alarm) -> std::io::Result<()> {
    loop {
        let elapsed = shared.started.elapsed();
        let (come, next, most) = {
            let mut state = shared.state();
            let come = state.pacer.come(elapsed);
            (come, state.pacer.next(), state.under_way.len())
        };
        for _ in 0..come.min(most) {
            shared.due.notify_one();
        }
        let Some(next) = next else { break };
        alarm.after((next - elapsed).max(GRAIN)).await?;
    }
    shared.state().has_all_come = true;
    shared.due.notify_waiters();
    Ok(())
}

/// What one connection does; answers it, unless it broke and could not be replaced.
async fn work(shared: Arc<Shared>, slot: usize, mut connection: Connection) -> Option<Connection> {
    let late = shared.orders.limits.late;
    let mut free = Duration::ZERO;
    loop {
        let sent = shared.started.elapsed();
        let next = shared.state().turn(slot, sent, free);
        let moment = match next {
            Turn::Send(moment) => moment,
            Turn::Wait => {
                shared.due.notified().await;
                continue;
            }
            Turn::End => return Some(connection),
        };
        let outcome = shared.orders.send(&mut connection).await;
        let done = shared.started.elapsed();
        let times = [moment, sent, done];
        let is_right = shared.state().end(slot, &outcome, times, late);
        if !is_right && !connection.is_open().await {
            connection = match shared.orders.reconnect().await {
                Ok(it) => it,
                Err(fault) => {
                    shared.state().recorder.tally.fail(&fault);
                    return None;
                }
            };
            shared.state().recorder.reconnects += 1;
        }
        free = shared.started.elapsed();
    }
}

impl State {
    /// Counts what is unfinished, and sums up.
    fn finish(&mut self, scheduled: usize, duration: Duration, effort: Effort) -> OpenLoop {
        let mut latency = std::mem::take(&mut self.latency);
        let censored: Vec<Duration> = self.under_way.iter().flatten().copied().collect();
        let skipped = self.pacer.left();
        for moment in censored.iter().chain(skipped).chain(&self.failed) {
            latency.record(effort.wall.saturating_sub(*moment));
        }
        let Recorder {
            tally,
            service,
            reconnects,
            ..
        } = std::mem::take(&mut self.recorder);
        let usual = service.quantile(0.5).unwrap_or_default();
        let until = self.last_answer.saturating_sub(usual).max(duration);
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let (offered, answered) = (scheduled as f64, tally.operations as f64);
        OpenLoop {
            counts: Counts {
                ops: scheduled as u64,
                ok: tally.operations,
                errors: tally.errors,
                wrong: tally.wrong,
                late: self.late,
                skipped: skipped.len() as u64,
                censored: censored.len() as u64,
                out_of_range: latency.out_of_range(),
            },
            latency,
            service,
            lag: std::mem::take(&mut self.lag),
            pacing: std::mem::take(&mut self.pacing),
            offered: offered / duration.as_secs_f64(),
            answered: answered / until.as_secs_f64(),
            reconnects,
            client_cpu: effort.cpu,
            wall: effort.wall,
            client_busy: effort.busy(),
        }
    }
}
