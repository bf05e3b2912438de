//! Where a body is encoded: on this thread, or on one that may block.

use std::{
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use ruleiq_compression::{Choice, Coding, Encoder, Kind, Skip, StreamEncoder};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// How long a body waits in fact until a thread begins with it, whatever was predicted, unless more is allowed: others may
/// have all threads.
const BEGIN_LIMIT: Duration = Duration::from_millis(500);
/// Nobody waits longer than this, whatever is allowed.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Limits of what is encoded at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The predicted CPU time up to which a body is encoded where it is.
    pub(super) inline_cost: Duration,
    /// Bodies that other threads encode at once.
    pub(super) offloads: usize,
    /// How long a body may have to wait for that, as predicted.
    pub(super) offload_wait: Duration,
    /// Streams at once.
    pub(super) streams: usize,
}

#[derive(Debug)]
pub(super) struct Encoding {
    encoder: Arc<Encoder>,
    limits: Limits,
    offloads: Arc<Semaphore>,
    /// What all bodies that were handed over are predicted to take, in microseconds.
    ahead_us: Arc<AtomicU64>,
    streams: Arc<Semaphore>,
}

/// A body that was handed over and is not encoded yet.
struct Ahead {
    of_all: Arc<AtomicU64>,
    cost_us: u64,
}

/// The place of a body among those that are encoded at once: its thread's as soon as that begins, and nobody's when who
/// waits for that leaves before.
struct Ticket(Arc<Mutex<Option<(OwnedSemaphorePermit, Ahead)>>>);

impl Encoding {
    pub(super) fn new(encoder: Encoder, limits: Limits) -> Encoding {
        let permits = |limit: usize| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Encoding {
            encoder: Arc::new(encoder),
            limits,
            offloads: permits(limits.offloads),
            ahead_us: Arc::default(),
            streams: permits(limits.streams),
        }
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Whether a body of this size costs so little that it is encoded where it is.
    pub(super) fn is_quick(&self, choice: Choice, kind: Kind, size_bytes: usize) -> bool {
        self.encoder.predicted_cost_at(choice, kind, size_bytes) <= self.limits.inline_cost
    }

    pub(super) fn encode_here(
        &self,
        choice: Choice,
        kind: Kind,
        body: &[u8],
    ) -> Result<Bytes, Skip> {
        let encoded = self.encoder.encode_at(choice, kind, body);
        encoded.map_err(|error| failed(choice.coding, &error))
    }

    /// An encoder, and its place among those that there may be at once.
    pub(super) fn stream(
        &self,
        choice: Choice,
    ) -> Result<(StreamEncoder, OwnedSemaphorePermit), Skip> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        let place = place.map_err(|_| Skip::Busy)?;
        let stream = self.encoder.stream_at(choice);
        Ok((
            stream.map_err(|error| failed(choice.coding, &error))?,
            place,
        ))
    }

    /// # Cancel safety
    ///
    /// A body that a thread has begun with is finished, and counts until then; of one that waits nothing is left.
    pub(super) async fn encode(
        &self,
        choice: Choice,
        kind: Kind,
        body: &Bytes,
    ) -> Result<Bytes, Skip> {
        if self.is_quick(choice, kind, body.len()) {
            return self.encode_here(choice, kind, body);
        }
        let ahead = self.hand_over(choice, kind, body.len()).ok_or(Skip::Busy)?;
        let begins = Instant::now() + self.begin_limit();
        let permit = timeout_at(begins, Arc::clone(&self.offloads).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Skip::Busy);
        };
        let ticket = Ticket(Arc::new(Mutex::new(Some((permit, ahead)))));
        let (encoder, body) = (Arc::clone(&self.encoder), body.clone());
        let (begin, begun) = oneshot::channel();
        let taken = Ticket(Arc::clone(&ticket.0));
        let encoding = spawn_blocking(move || {
            let _held = taken.take()?;
            // Who waits for it may have left in this moment.
            begin.send(()).ok();
            Some(encoder.encode_at(choice, kind, &body))
        });
        if timeout_at(begins, begun).await.is_err() && ticket.take().is_some() {
            return Err(Skip::Busy);
        }
        match encoding.await {
            Ok(Some(encoded)) => encoded.map_err(|error| failed(choice.coding, &error)),
            Ok(None) => Err(Skip::Busy),
            // It panicked, or the runtime is going down.
            Err(error) => Err(failed(choice.coding, &error)),
        }
    }

    /// How long it takes at most until a thread begins with a body.
    pub(super) fn begin_limit(&self) -> Duration {
        self.limits.offload_wait.clamp(BEGIN_LIMIT, LONGEST_WAIT)
    }

    /// A place among the bodies that other threads encode, unless so much is before it that it would wait too long.
    fn hand_over(&self, choice: Choice, kind: Kind, size_bytes: usize) -> Option<Ahead> {
        let micros = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        let cost = self.encoder.predicted_cost_at(choice, kind, size_bytes);
        // Sums do not overflow.
        let cost_us = micros(cost).min(u64::MAX / 1_000_000);
        let threads = self.limits.offloads as u64;
        let most = micros(self.limits.offload_wait).saturating_mul(threads);
        let before = self.ahead_us.fetch_add(cost_us, Relaxed);
        let ahead = Ahead {
            of_all: Arc::clone(&self.ahead_us),
            cost_us,
        };
        (threads > 0 && before <= most).then_some(ahead)
    }
}

impl Ticket {
    fn take(&self) -> Option<(OwnedSemaphorePermit, Ahead)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.cost_us, Relaxed);
    }
}

fn failed(coding: Coding, error: &(dyn Error + 'static)) -> Skip {
    tracing::error!(error, %coding, "a response was not compressed");
    Skip::Failed
}
