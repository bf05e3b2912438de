//! Which server a session for reading is of.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use ruleiq_scope::{CausalToken, Scope};
use tokio::time::{self, Instant};

use super::{
    super::{
        CheckoutError, ConnectError, ReadSession, Session,
        pool::{DEFAULT_CLASS, Pool},
        run::CallSite,
    },
    Cluster, Known,
};

/// How long a standby may take to give a connection before another server is read.
const CHECKOUT: Duration = Duration::from_secs(1);
/// How long it may take until a timeline is seen that somebody else has seen.
const SURVEY: Duration = Duration::from_secs(1);
/// Standbys that are tried for one session.
const ATTEMPTS: usize = 2;
/// Between looks at how far a standby has come: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(16);

/// A session for reading what has been written up to a position, or to that of the scope.
pub(crate) async fn read_session(
    primary: Arc<Pool>,
    after: Option<CausalToken>,
    call_site: CallSite,
) -> Result<ReadSession, CheckoutError> {
    let scope = Scope::current();
    if let Some(cluster) = primary.cluster() {
        let after = after.or_else(|| scope.as_ref().and_then(Scope::causal_token));
        let after = match after {
            Some(token) => cluster.accept(token).await?,
            None => None,
        };
        let is_reading_primary = scope.as_ref().is_some_and(Scope::is_reading_primary);
        if is_reading_primary || fastrand::f64() >= cluster.share() {
            cluster.counts.wanted.fetch_add(1, Relaxed);
        } else if let Some(session) = cluster.standby(after, call_site).await? {
            after.map_or(Ok(()), |token| cluster.holds(token))?;
            return Ok(ReadSession::new(session, false));
        }
        let session = primary.checkout_after(after, DEFAULT_CLASS, call_site);
        return Ok(ReadSession::new(session.await?, true));
    }
    let session = primary.checkout(DEFAULT_CLASS, call_site).await?;
    Ok(ReadSession::new(session, true))
}

impl Cluster {
    /// The token, if it is one of this cluster's.
    pub(crate) async fn accept(
        &self,
        token: CausalToken,
    ) -> Result<Option<CausalToken>, CheckoutError> {
        let CausalToken {
            system,
            timeline,
            lsn,
        } = token;
        let judge = || self.view().judge(system, timeline, lsn);
        if judge() == Known::Ahead {
            self.survey().await;
        }
        if judge() == Known::Ahead {
            // Whoever wrote there has seen a promotion that we have not. Until we have, nobody writes.
            self.hear(system, timeline);
            let has_primary = || self.view().primary().is_some();
            self.wait_until(has_primary, Instant::now() + SURVEY).await;
            if !has_primary() {
                return Err(self.no_primary());
            }
        }
        match judge() {
            Known::Contained => Ok(Some(token)),
            Known::Foreign => {
                self.counts.foreign_tokens.fetch_add(1, Relaxed);
                Ok(None)
            }
            Known::Lost | Known::Ahead => {
                self.counts.lost_tokens.fetch_add(1, Relaxed);
                Err(CheckoutError::TokenLost {
                    timeline,
                    current: self.view().timeline(),
                })
            }
        }
    }

    fn no_primary(&self) -> CheckoutError {
        let found = self.found(&self.view());
        CheckoutError::Connect {
            server: self.servers(),
            source: Arc::new(ConnectError::NoPrimary { found }),
        }
    }

    /// Whether what was written up to there is still known to be there: a promotion may have been noticed
    /// meanwhile.
    pub(crate) fn holds(&self, token: CausalToken) -> Result<(), CheckoutError> {
        let view = self.view();
        match view.judge(token.system, token.timeline, token.lsn) {
            Known::Contained | Known::Foreign => Ok(()),
            Known::Lost | Known::Ahead => {
                self.counts.lost_tokens.fetch_add(1, Relaxed);
                Err(CheckoutError::TokenLost {
                    timeline: token.timeline,
                    current: view.timeline(),
                })
            }
        }
    }

    /// A session on a standby that has come far enough, if there is one.
    async fn standby(
        &self,
        after: Option<CausalToken>,
        call_site: CallSite,
    ) -> Result<Option<Session>, CheckoutError> {
        let mut tried = None;
        let mut is_behind = false;
        for _ in 0..ATTEMPTS {
            let Some(member) = self.choose(after, tried) else {
                break;
            };
            tried = Some(member);
            let it = &self.members[member];
            let checkout = Arc::clone(&it.pool).checkout(DEFAULT_CLASS, call_site);
            let session = match time::timeout(CHECKOUT, checkout).await {
                Ok(Ok(session)) => session,
                Ok(Err(CheckoutError::Connect { .. })) => {
                    it.failed(Instant::now());
                    continue;
                }
                Ok(Err(error @ CheckoutError::DeadlinePassed { .. })) => return Err(error),
                // It has too much to do, or does not answer, which its monitor will say.
                Ok(Err(_)) | Err(_) => continue,
            };
            let reached = match after {
                None => Some(true),
                Some(token) => self.reach(&session, token).await,
            };
            match reached {
                Some(true) => {
                    it.succeeded();
                    it.reads.fetch_add(1, Relaxed);
                    return Ok(Some(session));
                }
                // Another one is hardly further, and the time is used up.
                Some(false) => {
                    is_behind = true;
                    break;
                }
                None => it.failed(Instant::now()),
            }
        }
        let why = match is_behind {
            true => &self.counts.behind,
            false => &self.counts.no_standby,
        };
        why.fetch_add(1, Relaxed);
        Ok(None)
    }

    /// Of two standbys at random, the one with less to do (Mitzenmacher: "The Power of Two Choices in
    /// Randomized Load Balancing", 2001).
    fn choose(&self, after: Option<CausalToken>, but: Option<usize>) -> Option<usize> {
        let now = Instant::now();
        let mut fit: Vec<usize> = {
            let view = self.view();
            let all = (0..self.members.len()).filter(|member| Some(*member) != but);
            // A standby that may still be on an older timeline may have come as far on that one.
            let follows =
                |member: &usize| after.is_none_or(|it| view.reached(*member) >= it.timeline);
            all.filter(|member| self.is_fit(*member, view.standing(*member, now), now))
                .filter(follows)
                .collect()
        };
        if fit.is_empty() {
            return None;
        }
        let one = fit.swap_remove(fastrand::usize(..fit.len()));
        if fit.is_empty() {
            return Some(one);
        }
        let other = fit[fastrand::usize(..fit.len())];
        let load = |member: usize| self.members[member].pool.load();
        Some(if load(other) < load(one) { other } else { one })
    }

    /// Whether the server of a session comes as far as that within the time that is waited for it. `None`
    /// where it does not answer.
    async fn reach(&self, session: &Session, token: CausalToken) -> Option<bool> {
        if session.has_reached(token.lsn) {
            return Some(true);
        }
        let until = Instant::now() + self.config.causal_wait;
        let mut pause = FIRST_LOOK;
        loop {
            let position = time::timeout(CHECKOUT, session.position()).await;
            let (lsn, timeline) = position.ok()??;
            let known = self.view().timeline();
            if timeline.is_some_and(|it| it > known) {
                // It follows a primary that we have not seen, and its positions are of another history.
                self.hear(token.system, timeline?);
                return Some(false);
            }
            session.note_reached(lsn);
            if lsn >= token.lsn {
                return Some(true);
            }
            if Instant::now() + pause > until {
                return Some(false);
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }
}
