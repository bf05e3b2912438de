//! What a pool's tuner needs of the world: the time, the server, and somebody who sets what it advises.

use std::{
    panic::Location,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{self, Instant};

use super::{
    OptimizeError, PoolOptimization, PoolSetting, PoolStep,
    pool::{DEFAULT_CLASS, Pool},
    tuning::{ConnectionShare, EVERY, Gradient, Situation, Verdict},
};

/// How long the server may take to say what it has for all, the wait for a connection included.
const SHARE: Duration = Duration::from_secs(2);

impl Pool {
    /// Notes how the pool has been used, and ends what was on trial for long enough.
    pub(super) fn sample(self: &Arc<Self>, now: Instant) {
        if !self.tuner().is_due(now) {
            return;
        }
        let own = self.usage().totals();
        let standbys = self.cluster().map_or_else(Vec::new, |it| it.pools());
        let all = standbys
            .iter()
            .fold(own.clone(), |all, pool| all.and(&pool.usage().totals()));
        let verdict = self.tuner().sample(now, own, all);
        if let Some(Verdict { outcome, undo }) = verdict {
            self.engine().counters.tuned(outcome);
            if let Some(setting) = undo {
                self.set(setting);
            }
        }
    }

    /// What should be another.
    pub(crate) async fn optimize(
        self: Arc<Self>,
        call_site: &'static Location<'static>,
    ) -> Result<PoolOptimization, OptimizeError> {
        if self.is_closed() {
            return Err(OptimizeError::Closed);
        }
        let share = self.share(call_site).await;
        let (situation, most) = (self.situation(), self.most(share));
        Ok(self.tuner().advise(Instant::now(), &situation, most, share))
    }

    /// Sets the first of what should be another and can be set.
    pub(crate) async fn apply_optimization(
        self: Arc<Self>,
        call_site: &'static Location<'static>,
    ) -> Result<Option<PoolStep>, OptimizeError> {
        if self.is_closed() {
            return Err(OptimizeError::Closed);
        }
        if self.tuner().is_trying() {
            return Err(OptimizeError::OnTrial);
        }
        let share = self.share(call_site).await;
        let (situation, most) = (self.situation(), self.most(share));
        let step = {
            let mut tuner = self.tuner();
            // Others may have asked meanwhile.
            if tuner.is_trying() {
                return Err(OptimizeError::OnTrial);
            }
            let now = Instant::now();
            let advice = tuner.advise(now, &situation, most, share);
            let mut all = advice.recommendations.iter();
            let Some(first) = all.find(|it| it.is_applicable) else {
                return Ok(None);
            };
            tuner.begin(now, first, most)
        };
        self.set(step.to);
        Ok(Some(step))
    }

    /// The most connections that may be advised.
    fn most(&self, share: Option<ConnectionShare>) -> usize {
        let most = share.map_or(self.configured, |it| it.connections);
        let most = most.min(self.built_for());
        self.most_tuned.map_or(most, |it| it.min(most)).max(1)
    }

    /// What this instance may have of the server. None where it does not say in time.
    async fn share(
        self: &Arc<Self>,
        call_site: &'static Location<'static>,
    ) -> Option<ConnectionShare> {
        let instance = self.engine().connector.instance()?;
        let asking = async {
            let session = Arc::clone(self).checkout(DEFAULT_CLASS, call_site).await;
            session.ok()?.share(instance, self.besides()).await
        };
        time::timeout(SHARE, asking).await.ok()?
    }

    fn situation(&self) -> Situation {
        let limits = self.admission().limits();
        let ever = self.usage().totals().ever();
        Situation {
            size: limits.size,
            max_overflow: limits.max_overflow,
            timeout: self.timeout,
            statement_timeout: self.statement_timeout,
            standbys: self.cluster().and_then(|it| it.standbys()),
            longest_hold: ever.hold_max,
        }
    }

    fn set(self: &Arc<Self>, setting: PoolSetting) {
        match setting {
            PoolSetting::Connections { size, max_overflow } => {
                if let Err(error) = self.set_limits(size, max_overflow) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a step of the pool's"
                    );
                }
            }
            PoolSetting::ReplicaShare { share } => {
                if let Some(cluster) = self.cluster() {
                    cluster.set_share(share);
                }
            }
            // They are advised alone.
            PoolSetting::Timeout { .. } | PoolSetting::StatementTimeout { .. } => {}
        }
    }
}

/// Lets the number of connections follow how long they are kept, until the pool is closed or dropped.
pub(super) async fn adapt(pool: Weak<Pool>) {
    let mut gradient = None;
    let (mut count, mut held) = (0, Duration::ZERO);
    loop {
        time::sleep(EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.is_closed() {
            return;
        }
        let returned = pool.usage().returned();
        let times = u32::try_from(returned.0.saturating_sub(count)).unwrap_or(u32::MAX);
        let kept = returned.1.saturating_sub(held).checked_div(times);
        (count, held) = returned;
        let (limits, in_use, most) = {
            let admission = pool.admission();
            (
                admission.limits(),
                admission.counts().checked_out,
                admission.most(),
            )
        };
        let gradient = gradient.get_or_insert_with(|| Gradient::new(limits.size));
        let permits = gradient.limit(kept, in_use, (limits.size, limits.connections()));
        if permits != most {
            pool.permit(permits);
        }
    }
}
