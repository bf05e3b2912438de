//! Connections that were opened and that deadpool has not seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::connection::Connection;

/// Deadpool opens connections when it is asked for one that it does not have; ours are open by then,
/// and wait here.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Vec<Connection>>);

impl Ready {
    pub(super) fn put(&self, connection: Connection) {
        self.lock().push(connection);
    }

    pub(super) fn take(&self) -> Option<Connection> {
        self.lock().pop()
    }

    pub(super) fn any(&self, is_wanted: impl Fn(&Connection) -> bool) -> bool {
        self.lock().iter().any(is_wanted)
    }

    /// Takes up to so many that are to go.
    pub(super) fn take_if(
        &self,
        mut at_most: usize,
        is_to_go: impl Fn(&Connection) -> bool,
    ) -> Vec<Connection> {
        let mut taken = Vec::new();
        let mut kept = self.lock();
        let mut at = 0;
        while at < kept.len() && at_most > 0 {
            if is_to_go(&kept[at]) {
                taken.push(kept.swap_remove(at));
                at_most -= 1;
            } else {
                at += 1;
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
