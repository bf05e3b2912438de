//! How a run is ended before its end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::sync::Notify;

/// Asks a run to end between two slices. A worker that is told of it and does not come to the end
/// of its slice in a few seconds is ended.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_asked: AtomicBool,
    asked: Notify,
    /// The process groups of the workers that run.
    groups: Mutex<BTreeSet<Pid>>,
}

impl Stop {
    /// Asks for it.
    pub fn ask(&self) {
        self.0.is_asked.store(true, Ordering::SeqCst);
        self.0.asked.notify_waiters();
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::SeqCst)
    }

    /// Waits until it is asked for.
    pub async fn asked(&self) {
        let notified = self.0.asked.notified();
        tokio::pin!(notified);
        // From here on, no asking is missed.
        notified.as_mut().enable();
        if !self.is_asked() {
            notified.await;
        }
    }

    /// Ends all workers at once, with the processes that they started. What they measure is lost.
    pub fn end_workers(&self) {
        self.ask();
        for group in std::mem::take(&mut *self.groups()) {
            kill(group);
        }
    }

    /// Notes a worker that runs.
    pub(crate) fn began(&self, group: Pid) {
        self.groups().insert(group);
    }

    /// Forgets a worker, whose number may be another's from now on.
    pub(crate) fn ended(&self, group: Pid) {
        self.groups().remove(&group);
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, BTreeSet<Pid>> {
        let groups = self.0.groups.lock();
        groups.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills a process group.
pub(crate) fn kill(group: Pid) {
    // Without a process in the group, there is nothing left to kill.
    let killed = killpg(group, Signal::SIGKILL);
    debug_assert!(killed.is_ok() || killed == Err(nix::errno::Errno::ESRCH));
}
