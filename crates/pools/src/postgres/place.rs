//! The right to hold one connection.

use std::{mem, sync::Arc};

use tokio::time::Instant;

use super::{admission::ClassId, pool::Pool};

/// A place that admission has given, and gets back when this is dropped, whatever becomes of its
/// connection.
#[derive(Debug)]
pub(crate) struct Place {
    pool: Arc<Pool>,
    class: ClassId,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Its connection is checked out, or about to be.
    CheckedOut,
    /// Its connection is on its way out.
    Closing,
    GivenBack,
}

impl Place {
    /// One that admission counts as checked out.
    pub(super) fn checked_out(pool: Arc<Pool>, class: ClassId) -> Place {
        Place {
            pool,
            class,
            stage: Stage::CheckedOut,
        }
    }

    /// One that admission counts as closing.
    pub(super) fn closing(pool: Arc<Pool>) -> Place {
        Place {
            pool,
            class: 0,
            stage: Stage::Closing,
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Its connection is on its way out from now on.
    pub(super) fn close(&mut self) {
        if self.stage == Stage::CheckedOut {
            self.stage = Stage::Closing;
            self.pool.admission().discard(self.class);
            // Another one may be had in its place.
            self.pool.serve();
        }
    }

    /// Gives the place back, with a connection that is in the pool again, also after all.
    pub(super) fn give_back(mut self, now: Instant) {
        match mem::replace(&mut self.stage, Stage::GivenBack) {
            Stage::CheckedOut => self.pool.came_back(Some(self.class), now),
            Stage::Closing => self.pool.came_back(None, now),
            Stage::GivenBack => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.stage {
            // Nobody has taken its connection out of the pool.
            Stage::CheckedOut => self.pool.came_back(Some(self.class), Instant::now()),
            Stage::Closing => self.pool.closed_one(),
            Stage::GivenBack => {}
        }
    }
}
