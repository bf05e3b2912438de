//! The runtime of all that must not end or stand still with a test's own: leases, connections,
//! drops, proxies.

use std::{
    future::Future,
    panic,
    sync::{LazyLock, mpsc},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("test-support")
        .enable_all()
        .build()
        .expect("the system gives a thread and a poller")
});

/// Starts a task.
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    RUNTIME.spawn(task)
}

/// Runs a task to its end, from any runtime. Its panic is the caller's.
pub(crate) async fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    output(spawn(task)).await
}

/// Runs code that blocks, from any runtime.
pub(crate) async fn run_sync<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> T {
    output(RUNTIME.spawn_blocking(task)).await
}

async fn output<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(output) => output,
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

/// Runs a task from code that is not async, such as a destructor, and waits so long for its end.
pub(crate) fn run_blocking<T: Send + 'static>(
    limit: Duration,
    task: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    spawn(async move {
        // Nobody receives it when the limit has passed.
        drop(sender.send(task.await));
    });
    receiver.recv_timeout(limit).ok()
}
