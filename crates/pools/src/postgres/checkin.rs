//! What happens to a connection that comes back.
//!
//! A clean one goes back at once. One in which a transaction may be open is rolled back first. One
//! that is busy, dead, too old or not needed is closed. All this is done in the background, on the
//! pool's runtime; until it is done the connection keeps its place, so that there are never more
//! connections than there may be.

use std::{panic::Location, sync::Arc};

use deadpool::managed::Object as Managed;

use super::{
    admission::Place,
    connection::Condition,
    counters::Discard,
    ledger::State,
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
    pub(crate) fn check_in(
        self: &Arc<Self>,
        mut connection: Object,
        place: Place,
        call_site: &'static Location<'static>,
    ) {
        match connection.condition() {
            Condition::Clean if self.is_closed() => self.retire(connection, place, Discard::Closed),
            Condition::Clean => match connection.entry.check_in() {
                true => self.keep(connection, place),
                false => self.retire(connection, place, Discard::Overflow),
            },
            Condition::Unclear if self.is_closed() => {
                self.retire(connection, place, Discard::Closed);
            }
            Condition::Unclear => self.clean(connection, place),
            Condition::Doomed(why) => {
                if why == Discard::Busy {
                    tracing::debug!(%call_site, "a connection came back busy and is closed");
                }
                self.retire(connection, place, why);
            }
        }
    }

    fn keep(&self, connection: Object, place: Place) {
        drop(connection);
        drop(place);
        // It may have come back after `close` had looked for idle ones.
        if self.is_closed() {
            self.drop_idle();
        }
    }

    /// Rolls the connection back, then keeps or closes it.
    fn clean(self: &Arc<Self>, mut connection: Object, place: Place) {
        connection.entry.set(State::Closing);
        let pool = Arc::clone(self);
        let mut leaving = Leaving::new(connection, place);
        self.engine().connector.runtime().spawn(async move {
            if !leaving.connection().clean().await {
                pool.engine().counters.discarded(Discard::Transaction);
                leaving.connection().close(true).await;
            } else if pool.is_closed() {
                pool.engine().counters.discarded(Discard::Closed);
                leaving.connection().close(false).await;
            } else if leaving.connection().entry.check_in() {
                leaving.stay(&pool);
            } else {
                pool.engine().counters.discarded(Discard::Overflow);
                leaving.connection().close(false).await;
            }
        });
    }

    /// Closes the connection.
    fn retire(&self, mut connection: Object, place: Place, why: Discard) {
        self.engine().counters.discarded(why);
        connection.entry.set(State::Closing);
        let mut leaving = Leaving::new(connection, place);
        self.engine().connector.runtime().spawn(async move {
            leaving.connection().close(why == Discard::Busy).await;
        });
    }
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
    fn stay(mut self, pool: &Pool) {
        if let (Some(connection), Some(place)) = (self.connection.take(), self.place.take()) {
            pool.keep(connection, place);
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
