//! What is done without being asked for: idle connections beyond the size are closed, old ones
//! replaced, leaks told of.

use std::{sync::Weak, time::Duration};

use tokio::time::{self, Instant};

use super::{PostgresConfig, pool::Pool};

/// How often it is looked, where no setting needs it sooner.
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// Looks after the pool until it is closed or dropped.
pub(super) fn keep(pool: Weak<Pool>, config: &PostgresConfig) -> impl Future<Output = ()> + use<> {
    let leak_after = config.leak_after;
    let soonest = [
        Some(config.overflow_linger),
        Some(config.recycle),
        leak_after,
    ];
    let soonest = soonest.into_iter().flatten().min().unwrap_or(EVERY);
    let every = (soonest / 4).clamp(AT_MOST_EVERY, EVERY);
    async move {
        loop {
            time::sleep(every).await;
            let Some(pool) = pool.upgrade() else { return };
            if pool.is_closed() {
                return;
            }
            let now = Instant::now();
            pool.tend(now);
            if let Some(after) = leak_after {
                pool.engine().links.report_leaks(now, after);
            }
        }
    }
}
