//! One request that is being watched.

use std::sync::Arc;

use ruleiq_db_optimizer::n_plus_one::Report;

use super::Inner;
use crate::request_scope::ScopeSlot;

/// Looks at the request's log when it is finished, and when it is dropped before that.
pub(super) struct Watch {
    inner: Arc<Inner>,
    slot: ScopeSlot,
    is_finished: bool,
}

impl Watch {
    pub(super) fn start(inner: Arc<Inner>, slot: ScopeSlot) -> Watch {
        Watch {
            inner,
            slot,
            is_finished: false,
        }
    }

    pub(super) fn finish(mut self) -> Report {
        self.is_finished = true;
        self.look()
    }

    /// Tells what there is to tell. Without a scope, that is nothing.
    fn look(&self) -> Report {
        let Some(scope) = self.slot.scope() else {
            return Report::default();
        };
        let report = self.inner.detector.examine(&scope);
        self.inner.tell(&report);
        report
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_finished {
            self.look();
        }
    }
}
