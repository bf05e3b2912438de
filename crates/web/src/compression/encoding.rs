//! Where a body is encoded: on this thread, or on one that may block.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use ruleiq_compression::{Coding, Encoder, Skip};
use tokio::{sync::Semaphore, task::spawn_blocking};

#[derive(Debug)]
pub(super) struct Encoding {
    encoder: Arc<Encoder>,
    inline_cost: Duration,
    offloads: Arc<Semaphore>,
}

impl Encoding {
    pub(super) fn new(encoder: Encoder, inline_cost: Duration, offload_limit: usize) -> Encoding {
        Encoding {
            encoder: Arc::new(encoder),
            inline_cost,
            offloads: Arc::new(Semaphore::new(offload_limit.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// # Cancel safety
    ///
    /// A body that is being encoded off this thread is finished, and counts until then.
    pub(super) async fn encode(&self, coding: Coding, body: &Bytes) -> Result<Bytes, Skip> {
        if self.encoder.predicted_cost(coding, body.len()) <= self.inline_cost {
            return self
                .encoder
                .encode(coding, body)
                .map_err(|error| failed(coding, &error));
        }
        let Ok(permit) = Arc::clone(&self.offloads).try_acquire_owned() else {
            return Err(Skip::Busy);
        };
        let (encoder, body) = (Arc::clone(&self.encoder), body.clone());
        let encoding = spawn_blocking(move || {
            let encoded = encoder.encode(coding, &body);
            drop(permit);
            encoded
        });
        match encoding.await {
            Ok(encoded) => encoded.map_err(|error| failed(coding, &error)),
            // It panicked, or the runtime is going down.
            Err(error) => Err(failed(coding, &error)),
        }
    }
}

fn failed(coding: Coding, error: &(dyn Error + 'static)) -> Skip {
    tracing::error!(error, %coding, "a response was not compressed");
    Skip::Failed
}
