//! A primary and its standbys: which is which, which of them may be read, and what each read must have
//! seen.
//!
//! One task per server asks what it is (`monitor`); what follows from all answers is decided in one place
//! without I/O (`view`); reads are led by it (`route`), and so is every connection for writing.

mod monitor;
mod route;
mod view;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use futures_util::future::join_all;
use ruleiq_scope::CausalToken;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{self, Instant},
};
use tokio_postgres::Client;

pub(crate) use self::route::read_session;
use self::{
    monitor::Bell,
    view::{Known, Report, Standing, View},
};
use super::{
    ConnectError, PostgresConfig, ReplicaConfig,
    connect::Connector,
    counters::Counters,
    engine::LONGEST,
    pool::Pool,
    tuning::{self, Standbys},
};
use crate::{BuildError, ReplicaRole, ReplicaStats, RoutingStats};

/// How long a connection waits for each server to be asked once.
const SURVEY: Duration = Duration::from_millis(1_500);
/// Between two questions to a server.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Of how a standby is left out after a failure: at first, and at most.
const SHORTEST_BAN: Duration = Duration::from_millis(250);
const LONGEST_BAN: Duration = Duration::from_secs(30);

const WRITTEN: &str = "SELECT pg_current_wal_insert_lsn()";
/// With the timeline that it has reached, which may be one that nobody has told us of yet.
const REPLAYED: &str = "\
    SELECT pg_last_wal_replay_lsn(), \
        greatest((SELECT received_tli FROM pg_stat_wal_receiver), \
            (SELECT timeline_id FROM pg_control_checkpoint()), \
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()))";

/// The servers of a URL.
pub(crate) struct Cluster {
    members: Vec<Member>,
    view: Mutex<View>,
    /// Raised whenever another server, or another timeline, takes the writes.
    era: AtomicU64,
    /// Told of each answer.
    answers: watch::Sender<()>,
    config: ReplicaConfig,
    /// Of the reads, what goes to standbys: the bits of a float between 0 and 1.
    share: AtomicU64,
    counts: Counts,
    is_closed: AtomicBool,
}

/// One server.
struct Member {
    /// Host and port.
    name: String,
    /// Its connections for reading.
    pool: Arc<Pool>,
    bell: Bell,
    ban: Mutex<Ban>,
    /// Why it cannot be asked.
    fault: Mutex<Option<String>>,
    /// Reads that were led here.
    reads: AtomicU64,
}

/// Since a read could not be led there.
#[derive(Debug, Default)]
struct Ban {
    failures: u32,
    until: Option<Instant>,
}

/// Reads that were led to the primary, by reason, and what became of tokens.
#[derive(Debug, Default)]
struct Counts {
    /// No standby could be read.
    no_standby: AtomicU64,
    /// No standby had come far enough in time.
    behind: AtomicU64,
    /// It was wanted so.
    wanted: AtomicU64,
    lost_tokens: AtomicU64,
    foreign_tokens: AtomicU64,
}

/// Where a connection leads.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    system: u64,
    timeline: u32,
    era: u64,
    /// Asks how far the server has written, or replayed.
    position: tokio_postgres::Statement,
}

/// Which server a connection is for.
#[derive(Clone)]
pub(crate) enum Wanted {
    /// The one that takes writes.
    Primary(Arc<Cluster>),
    /// The only one of the connector, to read from.
    Member,
}

