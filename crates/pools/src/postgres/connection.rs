//! One connection, what the pool must know about it, and how it ends.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_postgres::Client;

use super::{
    cluster::Origin,
    connect::{Canceller, Opened},
    counters::Discard,
    engine::Engine,
    holders::Holder,
    statements::Statements,
    wire::{Status, Wire},
};

/// How long the server may take to end a connection, for each attempt.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a busy one is asked to stop. The first request may overtake its statement.
const CLOSE_ATTEMPTS: usize = 2;
/// How long what is on its way may take when nobody waits for it: a rollback, the end of an answer.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Connection {
    /// Until it is closed. First, so that it is dropped before the statements: they would each
    /// send a message that nobody needs.
    client: Option<Client>,
    task: JoinHandle<()>,
    link: Arc<Link>,
    expires: Instant,
    /// When it was opened or came back.
    idle_since: Instant,
}

/// What the statements of a connection share besides the client.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) engine: Arc<Engine>,
    wire: Arc<Wire>,
    canceller: Canceller,
    origin: Option<Origin>,
    /// How far its server is known to have replayed.
    reached: AtomicU64,
    statements: Mutex<Statements>,
    holder: Mutex<Option<Holder>>,
    /// Statements that were begun and not yet seen to end. One whose future was dropped stays.
    pending: AtomicUsize,
    /// Whether a statement ran out of time, so that the connection will be closed.
    timed_out: AtomicBool,
    /// Whether nobody knows any more which answer belongs to which statement.
    is_unusable: AtomicBool,
    /// Whether a transaction was dropped, so that its rollback is on the way.
    is_rolling_back: AtomicBool,
    /// Whether something may have been sent that the wire has not seen yet.
    is_driven: AtomicBool,
    /// Held while a transaction of our own is open, behind a pooler.
    detour: tokio::sync::Mutex<()>,
}

/// What becomes of a connection that comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    Clean,
    /// It works, and is old enough to be replaced.
    Expired,
    /// It is clean as soon as the server has said what it is about to say.
    Unsettled,
    Doomed(Discard),
}

impl Connection {
    pub(crate) fn new(opened: Opened, engine: Arc<Engine>, lives: Duration) -> Connection {
        let Opened {
            client,
            task,
            wire,
            canceller,
            origin,
        } = opened;
        let now = Instant::now();
        let link = Arc::new(Link {
            statements: Mutex::new(Statements::new(engine.prepared_statements)),
            engine,
            wire,
            canceller,
            origin,
            reached: AtomicU64::new(0),
            holder: Mutex::default(),
            pending: AtomicUsize::new(0),
            timed_out: AtomicBool::new(false),
            is_unusable: AtomicBool::new(false),
            is_rolling_back: AtomicBool::new(false),
            is_driven: AtomicBool::new(false),
            detour: tokio::sync::Mutex::default(),
        });
        link.engine.links.add(&link);
        Connection {
            client: Some(client),
            task: task.let_go(),
            link,
            expires: now + lives,
            idle_since: now,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        self.client
            .as_ref()
            .expect("whoever closes a connection owns it and uses it no more")
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn condition(&self, now: Instant) -> Condition {
        let link = &self.link;
        if self.client().is_closed() || link.is_superseded() {
            Condition::Doomed(Discard::Lost)
        } else if link.pending.load(Relaxed) > 0 || link.has_timed_out() || link.is_unusable() {
            Condition::Doomed(Discard::Busy)
        } else if link.is_unsettled() {
            Condition::Unsettled
        } else if link.wire.status() != Status::Idle {
            Condition::Doomed(Discard::Transaction)
        } else if now >= self.expires {
            Condition::Expired
        } else {
            Condition::Clean
        }
    }

    /// Notes that nobody uses it from now on.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.idle_since = now;
    }

    pub(crate) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }

    /// Whether it is to be replaced.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        now >= self.expires
    }

    /// Whether the server still answers, which costs a round trip.
    pub(crate) async fn is_alive(&self, until: Instant) -> bool {
        let answer = time::timeout_at(until, self.client().check_connection()).await;
        matches!(answer, Ok(Ok(())))
    }

    /// Waits for what the server is about to say. Says whether the connection is clean then.
    pub(crate) async fn settle(&mut self) -> bool {
        let link = &self.link;
        let settling = async {
            let is_idle = link.wire.status() == Status::Idle;
            if link.is_driven.load(Relaxed) || link.is_rolling_back.load(Relaxed) && is_idle {
                // What may still be on its way to the wire is answered before this.
                self.client().check_connection().await.is_ok() && link.wire.is_at_rest()
            } else if link.is_rolling_back.load(Relaxed) {
                link.wire.rest().await;
                true
            } else {
                link.wire.answered().await;
                link.wire.is_at_rest()
            }
        };
        let is_clean = matches!(time::timeout(SETTLE_TIMEOUT, settling).await, Ok(true));
        link.is_driven.store(false, Relaxed);
        link.is_rolling_back.store(false, Relaxed);
        is_clean && !self.client().is_closed()
    }

    /// Closes the connection and waits, for a limited time, until its socket is closed. One that
    /// is busy is asked to stop first: the server would run the statement to its end.
    pub(crate) async fn close(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        let is_busy = self.link.pending.load(Relaxed) > 0 || self.link.wire.is_busy();
        drop(client);
        let attempts = if is_busy { CLOSE_ATTEMPTS } else { 1 };
        for _ in 0..attempts {
            if is_busy {
                self.link
                    .engine
                    .connector
                    .cancel(&self.link.canceller)
                    .await;
            }
            if time::timeout(CLOSE_TIMEOUT, &mut self.task).await.is_ok() {
                return;
            }
        }
        self.task.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Dropped while it was being closed: nobody waits for the end any more.
        if self.client.is_none() {
            self.task.abort();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let statements = self.statements().stats();
        self.engine.links.ended(&self.wire, statements);
    }
}

impl Link {
    /// The statements that are kept prepared. Never held across a wait.
    pub(crate) fn statements(&self) -> MutexGuard<'_, Statements> {
        // Nothing panics while it is held but an allocation, and the cache stays whole.
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has the connection. Never held across a wait.
    pub(crate) fn holder(&self) -> MutexGuard<'_, Option<Holder>> {
        // Nothing panics while it is held.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn detour(&self) -> &tokio::sync::Mutex<()> {
        &self.detour
    }

    /// Where it leads, among several servers.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Whether another server has taken the place of the one that it leads to.
    pub(crate) fn is_superseded(&self) -> bool {
        let origin = self.origin.as_ref();
        origin.is_some_and(|origin| !self.engine.connector.is_current(origin))
    }

    /// How far its server is known to have replayed, at least.
    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Relaxed)
    }

    pub(crate) fn note_reached(&self, lsn: u64) {
        self.reached.fetch_max(lsn, Relaxed);
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(crate) fn statement_began(&self) {
        self.pending.fetch_add(1, Relaxed);
    }

    pub(crate) fn statement_ended(&self) {
        self.pending.fetch_sub(1, Relaxed);
    }

    pub(crate) fn has_timed_out(&self) -> bool {
        self.timed_out.load(Relaxed)
    }

    /// Dooms the connection and asks the server to stop, in the background: the caller's time is
    /// up.
    pub(crate) fn time_out(&self) {
        if self.timed_out.swap(true, Relaxed) {
            return;
        }
        let (engine, canceller) = (Arc::clone(&self.engine), self.canceller.clone());
        engine.counters.statements_timed_out.inc();
        let runtime = engine.connector.runtime().clone();
        runtime.spawn(async move { engine.connector.cancel(&canceller).await });
    }

    pub(crate) fn is_unusable(&self) -> bool {
        self.is_unusable.load(Relaxed)
    }

    /// Notes that nothing more may be sent.
    pub(crate) fn note_unusable(&self) {
        self.is_unusable.store(true, Relaxed);
    }

    pub(crate) fn is_rolling_back(&self) -> bool {
        self.is_rolling_back.load(Relaxed)
    }

    /// Notes that a rollback was sent whose answer nobody waits for, or that it was answered.
    pub(crate) fn note_rolling_back(&self, is_under_way: bool) {
        self.is_rolling_back.store(is_under_way, Relaxed);
    }

    /// Notes that things may be sent which this does not count.
    pub(crate) fn note_driven(&self) {
        self.is_driven.store(true, Relaxed);
    }

    /// Whether a COMMIT would be answered by a rollback, or may be: a statement whose future was
    /// dropped may still fail, and one that has failed says so before the transaction does.
    pub(crate) fn may_have_failed(&self) -> bool {
        self.has_failed() || self.wire.is_busy() || self.pending.load(Relaxed) > 0
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.wire.status() != Status::Idle
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.wire.status() == Status::Failed
    }

    fn is_unsettled(&self) -> bool {
        self.is_rolling_back.load(Relaxed) || self.is_driven.load(Relaxed) || self.wire.is_busy()
    }
}
