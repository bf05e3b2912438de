//! What is done without being asked for: idle connections beyond the size are closed, old ones
//! replaced, leaks told of.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{self, Instant};

use super::{
    PostgresConfig,
    admission::Renewal,
    connection::Connection,
    counters::Discard,
    holders::HoldLimits,
    place::Place,
    pool::{Admissions, Pool},
};

/// How often it is looked, where no setting needs it sooner.
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// Looks after the pool until it is closed or dropped.
pub(super) fn keep(pool: Weak<Pool>, config: &PostgresConfig) -> impl Future<Output = ()> + use<> {
    let limits = HoldLimits {
        checked_out: config.leak_after,
        transaction: config.long_transaction,
    };
    let soonest = [
        Some(config.overflow_linger),
        Some(config.recycle),
        limits.checked_out,
        limits.transaction,
    ];
    // What is done at once needs nobody to look.
    let soonest = soonest.into_iter().flatten().filter(|it| !it.is_zero());
    let soonest = soonest.min().unwrap_or(EVERY);
    let every = (soonest / 4)
        .min(config.tuning.window / 10)
        .clamp(AT_MOST_EVERY, EVERY);
    async move {
        loop {
            time::sleep(every).await;
            let Some(pool) = pool.upgrade() else { return };
            if pool.is_closed() {
                return;
            }
            let now = Instant::now();
            pool.tend(now);
            pool.sample(now);
            pool.multiplexer().tend(now);
            pool.engine().links.report(now, limits);
        }
    }
}

impl Pool {
    /// Closes what has been idle for too long, beyond the size, and replaces what is too old.
    pub(super) fn tend(self: &Arc<Self>, now: Instant) {
        let has_lingered = |it: &Connection| it.idle_for(now) >= self.overflow_linger;
        self.close_idle(Admissions::surplus, has_lingered, Discard::Overflow);
        let is_superseded = |it: &Connection| it.link().is_superseded();
        self.close_idle(|_| usize::MAX, is_superseded, Discard::Lost);
        let expired = |it: &Connection| it.is_expired(now);
        loop {
            let found = self.has_idle(expired);
            if !found {
                break;
            }
            let renewal = self.admission().renew();
            match renewal {
                Renewal::Open => {
                    self.open(1, true);
                    break;
                }
                Renewal::Close if self.close_idle(|_| 1, expired, Discard::Expired) > 0 => {}
                // One is being opened, or somebody uses it by now.
                Renewal::Wait | Renewal::Close => break,
            }
        }
    }

    fn has_idle(&self, is_wanted: impl Fn(&Connection) -> bool) -> bool {
        let mut found = self.ready().any(&is_wanted);
        self.connections.retain(|connection, _| {
            found = found || is_wanted(connection);
            true
        });
        found
    }

    /// Closes up to so many that are checked in. Says how many.
    fn close_idle(
        self: &Arc<Self>,
        at_most: impl Fn(&Admissions) -> usize,
        is_to_go: impl Fn(&Connection) -> bool,
        why: Discard,
    ) -> usize {
        let closing = {
            // What callers have been promised is in deadpool too, until they take it.
            let mut admission = self.admission();
            let at_most = at_most(&admission).min(admission.counts().checked_in);
            let mut taken = self.ready().take_if(at_most, &is_to_go);
            taken.extend(self.take_idle(at_most - taken.len(), &is_to_go));
            let retired = admission.retire(taken.len());
            debug_assert_eq!(retired, taken.len());
            taken
        };
        let closed = closing.len();
        for connection in closing {
            self.end(connection, Place::closing(Arc::clone(self)), why);
        }
        closed
    }

    /// How long a connection is to live, less a random part, so that those that were opened together
    /// are not replaced together.
    pub(super) fn lifetime(&self, is_renewal: bool) -> Duration {
        let recycle = self.engine().recycle;
        let fills_up = {
            let admission = self.admission();
            admission.counts().connections() <= admission.limits().size
        };
        // After a start or an outage the pool fills up at once.
        let part = if fills_up && !is_renewal { 0.9 } else { 0.1 };
        recycle.mul_f64(1.0 - part * fastrand::f64())
    }
}