impl Cluster {
    pub(crate) fn new(
        config: &PostgresConfig,
        replicas: ReplicaConfig,
        connector: &Connector,
        counters: &Counters,
        runtime: &Handle,
    ) -> Result<Arc<Cluster>, BuildError> {
        let has_hosts = connector.hosts() > 1;
        let is_share = (0.0..=1.0).contains(&replicas.share);
        if !has_hosts || !is_share || config.transaction_pooling {
            return Err(BuildError::Replicas);
        }
        let reading = PostgresConfig {
            size: replicas.size.unwrap_or(config.size),
            max_overflow: replicas.max_overflow.unwrap_or(config.max_overflow),
            replicas: None,
            ..config.clone()
        };
        let mut members = Vec::new();
        let mut watched = Vec::new();
        for connector in connector.of_each() {
            watched.push(Arc::new(connector.clone()));
            members.push(Member {
                name: connector.server(),
                pool: Pool::with(&reading, connector, counters.clone(), runtime, None)?,
                bell: Arc::default(),
                ban: Mutex::default(),
                fault: Mutex::default(),
                reads: AtomicU64::new(0),
            });
        }
        let every = replicas.check_every.max(SHORTEST_PAUSE);
        let cluster = Arc::new(Cluster {
            view: Mutex::new(View::new(members.len(), replicas.max_lag)),
            members,
            era: AtomicU64::new(0),
            answers: watch::Sender::default(),
            share: AtomicU64::new(replicas.share.to_bits()),
            config: replicas,
            counts: Counts::default(),
            is_closed: AtomicBool::new(false),
        });
        for (member, connector) in watched.into_iter().enumerate() {
            let watching = monitor::watch(Arc::downgrade(&cluster), member, connector, every);
            runtime.spawn(watching);
        }
        Ok(cluster)
    }

    /// What a server has said, or that it has said nothing.
    fn note(&self, member: usize, report: Option<Report>, now: Instant) {
        let (before, after, was, standing) = {
            let mut view = self.view();
            let was = view.standing(member, now);
            let before = (view.primary(), view.timeline(), view.rivals());
            view.note(member, report, now);
            let after = (view.primary(), view.timeline(), view.rivals());
            self.raise_era((before.0, before.1), (after.0, after.1));
            (before, after, was, view.standing(member, now))
        };
        self.answers.send_replace(());
        if before != after {
            self.tell(after.0, after.1, after.2);
            // The others may know more.
            self.ring();
        }
        if standing == Standing::Foreign && was != Standing::Foreign {
            let server = &self.members[member].name;
            tracing::error!(
                server,
                "a server is of another database cluster, and is not used"
            );
        }
    }

    /// Writes on the old connections are over before anybody can learn that there is another primary.
    fn raise_era(&self, before: (Option<usize>, u32), after: (Option<usize>, u32)) {
        if before != after {
            self.era.fetch_add(1, Release);
        }
    }

    fn tell(&self, primary: Option<usize>, timeline: u32, rivals: Option<(usize, usize)>) {
        let name = |member: usize| self.members[member].name.as_str();
        if let Some((first, second)) = rivals {
            tracing::error!(
                first = name(first),
                second = name(second),
                timeline,
                "two servers take writes on the same timeline: stop one of them"
            );
        }
        match primary {
            Some(primary) => tracing::info!(server = name(primary), timeline, "the primary"),
            None => tracing::warn!(timeline, "no server takes writes"),
        }
    }

    /// Has all servers asked at once.
    fn ring(&self) {
        for member in &self.members {
            member.bell.notify_one();
        }
    }

    fn woken(&self, member: usize) -> Bell {
        Arc::clone(&self.members[member].bell)
    }

    /// Hears of a timeline from elsewhere. Whoever was the primary is not, if it is a later one.
    fn hear(&self, system: u64, timeline: u32) {
        {
            let mut view = self.view();
            if view.system() != Some(system) {
                return;
            }
            let before = (view.primary(), view.timeline());
            view.hear(timeline);
            self.raise_era(before, (view.primary(), view.timeline()));
        }
        self.ring();
    }

    /// Waits until each server has been asked.
    async fn survey(&self) {
        let is_complete = || self.view().is_complete();
        self.wait_until(is_complete, Instant::now() + SURVEY).await;
    }

    /// The place of the primary among the servers. Waits until each has been asked.
    pub(crate) async fn primary(&self) -> Result<usize, ConnectError> {
        self.survey().await;
        let view = self.view();
        if let Some(primary) = view.primary() {
            return Ok(primary);
        }
        let name = |member: usize| self.members[member].name.clone();
        Err(match view.rivals() {
            Some((first, second)) => ConnectError::TwoPrimaries {
                first: name(first),
                second: name(second),
            },
            None => ConnectError::NoPrimary {
                found: self.found(&view),
            },
        })
    }

