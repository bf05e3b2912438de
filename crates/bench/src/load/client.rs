//! The client: a thread and its connections.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Arrivals, Limits, OpenLoop, Target, closed_loop,
    connection::Connection,
    open_loop,
    thread::{self, Thread},
    worker::{self, Orders},
};
use crate::{Budget, Fault, Tally};

/// A load client with its connections open.
#[derive(Debug)]
pub struct Client {
    thread: Thread,
    orders: Arc<Orders>,
    wanted: usize,
    connections: Vec<Connection>,
}

/// What a run took of the client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort {
    /// CPU time of its thread.
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
}

impl Client {
    /// Opens `connections` keep-alive connections without delay (`TCP_NODELAY`), and sends a
    /// request over each, whose answer is compared in full.
    ///
    /// # Errors
    ///
    /// When one cannot be opened, or an answer is not the expected one.
    pub async fn connect(
        target: Target,
        connections: usize,
        limits: Limits,
    ) -> Result<Client, Fault> {
        let wanted = connections.max(1);
        let thread = Thread::start()?;
        let orders = Arc::new(Orders::new(target, limits)?);
        let connections = thread
            .run(worker::open(Arc::clone(&orders), wanted))
            .await??;
        Ok(Client {
            thread,
            orders,
            wanted,
            connections,
        })
    }

    /// Sends one request and compares its answer in full.
    ///
    /// # Errors
    ///
    /// When there is no answer, or not the expected one.
    pub async fn check(&mut self) -> Result<(), Fault> {
        self.complete().await?;
        let orders = Arc::clone(&self.orders);
        let Some(mut connection) = self.connections.pop() else {
            return Err(Fault::Failed("the client has no connection".into()));
        };
        let work = async move {
            let outcome = orders.try_out(&mut connection, 0).await;
            (connection, outcome)
        };
        let (connection, outcome) = self.thread.run(work).await?;
        self.connections.push(connection);
        outcome
    }

    /// Sends the next request of each connection when its last one is answered.
    ///
    /// The tally's latency is from sending to the answer. Its figures: `reconnects` in the run,
    /// `reopened` before it (a server may close what is idle), `client_busy_max` (CPU time of the
    /// client's thread over wall time), and `littles_law_max`, by how much of itself the number of
    /// connections differs from rate times mean latency.
    ///
    /// # Errors
    ///
    /// When a connection that was closed while idle cannot be opened again.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the requests under way are given up; the next run opens their connections
    /// anew.
    pub async fn closed_loop(&mut self, budget: Budget) -> Result<Tally, Fault> {
        let reopened = self.complete().await?;
        let connections = std::mem::take(&mut self.connections);
        let work = closed_loop::run(Arc::clone(&self.orders), connections, budget);
        let (connections, mut tally) = self.thread.run(work).await??;
        self.take_back(connections, &mut tally);
        tally.figures.insert("reopened".into(), reopened);
        Ok(tally)
    }

    /// Sends requests at the moments of a schedule, on whichever connection is free.
    ///
    /// # Errors
    ///
    /// When the schedule is impossible, or a connection that was closed while idle cannot be
    /// opened again.
    ///
    /// # Cancel safety
    ///
    /// As [`Client::closed_loop`].
    pub async fn open_loop(&mut self, arrivals: &Arrivals) -> Result<OpenLoop, Fault> {
        let pacer = arrivals.schedule()?;
        self.complete().await?;
        let connections = std::mem::take(&mut self.connections);
        let duration = arrivals.duration;
        let work = open_loop::run(Arc::clone(&self.orders), connections, pacer, duration);
        let (connections, outcome) = self.thread.run(work).await??;
        self.connections = connections;
        Ok(outcome)
    }

    /// Opens again what was closed while idle; answers how many.
    async fn complete(&mut self) -> Result<f64, Fault> {
        let (orders, wanted) = (Arc::clone(&self.orders), self.wanted);
        let connections = std::mem::take(&mut self.connections);
        let work = async move {
            let mut open = still_open(connections).await;
            let missing = wanted - open.len();
            open.extend(worker::open(orders, missing).await?);
            Ok((open, missing))
        };
        let (connections, missing) = self.thread.run(work).await??;
        self.connections = connections;
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        Ok(missing as f64)
    }

    fn take_back(&mut self, connections: Vec<Connection>, tally: &mut Tally) {
        let (open, wanted) = (connections.len(), self.wanted);
        self.connections = connections;
        if open != wanted {
            tally.fail(&Fault::Failed(format!(
                "{open} of {wanted} connections were open at the end"
            )));
        }
    }
}

/// Those that are still open.
pub(super) async fn still_open(connections: Vec<Connection>) -> Vec<Connection> {
    let mut open = Vec::with_capacity(connections.len());
    for mut connection in connections {
        if connection.is_open().await {
            open.push(connection);
        }
    }
    open
}

/// Measures what a run takes of the thread on which this is called.
#[derive(Debug)]
pub(super) struct Watch {
    started: Instant,
    cpu: Duration,
}

impl Watch {
    pub(super) fn start() -> Result<Watch, Fault> {
        Ok(Watch {
            started: Instant::now(),
            cpu: thread::cpu()?,
        })
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn stop(&self) -> Result<Effort, Fault> {
        Ok(Effort {
            wall: self.started.elapsed(),
            cpu: thread::cpu()?.saturating_sub(self.cpu),
        })
    }
}

impl Effort {
    /// The share of its one core that the client used.
    pub(super) fn busy(self) -> f64 {
        let wall = self.wall.as_secs_f64();
        if wall > 0.0 {
            self.cpu.as_secs_f64() / wall
        } else {
            0.0
        }
    }
}
