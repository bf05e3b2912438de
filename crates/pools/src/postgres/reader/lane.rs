//! The shared connections of one thread, or of all that have none of their own.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

use super::{Multiplexer, pipeline::Pipeline, tally::Tally};

/// Between attempts to open a connection that cannot be opened, less up to a half at random.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Lane {
    slots: Mutex<Vec<Slot>>,
    /// Where connections live, if not where they are asked for.
    runtime: Option<Handle>,
    pub(super) tally: Tally,
}

#[derive(Debug)]
enum Slot {
    /// Nothing is opened before then.
    Empty(Option<Instant>),
    Opening,
    Open(Arc<Pipeline>),
}

/// What a caller finds.
pub(super) enum Found {
    Pipeline(Arc<Pipeline>),
    /// All have as many requests under way as they may.
    Full,
    /// None is open yet.
    None,
}

/// A connection that is being opened for a slot.
struct Opening {
    lane: Weak<Lane>,
    at: usize,
    is_over: bool,
}

impl Lane {
    pub(super) fn new(connections: usize, runtime: Option<Handle>) -> Arc<Lane> {
        let slots = (0..connections).map(|_| Slot::Empty(None)).collect();
        Arc::new(Lane {
            slots: Mutex::new(slots),
            runtime,
            tally: Tally::default(),
        })
    }

    /// The connection with the least to do. Opens those that there may be and that are not there.
    pub(super) fn find(self: &Arc<Self>, multiplexer: &Arc<Multiplexer>, now: Instant) -> Found {
        let mut best: Option<&Arc<Pipeline>> = None;
        let (mut due, mut retired) = (Vec::new(), Vec::new());
        let mut slots = self.slots();
        for (at, slot) in slots.iter_mut().enumerate() {
            if is_due(slot, multiplexer, now) {
                due.push(at);
                // What is under way on an old one goes on: whoever waits for it holds it.
                if let Slot::Open(old) = std::mem::replace(slot, Slot::Opening) {
                    retired.push(old);
                }
            }
            if let Slot::Open(pipeline) = slot
                && best.is_none_or(|best| pipeline.in_flight() < best.in_flight())
            {
                best = Some(pipeline);
            }
        }
        let found = match best {
            None => Found::None,
            Some(best) if best.in_flight() >= multiplexer.max_in_flight => Found::Full,
            Some(best) => Found::Pipeline(Arc::clone(best)),
        };
        drop(slots);
        multiplexer.retire(&retired);
        // A runtime that has ended drops the task at once, which looks at the slots.
        for at in due {
            self.open(at, multiplexer);
        }
        found
    }

    /// Opens a connection for a slot that is marked so.
    fn open(self: &Arc<Self>, at: usize, multiplexer: &Arc<Multiplexer>) {
        let opening = Opening {
            lane: Arc::downgrade(self),
            at,
            is_over: false,
        };
        let runtime = self.runtime.clone().or_else(|| Handle::try_current().ok());
        if let Some(runtime) = runtime {
            runtime.spawn(opening.run(Arc::clone(multiplexer)));
        }
    }

    fn opened(&self, at: usize, slot: Slot) {
        // A lane that is closed has none.
        if let Some(place) = self.slots().get_mut(at) {
            *place = slot;
        }
    }

    /// Ends connections on which the server does not answer, for callers to be told so.
    pub(super) fn end_stalled(&self, now: Instant, limit: Duration) {
        for pipeline in self.pipelines() {
            if pipeline.end_if_stalled(now, limit) {
                self.tally.stalled.fetch_add(1, Relaxed);
            }
        }
    }

    /// Opens nothing more and lets go of what is open.
    pub(super) fn close(&self, multiplexer: &Multiplexer) {
        multiplexer.retire(&self.pipelines());
        let slots = std::mem::take(&mut *self.slots());
        drop(slots);
    }

    /// The connections that are open.
    pub(super) fn pipelines(&self) -> Vec<Arc<Pipeline>> {
        let slots = self.slots();
        let open = slots.iter().filter_map(|slot| match slot {
            Slot::Open(pipeline) if !pipeline.is_closed() => Some(Arc::clone(pipeline)),
            _ => None,
        });
        open.collect()
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection is to be opened for a slot.
fn is_due(slot: &Slot, multiplexer: &Multiplexer, now: Instant) -> bool {
    match slot {
        Slot::Open(pipeline) => {
            pipeline.is_closed() || pipeline.is_expired(now) || multiplexer.is_superseded(pipeline)
        }
        Slot::Opening => false,
        Slot::Empty(not_before) => not_before.is_none_or(|at| at <= now),
    }
}

impl Opening {
    async fn run(mut self, multiplexer: Arc<Multiplexer>) {
        let opened = multiplexer.connect().await;
        self.over(match opened {
            Ok(pipeline) => Slot::Open(Arc::new(pipeline)),
            Err(error) => {
                tracing::debug!(%error, "no connection for shared reads can be opened");
                empty()
            }
        });
    }

    fn over(&mut self, slot: Slot) {
        self.is_over = true;
        if let Some(lane) = self.lane.upgrade() {
            lane.opened(self.at, slot);
        }
    }
}

impl Drop for Opening {
    /// The runtime has ended. The thread may have another one.
    fn drop(&mut self) {
        if !self.is_over {
            self.over(empty());
        }
    }
}

fn empty() -> Slot {
    let pause = PAUSE.mul_f64(1.0 - 0.5 * fastrand::f64());
    Slot::Empty(Some(Instant::now() + pause))
}
