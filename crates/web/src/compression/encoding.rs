//! Where a body is encoded: on this thread, or on one that may block.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use ruleiq_compression::{Choice, Coding, Encoder, Preferred, Skip, StreamEncoder};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

#[derive(Debug)]
pub(super) struct Encoding {
    encoder: Arc<Encoder>,
    inline_cost: Duration,
    offloads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Encoding {
    pub(super) fn new(
        encoder: Encoder,
        inline_cost: Duration,
        (offload_limit, stream_limit): (usize, usize),
    ) -> Encoding {
        Encoding {
            encoder: Arc::new(encoder),
            inline_cost,
            offloads: Arc::new(Semaphore::new(offload_limit.min(Semaphore::MAX_PERMITS))),
            streams: Arc::new(Semaphore::new(stream_limit.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// How a body of this size is encoded for a client that likes these codings best.
    pub(super) fn choose(
        &self,
        preferred: &Preferred,
        size_bytes: Option<usize>,
    ) -> Option<Choice> {
        self.encoder.choose(preferred.as_slice(), size_bytes)
    }

    /// Whether a body of this size costs so little that it is encoded where it is.
    pub(super) fn is_quick(&self, choice: Choice, size_bytes: usize) -> bool {
        self.encoder.predicted_cost_at(choice, size_bytes) <= self.inline_cost
    }

    pub(super) fn encode_here(&self, choice: Choice, body: &[u8]) -> Result<Bytes, Skip> {
        let encoded = self.encoder.encode_at(choice, body);
        encoded.map_err(|error| failed(choice.coding, &error))
    }

    /// An encoder, and its place among those that there may be at once.
    pub(super) fn stream(
        &self,
        coding: Coding,
    ) -> Result<(StreamEncoder, OwnedSemaphorePermit), Skip> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        let place = place.map_err(|_| Skip::Busy)?;
        let stream = self.encoder.stream(coding);
        Ok((stream.map_err(|error| failed(coding, &error))?, place))
    }

    /// # Cancel safety
    ///
    /// A body that is being encoded off this thread is finished, and counts until then.
    pub(super) async fn encode(&self, choice: Choice, body: &Bytes) -> Result<Bytes, Skip> {
        if self.is_quick(choice, body.len()) {
            return self.encode_here(choice, body);
        }
        let Ok(permit) = Arc::clone(&self.offloads).try_acquire_owned() else {
            return Err(Skip::Busy);
        };
        let (encoder, body) = (Arc::clone(&self.encoder), body.clone());
        let encoding = spawn_blocking(move || {
            let encoded = encoder.encode_at(choice, &body);
            drop(permit);
            encoded
        });
        match encoding.await {
            Ok(encoded) => encoded.map_err(|error| failed(choice.coding, &error)),
            // It panicked, or the runtime is going down.
            Err(error) => Err(failed(choice.coding, &error)),
        }
    }
}

fn failed(coding: Coding, error: &(dyn Error + 'static)) -> Skip {
    tracing::error!(error, %coding, "a response was not compressed");
    Skip::Failed
}
