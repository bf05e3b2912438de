//! What the connection to the server says, read as it goes by.
//!
//! The driver tells neither whether the server still works for a connection nor whether a transaction
//! is open there. Both stand in the protocol: each request that asks for it is answered by one
//! `ReadyForQuery`, which carries the status of the transaction (PostgreSQL's manual, 53.2 "Message Flow"
//! and 53.7 "Message Formats"). A [`Tap`] stands between the driver and the socket, inside of TLS, and
//! counts the frames of both directions without copying a byte.

mod frames;
mod tap;

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

pub(crate) use self::tap::{Tap, TapTls};

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Wire {
    opened: Instant,
    /// Requests that were sent and are not answered to their end.
    in_flight: AtomicU32,
    status: AtomicU8,
    /// Statements that were begun to be sent: to be run, or to be prepared.
    begun: AtomicU64,
    /// Answers that came to their end.
    answers: AtomicU64,
    /// Since when a transaction is open, in microseconds since `opened`.
    transaction_since_us: AtomicU64,
    /// Whether what went by was not the protocol, so that nothing is known any more.
    garbled: AtomicBool,
    /// Somebody waits for all answers.
    settled: Notify,
}

/// Of a transaction, as `ReadyForQuery` tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// None is open.
    Idle,
    Open,
    /// A statement of it has failed.
    Failed,
}

impl Wire {
    pub(crate) fn new() -> Wire {
        Wire {
            opened: Instant::now(),
            in_flight: AtomicU32::new(0),
            status: AtomicU8::new(b'I'),
            begun: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            transaction_since_us: AtomicU64::new(0),
            garbled: AtomicBool::new(false),
            settled: Notify::new(),
        }
    }

    /// Whether the server has not answered everything that was sent.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0 || self.garbled.load(Relaxed)
    }

    /// The state of the transaction after the last answer.
    pub(crate) fn status(&self) -> Status {
        match self.status.load(Relaxed) {
            b'I' => Status::Idle,
            b'T' => Status::Open,
            _ => Status::Failed,
        }
    }

    /// Whether nothing is under way and no transaction is open.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.is_busy() && self.status() == Status::Idle
    }

    /// How many statements the server may know of, those that were prepared and those that were run.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// How many answers have come to their end.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// How long the transaction that is open has been.
    pub(crate) fn transaction_age(&self) -> Option<Duration> {
        let since = self.transaction_since()?;
        Some(self.opened.elapsed().saturating_sub(since))
    }

    /// How old the connection was when the transaction began that is open: no other has the same.
    pub(crate) fn transaction_since(&self) -> Option<Duration> {
        match self.status() {
            Status::Idle => None,
            _ => Some(Duration::from_micros(
                self.transaction_since_us.load(Relaxed),
            )),
        }
    }

    /// Waits until nothing is under way and no transaction is open. Bounding the wait is the
    /// caller's.
    pub(crate) async fn rest(&self) {
        self.wait_until(Wire::is_at_rest).await;
    }

    /// Waits until nothing is under way. Bounding the wait is the caller's.
    pub(crate) async fn answered(&self) {
        self.wait_until(|wire| !wire.is_busy()).await;
    }

    async fn wait_until(&self, condition: fn(&Wire) -> bool) {
        loop {
            // What ends between the look and the wait counts.
            let settled = self.settled.notified();
            if condition(self) {
                return;
            }
            settled.await;
        }
    }

    fn begin(&self, statements: u64) {
        if statements > 0 {
            self.begun.fetch_add(statements, Relaxed);
        }
    }

    fn sent(&self, in_flight: usize) {
        self.in_flight
            .store(u32::try_from(in_flight).unwrap_or(u32::MAX), Relaxed);
    }

    fn ready(&self, status: u8, in_flight: usize) {
        let before = self.status.swap(status, Relaxed);
        if before == b'I' && status != b'I' {
            let since = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.transaction_since_us.store(since, Relaxed);
        }
        self.answers.fetch_add(1, Relaxed);
        self.sent(in_flight);
        if in_flight == 0 {
            self.settled.notify_waiters();
        }
    }

    fn garble(&self) {
        self.garbled.store(true, Relaxed);
    }
}
