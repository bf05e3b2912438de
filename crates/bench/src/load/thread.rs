//! The thread that drives the connections.

use std::{future::Future, thread, time::Duration};

use nix::time::{ClockId, clock_gettime};
use tokio::{runtime, sync::oneshot, task::JoinHandle};

use crate::Fault;

/// A thread with an event loop of its own, which ends when this is dropped.
///
/// A library leaves runtimes to programs. This one is part of the measuring device: on the caller's
/// runtime, the client would share its threads with other sides of the case, requests would move
/// between cores, and its CPU time could not be told from theirs.
#[derive(Debug)]
pub(super) struct Thread {
    handle: runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Thread {
    pub(super) fn start() -> Result<Thread, Fault> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Fault::failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("load-client".into())
            .spawn(move || drop(runtime.block_on(stopped)))
            .map_err(Fault::failed)?;
        Ok(Thread {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Runs `work` on the thread. It ends when the caller no longer waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut task = Task(self.handle.spawn(work));
        (&mut task.0)
            .await
            .map_err(|_| Fault::Failed("the load client panicked".into()))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was told by the task in which it came.
            drop(thread.join());
        }
    }
}

/// A task that ends when it is dropped.
#[derive(Debug)]
pub(super) struct Task<T>(pub(super) JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The CPU time of the thread that asks.
pub(super) fn cpu() -> Result<Duration, Fault> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .map_err(Fault::failed)
}
