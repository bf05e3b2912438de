//! What a pool's tuner needs of the world: the time, the server, and somebody who sets what it advises.

use std::{
    panic::Location,
    sync::{Arc, MutexGuard, Weak},
    time::Duration,
};

use tokio::time::{self, Instant};

use super::{
    OptimizeError, PoolOptimization, PoolSetting, PoolStep,
    pool::{DEFAULT_CLASS, Pool},
    tuning::{Bounds, ConnectionShare, EVERY, Gradient, LOOK, Situation, Tuner, Verdict},
    usage::Totals,
};

/// How long the server may take to say what it has for all, the wait for a connection included.
const SHARE: Duration = Duration::from_secs(2);

impl Pool {
    /// Notes how the pool has been used, and ends what was on trial for long enough.
    pub(super) fn sample(self: &Arc<Self>, now: Instant) {
        if !self.tuner().is_due(now) {
            return;
        }
        let own = self.totals();
        let standbys = self.cluster().map_or_else(Vec::new, |it| it.pools());
        let all = standbys
            .iter()
            .fold(own.clone(), |all, pool| all.and(&pool.totals()));
        let verdict = {
            // Until it is set back, nobody else sets anything.
            let mut tuner = self.tuner();
            // What was counted may be of other settings by now.
            if !tuner.is_due(now) {
                return;
            }
            let verdict = tuner.sample(now, own, all);
            if let Some(setting) = verdict.and_then(|it| it.undo) {
                self.set(setting);
            }
            verdict
        };
        if let Some(Verdict { outcome, .. }) = verdict {
            self.engine().counters.tuned(outcome);
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
        let (mut tuner, situation) = self.look();
        let bounds = self.bounds(&mut tuner, &situation, share);
        Ok(tuner.advise(Instant::now(), &situation, bounds))
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
        let step = {
            let (mut tuner, situation) = self.look();
            // Others may have asked meanwhile.
            if tuner.is_trying() {
                return Err(OptimizeError::OnTrial);
            }
            let now = Instant::now();
            let bounds = self.bounds(&mut tuner, &situation, share);
            let advice = tuner.advise(now, &situation, bounds);
            let mut all = advice.recommendations.iter();
            let Some(first) = all.find(|it| it.is_applicable) else {
                return Ok(None);
            };
            let step = tuner.begin(now, first);
            self.set(step.to);
            step
        };
        self.engine().counters.tuned(step.outcome);
        Ok(Some(step))
    }

    /// The most connections that may be advised.
    fn bounds(
        &self,
        tuner: &mut Tuner,
        situation: &Situation,
        share: Option<ConnectionShare>,
    ) -> Bounds {
        if share.is_some() {
            tuner.last_share = share;
        }
        let most = match (share, tuner.last_share) {
            (Some(share), _) => share.connections,
            // Nobody says that there are too many, nor that there may be more.
            (None, Some(last)) => last.connections.max(situation.limit()),
            (None, None) => self.configured.max(situation.limit()),
        };
        let most = most.min(self.built_for());
        let most = self.most_tuned.map_or(most, |it| it.min(most));
        Bounds {
            share,
            most: most.max(1),
        }
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

    /// How things are, which stay so while the tuner is held.
    fn look(&self) -> (MutexGuard<'_, Tuner>, Situation) {
        // It asks the tuners of the standbys' pools.
        let standbys = self.cluster().and_then(|it| it.standbys());
        let pools = self.cluster().map_or_else(Vec::new, |it| it.pools());
        let longest = |pool: &Pool| {
            let held = pool.held();
            let back = pool.totals().ever().hold_max;
            held.first().map_or(back, |it| it.held_for.max(back))
        };
        let all = pools.iter().map(|pool| longest(pool));
        let longest_hold = all.fold(longest(self), Duration::max);
        let tuner = self.tuner();
        let (limits, permitted) = {
            let admission = self.admission();
            (admission.limits(), admission.permitted())
        };
        let situation = Situation {
            size: limits.size,
            max_overflow: limits.max_overflow,
            timeout: self.timeout,
            statement_timeout: self.statement_timeout,
            standbys,
            permitted: (permitted < limits.connections()).then_some(permitted),
            longest_hold,
        };
        (tuner, situation)
    }

    /// Sets what a step has, or had. What cannot be set stays, and the log tells.
    pub(super) fn set(self: &Arc<Self>, setting: PoolSetting) {
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
    let mut looked: Option<(Gradient, Totals)> = None;
    loop {
        time::sleep(EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.is_closed() {
            return;
        }
        let (limits, in_use, permitted) = {
            let admission = pool.admission();
            let in_use = admission.counts().checked_out;
            (admission.limits(), in_use, admission.permitted())
        };
        let totals = pool.totals();
        let (gradient, before) =
            looked.get_or_insert_with(|| (Gradient::new(limits.size), totals.clone()));
        let (returned, kept) = totals.returned_since(before);
        // A few tell nothing of the others.
        let kept = (returned >= LOOK).then_some(kept);
        if kept.is_some() {
            *before = totals;
        }
        let permits = gradient.limit(kept, in_use, (limits.size, limits.connections()));
        if permits != permitted {
            pool.permit(permits);
        }
    }
}
