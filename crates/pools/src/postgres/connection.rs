//! One connection, what the pool must know about it, and how it ends.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_postgres::{CancelToken, Client, SimpleQueryMessage};

use super::{
    counters::Discard,
    engine::Engine,
    ledger::{Entry, State},
    statements::Statements,
};

/// How long the server may take to end a connection, for each attempt.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a busy one is asked to stop. The first request may overtake its statement.
const CLOSE_ATTEMPTS: usize = 2;
/// How long rolling back what somebody left open may take.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// Outside a transaction every statement begins one, so that the two clocks are equal. Asking costs
/// a round trip and, unlike a needless ROLLBACK, leaves no warning in the server's log.
const IS_IN_TRANSACTION: &str = "SELECT now() <> statement_timestamp()";

#[derive(Debug)]
pub(crate) struct Connection {
    /// Until it is closed. First, so that it is dropped before the statements: they would each
    /// send a message that nobody needs.
    client: Option<Client>,
    /// What moves the bytes. It ends by itself, with a word to the server, when the client is
    /// dropped and all that was sent is answered.
    task: JoinHandle<()>,
    link: Link,
    expires: Instant,
    pub(crate) entry: Entry,
}

/// What the statements of a connection share besides the client.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) engine: Arc<Engine>,
    statements: Mutex<Statements>,
    /// Statements that were begun and not yet seen to end. One whose future was dropped stays.
    pending: AtomicUsize,
    /// Whether a statement ran out of time, so that the connection will be closed.
    timed_out: AtomicBool,
    /// Whether a [`Transaction`](crate::Transaction) began and was not seen to end.
    in_transaction: AtomicBool,
    /// Whether the server refused a statement since the last transaction began.
    failed: AtomicBool,
    /// Whether something may have opened a transaction behind our back.
    suspect: AtomicBool,
}

/// What becomes of a connection that comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    Clean,
    /// A transaction may be open.
    Unclear,
    Doomed(Discard),
}

impl Connection {
    pub(crate) fn new(
        (client, task): (Client, JoinHandle<()>),
        engine: Arc<Engine>,
        mut entry: Entry,
    ) -> Connection {
        entry.set(State::CheckedOut);
        Connection {
            expires: Instant::now() + engine.age_limit(),
            link: Link {
                statements: Mutex::new(Statements::new(engine.prepared_statements)),
                engine,
                pending: AtomicUsize::new(0),
                timed_out: AtomicBool::new(false),
                in_transaction: AtomicBool::new(false),
                failed: AtomicBool::new(false),
                suspect: AtomicBool::new(false),
            },
            client: Some(client),
            task,
            entry,
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

    pub(crate) fn condition(&self) -> Condition {
        let link = &self.link;
        if self.client().is_closed() {
            Condition::Doomed(Discard::Lost)
        } else if link.pending.load(Relaxed) > 0 || link.timed_out.load(Relaxed) {
            Condition::Doomed(Discard::Busy)
        } else if Instant::now() >= self.expires {
            Condition::Doomed(Discard::Expired)
        } else if link.may_be_in_transaction() {
            Condition::Unclear
        } else {
            Condition::Clean
        }
    }

    /// Rolls back what may be open. Says whether the connection is clean now.
    pub(crate) async fn clean(&mut self) -> bool {
        let client = self.client();
        let cleaning = async {
            // In a transaction that has failed, asking fails too.
            if !matches!(is_in_transaction(client).await, Ok(false)) {
                client.batch_execute("ROLLBACK").await?;
            }
            Ok::<_, tokio_postgres::Error>(())
        };
        let clean = matches!(time::timeout(ROLLBACK_TIMEOUT, cleaning).await, Ok(Ok(())));
        if clean {
            self.link.in_transaction.store(false, Relaxed);
            self.link.suspect.store(false, Relaxed);
        }
        clean
    }

    /// Closes the connection and waits, for a limited time, until its socket is closed. One that
    /// is busy is asked to stop first: the server would run the statement to its end.
    pub(crate) async fn close(&mut self, busy: bool) {
        let Some(client) = self.client.take() else {
            return;
        };
        let token = client.cancel_token();
        drop(client);
        let attempts = if busy { CLOSE_ATTEMPTS } else { 1 };
        for _ in 0..attempts {
            if busy {
                self.link.engine.connector.cancel(&token).await;
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

impl Link {
    /// The statements that are kept prepared. Never held across a wait.
    pub(crate) fn statements(&self) -> MutexGuard<'_, Statements> {
        // Nothing panics while it is held but an allocation, and the cache stays whole.
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn time_out(&self, token: CancelToken) {
        if self.timed_out.swap(true, Relaxed) {
            return;
        }
        let engine = Arc::clone(&self.engine);
        engine.counters.statements_timed_out.inc();
        let runtime = engine.connector.runtime().clone();
        runtime.spawn(async move { engine.connector.cancel(&token).await });
    }

    pub(crate) fn begin_transaction(&self) {
        self.failed.store(false, Relaxed);
        self.in_transaction.store(true, Relaxed);
    }

    pub(crate) fn end_transaction(&self) {
        self.in_transaction.store(false, Relaxed);
    }

    /// Notes that the server refused a statement.
    pub(crate) fn statement_failed(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Whether the server refused a statement since the last transaction began, or may have: the
    /// answer to one whose future was dropped was not seen.
    pub(crate) fn may_have_failed(&self) -> bool {
        self.failed.load(Relaxed) || self.pending.load(Relaxed) > 0
    }

    /// Notes that a transaction may have been opened by other means than ours.
    pub(crate) fn suspect_transaction(&self) {
        self.suspect.store(true, Relaxed);
    }

    pub(crate) fn may_be_in_transaction(&self) -> bool {
        self.in_transaction.load(Relaxed) || self.suspect.load(Relaxed)
    }
}

async fn is_in_transaction(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let messages = client.simple_query(IS_IN_TRANSACTION).await?;
    Ok(!messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("f"),
        _ => false,
    }))
}
