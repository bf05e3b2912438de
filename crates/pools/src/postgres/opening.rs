//! Connections are opened in the background, for whoever waits by then: a caller that goes away
//! throws no login away.

use std::sync::{Arc, Weak};

use tokio::time::{self, Instant};

use super::{
    ConnectError,
    admission::Failed,
    checkout::{Answer, Caller, Refused},
    connection::Connection,
    pool::Pool,
};

/// One connection that is being opened.
struct Opening {
    pool: Arc<Pool>,
    is_renewal: bool,
    is_over: bool,
}

impl Pool {
    /// Opens connections that admission counts as connecting.
    pub(super) fn open(self: &Arc<Self>, how_many: usize, is_renewal: bool) {
        for _ in 0..how_many {
            let opening = Opening {
                pool: Arc::clone(self),
                is_renewal,
                is_over: false,
            };
            self.engine().connector.runtime().spawn(opening.run());
        }
    }

    fn opened(self: &Arc<Self>, connection: Connection, is_renewal: bool) {
        self.engine().counters.connects.inc();
        self.ready().put(connection);
        let mut shed = Vec::new();
        let (freed, opening, was_broken) = {
            let mut admission = self.admission();
            let was_broken = admission.error().is_some();
            let freed = admission.opened(Instant::now(), is_renewal, &mut shed);
            (freed, admission.open_more(), was_broken)
        };
        if was_broken {
            tracing::info!("connections to the database can be opened again");
        }
        self.settle_up(freed, shed);
        self.open(opening, false);
    }

    fn could_not_open(self: &Arc<Self>, error: ConnectError, is_renewal: bool) {
        self.engine().counters.connects_failed.inc();
        let error = Arc::new(error);
        let random = fastrand::f64();
        let (failed, was_broken) = {
            let mut admission = self.admission();
            let was_broken = admission.error().is_some();
            let failed = admission.failed(Arc::clone(&error), Instant::now(), random, is_renewal);
            (failed, was_broken)
        };
        if !was_broken {
            let error: &(dyn std::error::Error + 'static) = &*error;
            tracing::warn!(error, "no connection to the database can be opened");
        }
        let Failed { refused, resume_at } = failed;
        for caller in refused {
            answer(caller, Err(Refused::Unreachable(Arc::clone(&error))));
        }
        if let Some(at) = resume_at {
            let pool = Arc::downgrade(self);
            self.engine().connector.runtime().spawn(resume(pool, at));
        }
    }
}

impl Opening {
    async fn run(mut self) {
        let result = self.pool.engine().connector.connect().await;
        self.is_over = true;
        match result {
            Ok(opened) => {
                let lives = self.pool.lifetime(self.is_renewal);
                let engine = Arc::clone(self.pool.engine());
                let connection = Connection::new(opened, engine, lives);
                self.pool.opened(connection, self.is_renewal);
            }
            Err(error) => self.pool.could_not_open(error, self.is_renewal),
        }
    }
}

impl Drop for Opening {
    /// The runtime has ended, and will open nothing any more.
    fn drop(&mut self) {
        if !self.is_over {
            let error = ConnectError::RuntimeEnded;
            self.pool.could_not_open(error, self.is_renewal);
        }
    }
}

/// Whoever does not wait any more needs no answer, and a place comes back by itself.
pub(super) fn answer(caller: Caller, answer: Answer) {
    drop(caller.send(answer));
}

async fn resume(pool: Weak<Pool>, at: Instant) {
    time::sleep_until(at).await;
    let Some(pool) = pool.upgrade() else { return };
    let attempt = pool.admission().resume(Instant::now());
    pool.open(usize::from(attempt), false);
}