    /// What each server is, for people.
    fn found(&self, view: &View) -> String {
        let now = Instant::now();
        let found = self.members.iter().enumerate().map(|(at, member)| {
            let what = match view.standing(at, now) {
                Standing::Primary => "takes writes".to_owned(),
                Standing::Standby { .. } => "is a standby".to_owned(),
                Standing::Foreign => "is of another database cluster".to_owned(),
                Standing::Superseded => "is an old primary".to_owned(),
                Standing::Diverged => "is a standby that has gone its own way".to_owned(),
                Standing::Unreachable => match &*member.fault() {
                    Some(fault) => fault.clone(),
                    None => "does not answer".to_owned(),
                },
            };
            format!("{}: {what}", member.name)
        });
        found.collect::<Vec<_>>().join("; ")
    }

    /// All of them, for people.
    fn servers(&self) -> String {
        let names = self.members.iter().map(|it| it.name.as_str());
        names.collect::<Vec<_>>().join(",")
    }

    /// Notes why a server cannot be asked, and tells of it once.
    fn note_fault(&self, member: usize, fault: Option<String>) {
        let member = &self.members[member];
        let mut last = member.fault();
        if let Some(fault) = fault.as_ref().filter(|_| last.is_none()) {
            tracing::warn!(
                server = member.name,
                fault,
                "a server cannot be asked what it is"
            );
        }
        *last = fault;
    }

    /// Waits until it is so, for no longer than that.
    async fn wait_until(&self, is_so: impl Fn() -> bool, until: Instant) {
        let until = ruleiq_scope::deadline().map_or(until, |deadline| deadline.min(until));
        let mut answers = self.answers.subscribe();
        let waiting = async {
            while !is_so() {
                if answers.changed().await.is_err() {
                    return;
                }
            }
        };
        time::timeout_at(until, waiting).await.ok();
    }

    /// Learns where a connection leads, and whether it may be used.
    pub(crate) async fn admit(
        &self,
        client: &Client,
        server: String,
    ) -> Result<Origin, ConnectError> {
        let era = self.era.load(Acquire);
        let (report, position) =
            futures_util::try_join!(monitor::ask(client), client.prepare(WRITTEN))?;
        let Some(Report {
            is_standby: false,
            system,
            timeline,
            ..
        }) = report
        else {
            self.ring();
            return Err(ConnectError::WrongRole { address: server });
        };
        let is_ours = {
            let view = self.view();
            view.system() == Some(system) && view.timeline() == timeline
        };
        if !is_ours {
            self.ring();
            return Err(ConnectError::Superseded { address: server });
        }
        Ok(Origin {
            system,
            timeline,
            era,
            position,
        })
    }

    /// Whether a connection of that era leads to the primary of now.
    pub(crate) fn is_current(&self, origin: &Origin) -> bool {
        self.era.load(Acquire) == origin.era
    }

    /// Whether reads may be led to a server that stands so.
    fn is_fit(&self, member: usize, standing: Standing, now: Instant) -> bool {
        let Standing::Standby { lag } = standing else {
            return false;
        };
        let ban = self.members[member].ban();
        lag.time <= self.config.max_lag
            && lag.bytes <= self.config.max_lag_bytes
            && ban.until.is_none_or(|until| until <= now)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    pub(crate) async fn close(&self) {
        self.is_closed.store(true, Relaxed);
        self.ring();
        join_all(self.members.iter().map(|it| it.pool.close())).await;
    }

    /// What part of the reads goes to standbys.
    fn share(&self) -> f64 {
        f64::from_bits(self.share.load(Relaxed))
    }

    pub(crate) fn set_share(&self, share: f64) {
        self.share.store(share.clamp(0.0, 1.0).to_bits(), Relaxed);
    }

    /// The connections for reading, of all servers.
    pub(crate) fn pools(&self) -> Vec<Arc<Pool>> {
        let pools = self.members.iter().map(|it| Arc::clone(&it.pool));
        pools.collect()
    }

    /// How those do that are read. None where there are none.
    pub(crate) fn standbys(&self) -> Option<Standbys> {
        let now = Instant::now();
        let fit: Vec<&Member> = {
            let view = self.view();
            let all = self.members.iter().enumerate();
            all.filter(|(at, _)| self.is_fit(*at, view.standing(*at, now), now))
                .map(|(_, member)| member)
                .collect()
        };
        let (mut in_use, mut most) = (0.0, 0);
        let mut waits = false;
        for member in &fit {
            let stats = member.pool.stats();
            let limit = stats.size + stats.max_overflow;
            let usage = member.pool.tuner().usage(limit);
            in_use += usage.in_use;
            most += limit;
            waits |= tuning::waits(&usage);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "there are fewer than 2^52 connections"
        )]
        let utilization = in_use / most as f64;
        (most > 0).then(|| Standbys {
            share: self.share(),
            utilization,
            waits,
        })
    }

