//! What happens to a connection that comes back.
//!
//! A clean one goes back at once, which the wire knows without asking. One whose last answer is still
//! on its way, such as that to a rollback, is waited for first. One that is busy, in a transaction or
//! dead is closed. What takes time is done in the background, on the pool's runtime; until it is done
//! the connection keeps its place, so that there are never more connections than there may be.

use std::sync::Arc;

use deadpool::managed::Object as Managed;
use tokio::time::Instant;

use super::{
    admission::Renewal,
    connection::{Condition, Connection},
    counters::Discard,
    place::Place,
    pool::{Object, Pool},
};

/// A connection on its way out. Whatever happens to this, the connection leaves the pool: even
/// where the runtime has ended and drops the task that would have closed it.
struct Leaving {
    connection: Option<Object>,
    /// After the connection: by the time that it is free, the connection is gone.
    place: Option<Place>,
}

impl Pool {
    pub(crate) fn check_in(self: &Arc<Self>, connection: Object, place: Place) {
        let now = Instant::now();
        let holder = connection.link().holder().take();
        if let Some(holder) = holder {
            self.usage()
                .held(now.saturating_duration_since(holder.since));
            holder.came_back(now);
        }
        match connection.condition(now) {
            Condition::Clean => keep(connection, place, now),
            Condition::Expired => self.replace(connection, place, now),
            Condition::Unsettled => self.settle(connection, place),
            Condition::Doomed(why) => self.retire(connection, place, why),
        }
    }

    /// Keeps an old connection in use until there is one in its place.
    fn replace(self: &Arc<Self>, connection: Object, place: Place, now: Instant) {
        let renewal = self.admission().renew();
        match renewal {
            Renewal::Wait => keep(connection, place, now),
            Renewal::Open => {
                self.open(1, true);
                keep(connection, place, now);
            }
            Renewal::Close => self.retire(connection, place, Discard::Expired),
        }
    }

    /// Waits for the last answer, then keeps or closes the connection.
    pub(super) fn settle(self: &Arc<Self>, connection: Object, mut place: Place) {
        place.close();
        let pool = Arc::clone(self);
        let mut leaving = Leaving::new(connection, place);
        self.engine().connector.runtime().spawn(async move {
            if leaving.connection().settle().await {
                leaving.stay();
            } else {
                pool.engine().counters.discarded(Discard::Transaction);
                leaving.connection().close().await;
            }
        });
    }

    /// Closes a connection.
    pub(super) fn retire(&self, connection: Object, mut place: Place, why: Discard) {
        self.engine().counters.discarded(why);
        place.close();
        let mut leaving = Leaving::new(connection, place);
        self.engine().connector.runtime().spawn(async move {
            leaving.connection().close().await;
        });
    }

    /// Closes a connection that deadpool does not have any more.
    pub(super) fn end(&self, mut connection: Connection, place: Place, why: Discard) {
        self.engine().counters.discarded(why);
        self.engine().connector.runtime().spawn(async move {
            connection.close().await;
            drop(connection);
            drop(place);
        });
    }
}

/// First the connection is in the pool, then somebody else may have it.
fn keep(mut connection: Object, place: Place, now: Instant) {
    connection.rest(now);
    drop(connection);
    place.give_back(now);
}

impl Leaving {
    fn new(connection: Object, place: Place) -> Leaving {
        Leaving {
            connection: Some(connection),
            place: Some(place),
        }
    }

    fn connection(&mut self) -> &mut Object {
        self.connection
            .as_mut()
            .expect("only `stay` takes it, and consumes this")
    }

    /// Gives the connection back to the pool after all.
    fn stay(mut self) {
        if let (Some(connection), Some(place)) = (self.connection.take(), self.place.take()) {
            keep(connection, place, Instant::now());
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Managed::take(connection));
        }
    }
}
