//! One connection that many callers share: what they ask goes out without waiting for what others asked.

use std::{
    future::poll_fn,
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use ruleiq_query::Statement;
use tokio::{task::JoinHandle, time::Instant};
use tokio_postgres::{Client, Row, types::ToSql};

use super::{
    super::{cluster::Origin, connect::Opened, recent::Recent, run::Driver, wire::Wire},
    pace::Pace,
    queue::{Queue, Served, Ticket},
};

/// A connection whose answers come in the order of the requests. Dropped, it ends when all that was sent
/// is answered.
#[derive(Debug)]
pub(super) struct Pipeline {
    client: Client,
    task: JoinHandle<()>,
    wire: Arc<Wire>,
    /// What had been sent before it was shared.
    begun_before: u64,
    statements: Mutex<Recent<Known>>,
    queue: Mutex<Queue>,
    in_flight: AtomicUsize,
    progress: Mutex<Progress>,
    expires: Instant,
    origin: Option<Origin>,
}

/// A statement that is prepared there.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) statement: Statement,
    pub(super) pace: Arc<Pace>,
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Done<T> {
    pub(super) result: Driver<T>,
    /// Where it was seen that the answer was the next one.
    pub(super) served: Option<Served>,
    /// Whether the server cannot have heard of it.
    pub(super) is_unsent: bool,
}

/// Since when nothing has changed.
#[derive(Debug)]
struct Progress {
    answers: u64,
    is_busy: bool,
    since: Instant,
}

impl Pipeline {
    pub(super) fn new(opened: Opened, statements: NonZeroUsize, lives: Duration) -> Pipeline {
        let now = Instant::now();
        Pipeline {
            client: opened.client,
            task: opened.task.let_go(),
            statements: Mutex::new(Recent::new(statements)),
            queue: Mutex::new(Queue::new(now)),
            in_flight: AtomicUsize::new(0),
            progress: Mutex::new(Progress {
                answers: opened.wire.answers(),
                is_busy: false,
                since: now,
            }),
            begun_before: opened.wire.begun(),
            wire: opened.wire,
            expires: now + lives,
            origin: opened.origin,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        now >= self.expires
    }

    /// Requests without an answer, those included whose callers have gone.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn known(&self, sql: &str) -> Option<Known> {
        self.statements().get(sql)
    }

    pub(super) fn forget(&self, sql: &str) {
        self.statements().forget(sql);
    }

    /// Prepares a statement, for all who run it later.
    pub(super) async fn prepare(&self, sql: &str, pace: Arc<Pace>) -> Done<Known> {
        let done = self.send(self.client.prepare(sql)).await;
        let result = done.result.map(|prepared| {
            let statement = Statement::new(sql, prepared);
            let known = Known { statement, pace };
            self.statements().insert(sql, known.clone());
            known
        });
        Done {
            result,
            served: done.served,
            is_unsent: done.is_unsent,
        }
    }

    pub(super) async fn query(
        &self,
        statement: &tokio_postgres::Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Done<Vec<Row>> {
        self.send(self.client.query(statement, params)).await
    }

    /// Sends one request. Dropped, it is answered all the same, and nobody waits for it.
    async fn send<T>(&self, request: impl Future<Output = Driver<T>>) -> Done<T> {
        let mut request = pin!(request);
        // The driver sends when it is polled first; until then nobody else may, or the order of the
        // answers would be another one than the queue's.
        let sent = poll_fn(|cx| {
            let mut queue = self.queue();
            if let Poll::Ready(result) = request.as_mut().poll(cx) {
                return Poll::Ready(Err(result));
            }
            let ticket = queue.sent(Instant::now());
            self.in_flight.store(queue.len(), Relaxed);
            Poll::Ready(Ok(ticket))
        });
        let ticket = match sent.await {
            Ok(ticket) => ticket,
            // The connection is closed, or a parameter does not fit.
            Err(result) => {
                return Done {
                    is_unsent: is_lost(&result),
                    result,
                    served: None,
                };
            }
        };
        let result = request.await;
        let served = self.answered(ticket);
        Done {
            is_unsent: is_lost(&result) && self.begun() < ticket.number(),
            result,
            served,
        }
    }

    fn answered(&self, ticket: Ticket) -> Option<Served> {
        let mut queue = self.queue();
        let served = queue.answered(ticket, Instant::now());
        self.in_flight.store(queue.len(), Relaxed);
        served
    }

    /// Ends the connection where the server has answered nothing for so long, though it was asked. Says
    /// whether it did.
    pub(super) fn end_if_stalled(&self, now: Instant, limit: Duration) -> bool {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let (answers, is_busy) = (self.wire.answers(), self.wire.is_busy());
        if (answers, is_busy) != (progress.answers, progress.is_busy) {
            *progress = Progress {
                answers,
                is_busy,
                since: now,
            };
            return false;
        }
        if now < progress.since + limit {
            return false;
        }
        if is_busy {
            self.task.abort();
        } else {
            // What was to be sent has been, and answered: who has not noted it has gone.
            let mut queue = self.queue();
            queue.clear();
            self.in_flight.store(0, Relaxed);
        }
        is_busy
    }

    /// How many requests the server may have heard of, those included by which the driver asks for types.
    fn begun(&self) -> u64 {
        self.wire.begun() - self.begun_before
    }

    fn statements(&self) -> MutexGuard<'_, Recent<Known>> {
        // Nothing panics while it is held but an allocation, and the map stays whole.
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Of the driver's first poll, which may panic, nothing has been noted yet.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pipeline {
    /// Where answers are still to come nobody waits for them, and they may never come.
    fn drop(&mut self) {
        if self.wire.is_busy() {
            self.task.abort();
        }
    }
}

fn is_lost<T>(result: &Driver<T>) -> bool {
    result.as_ref().is_err_and(tokio_postgres::Error::is_closed)
}