    /// Connections that each server may have beyond those of the pool, in the worst case.
    pub(crate) fn connections_each(&self) -> usize {
        let pools = self.members.iter().map(|it| it.pool.stats());
        let most = pools.map(|it| it.size + it.max_overflow).max();
        // And one that asks.
        most.unwrap_or(0) + 1
    }

    pub(crate) fn routing(&self) -> RoutingStats {
        let counts = &self.counts;
        RoutingStats {
            wanted: counts.wanted.load(Relaxed),
            behind: counts.behind.load(Relaxed),
            no_standby: counts.no_standby.load(Relaxed),
            lost_tokens: counts.lost_tokens.load(Relaxed),
            foreign_tokens: counts.foreign_tokens.load(Relaxed),
        }
    }

    pub(crate) fn stats(&self) -> Vec<ReplicaStats> {
        let now = Instant::now();
        let stats = |(at, member): (usize, &Member)| {
            let standing = self.view().standing(at, now);
            let (role, lag) = match standing {
                Standing::Primary => (ReplicaRole::Primary, None),
                Standing::Standby { lag } if self.is_fit(at, standing, now) => {
                    (ReplicaRole::Standby, Some(lag))
                }
                Standing::Standby { lag } => (ReplicaRole::LeftOut, Some(lag)),
                Standing::Unreachable => (ReplicaRole::Unreachable, None),
                Standing::Foreign => (ReplicaRole::Foreign, None),
                Standing::Superseded => (ReplicaRole::Superseded, None),
                Standing::Diverged => (ReplicaRole::Diverged, None),
            };
            ReplicaStats {
                server: member.name.clone(),
                role,
                lag_bytes: lag.map(|it| it.bytes).filter(|it| *it < u64::MAX),
                lag: lag.map(|it| it.time).filter(|it| *it < LONGEST),
                reads: member.reads.load(Relaxed),
                connections: member.pool.stats(),
            }
        };
        self.members.iter().enumerate().map(stats).collect()
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // Nothing panics while it is held but an allocation.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn ban(&self) -> MutexGuard<'_, Ban> {
        self.ban.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It could not be read from.
    fn failed(&self, now: Instant) {
        let mut ban = self.ban();
        if ban.until.is_some_and(|until| until > now) {
            // Others have noticed at the same time.
            return;
        }
        let pause = SHORTEST_BAN.saturating_mul(1 << ban.failures.min(16));
        ban.failures = ban.failures.saturating_add(1);
        ban.until = Some(now + pause.min(LONGEST_BAN).mul_f64(1.0 - 0.5 * fastrand::f64()));
        drop(ban);
        self.bell.notify_one();
    }

    fn succeeded(&self) {
        let mut ban = self.ban();
        if ban.failures > 0 {
            *ban = Ban::default();
        }
    }
}

impl Origin {
    /// Of a connection for reading.
    pub(crate) async fn of_member(client: &Client) -> Result<Origin, ConnectError> {
        Ok(Origin {
            system: 0,
            timeline: 0,
            era: 0,
            position: client.prepare(REPLAYED).await?,
        })
    }

    pub(crate) fn position(&self) -> &tokio_postgres::Statement {
        &self.position
    }

    /// The token of what was written up to there.
    pub(crate) fn token(&self, lsn: u64) -> CausalToken {
        CausalToken {
            system: self.system,
            timeline: self.timeline,
            lsn,
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wanted::Primary(_) => "Primary",
            Wanted::Member => "Member",
        })
    }
}
