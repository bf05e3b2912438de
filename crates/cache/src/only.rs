//! One load for all processes.
//!
//! The lease of a load that is to be the only one is short, so that a process that dies is not waited for
//! long, and is renewed while the load runs. It is given back when it ends without a value, or is dropped.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, select, time::sleep};

use crate::manager::Inner;

/// Three times in the life of a lease.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// The right to be the only one that loads a key.
pub(crate) struct Only {
    inner: Weak<Inner>,
    key: Arc<str>,
    lease: Bytes,
    is_over: bool,
}

impl Only {
    pub(crate) fn new(inner: &Arc<Inner>, key: &Arc<str>, lease: &Bytes) -> Only {
        Only {
            inner: Arc::downgrade(inner),
            key: Arc::clone(key),
            lease: lease.clone(),
            is_over: false,
        }
    }

    /// The value is stored, and the lease gone.
    pub(crate) fn end(mut self) {
        self.is_over = true;
    }

    /// Keeps the right as long as something runs.
    pub(crate) async fn renewed_during<F: Future>(&self, running: F) -> F::Output {
        select! {
            ended = running => ended,
            () = self.renewing() => unreachable!("it has no end"),
        }
    }

    async fn renewing(&self) {
        loop {
            sleep(RENEW_EVERY).await;
            if let Some(inner) = self.inner.upgrade()
                && let Some(l2) = &inner.l2
            {
                // Why Redis did not do it is counted; another process may load, then.
                drop(l2.renew(&self.key, self.lease.clone()).await);
            }
        }
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        // Outside a runtime the lease ends by itself.
        let (Ok(runtime), Some(inner)) = (Handle::try_current(), self.inner.upgrade()) else {
            return;
        };
        if self.is_over {
            return;
        }
        let (key, lease) = (Arc::clone(&self.key), self.lease.clone());
        runtime.spawn(async move {
            if let Some(l2) = &inner.l2 {
                drop(l2.release(&key, lease).await);
            }
        });
    }
}
