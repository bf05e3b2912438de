//! What each worker has of its own: how much it has to do.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use ruleiq_compression::{Load, LoadHandle, LoadMeter};

use super::Shared;

/// A worker, which is a thread: its load, and what it shares with the others.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    source: Source,
    last: Cell<Load>,
}

/// Where the load is known from.
#[derive(Debug)]
enum Source {
    Ignored,
    Told(LoadHandle),
    Measured(RefCell<LoadMeter>),
}

/// What is done about it.
#[derive(Clone, Debug)]
pub(super) enum LoadPolicy {
    Ignored,
    Told(LoadHandle),
    Measured,
}

impl Worker {
    /// That of the calling thread.
    pub(super) fn new(shared: Arc<Shared>) -> Worker {
        let source = match &shared.load {
            LoadPolicy::Ignored => Source::Ignored,
            LoadPolicy::Told(handle) => Source::Told(handle.clone()),
            LoadPolicy::Measured => Source::Measured(RefCell::new(LoadMeter::of_this_thread())),
        };
        shared.metrics.record_load(None, Some(Load::Normal));
        Worker {
            shared,
            source,
            last: Cell::new(Load::Normal),
        }
    }

    /// Looks whether there is less to do, where there was too much: whatever is asked for then.
    pub(super) fn recover(&self) {
        if self.last.get() > Load::Normal {
            self.load();
        }
    }

    pub(super) fn load(&self) -> Load {
        let load = match &self.source {
            Source::Ignored => Load::Normal,
            Source::Told(handle) => handle.get(),
            Source::Measured(meter) => meter.borrow_mut().load(),
        };
        let last = self.last.replace(load);
        if last != load {
            self.shared.metrics.record_load(Some(last), Some(load));
            tracing::info!(
                from = last.as_str(),
                to = load.as_str(),
                "the load has changed what is compressed"
            );
        }
        load
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.metrics.record_load(Some(self.last.get()), None);
    }
}
