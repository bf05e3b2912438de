//! Who holds what: the line and the route of each checkout, and what is told of it.

use std::{
    collections::BTreeMap,
    fmt,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ruleiq_scope::Scope;
use tokio::time::Instant;

use super::{connection::Link, wire::Wire};
use crate::StatementCacheStats;

/// How many lines of code an error names.
const NAMED: usize = 3;

/// Whoever has a connection.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) call_site: &'static Location<'static>,
    pub(crate) scope: Option<Scope>,
    pub(crate) since: Instant,
    /// Whether it was told of as a leak.
    pub(crate) is_reported: bool,
    /// The transaction that it was told of for, by its beginning.
    pub(crate) reported_transaction: Option<Duration>,
}

/// From when on the log tells of a holder, if ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldLimits {
    /// Time since the checkout.
    pub(crate) checked_out: Option<Duration>,
    /// Age of the transaction.
    pub(crate) transaction: Option<Duration>,
}

/// A connection that is checked out, as [`PoolManager::held`](crate::PoolManager::held) tells it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeldConnection {
    /// The line that checked it out.
    pub call_site: &'static Location<'static>,
    /// The route or job, if it was checked out in one's scope.
    pub route: Option<String>,
    /// How long it has been out.
    pub held_for: Duration,
    /// How long its transaction has been open, if one is.
    pub transaction_for: Option<Duration>,
    /// Whether the server works for it. A transaction without work holds locks for nothing.
    pub is_running: bool,
}

/// The lines of code that hold the most connections.
#[derive(Clone, Debug, Default)]
pub struct Holders(Vec<HeldAt>);

/// The connections that one line of code holds.
#[derive(Clone, Debug)]
struct HeldAt {
    call_site: &'static Location<'static>,
    count: usize,
    longest: Duration,
    in_transaction: usize,
}

/// All connections that there are, and the sums of those that are no more.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Mutex<Vec<Weak<Link>>>,
    /// Answers that the server has given.
    answers: AtomicU64,
    statement_hits: AtomicU64,
    statement_misses: AtomicU64,
}

impl Links {
    pub(crate) fn add(&self, link: &Arc<Link>) {
        let mut links = self.lock();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    /// What is checked out, the longest first.
    pub(crate) fn held(&self, now: Instant) -> Vec<HeldConnection> {
        let mut held = Vec::new();
        for link in self.alive() {
            if let Some(holder) = &*link.holder() {
                held.push(HeldConnection::new(holder, link.wire(), now));
            }
        }
        held.sort_by_key(|held| std::cmp::Reverse(held.held_for));
        held
    }

    /// How long all that are out have been so, together.
    pub(crate) fn held_in_all(&self, now: Instant) -> Duration {
        let alive = self.alive();
        let since = alive.iter().filter_map(|link| {
            let holder = link.holder();
            holder.as_ref().map(|it| it.since)
        });
        since.map(|it| now.saturating_duration_since(it)).sum()
    }

    /// How many answers the server has given.
    pub(crate) fn answers(&self) -> u64 {
        let alive = self.alive();
        let alive = alive.iter().map(|link| link.wire().answers());
        self.answers.load(Relaxed) + alive.sum::<u64>()
    }

    pub(crate) fn statements(&self) -> StatementCacheStats {
        let ended = StatementCacheStats {
            kept: 0,
            hits: self.statement_hits.load(Relaxed),
            misses: self.statement_misses.load(Relaxed),
        };
        let alive = self.alive();
        let alive = alive.iter().map(|link| link.statements().stats());
        alive.fold(ended, StatementCacheStats::and)
    }

    /// How long the transaction has been open that has been for longest.
    pub(crate) fn oldest_transaction(&self) -> Option<Duration> {
        let alive = self.alive();
        let ages = alive
            .iter()
            .filter_map(|link| link.wire().transaction_age());
        ages.max()
    }

    /// Counts what one that is no more has done.
    pub(crate) fn ended(&self, wire: &Wire, statements: StatementCacheStats) {
        self.answers.fetch_add(wire.answers(), Relaxed);
        self.statement_hits.fetch_add(statements.hits, Relaxed);
        self.statement_misses.fetch_add(statements.misses, Relaxed);
    }

    /// Tells of each connection that has been out, or in a transaction, for too long: once.
    pub(crate) fn report(&self, now: Instant, limits: HoldLimits) {
        let is_over = |age: Duration, limit: Option<Duration>| limit.is_some_and(|it| age >= it);
        for link in self.alive() {
            let mut holder = link.holder();
            let Some(holder) = holder.as_mut() else {
                continue;
            };
            let held = HeldConnection::new(holder, link.wire(), now);
            if !holder.is_reported && is_over(held.held_for, limits.checked_out) {
                holder.is_reported = true;
                held.warn("a connection has been checked out for long: is it leaked?");
            }
            let transaction = link.wire().transaction_since();
            let age = held.transaction_for;
            if holder.reported_transaction != transaction
                && age.is_some_and(|age| is_over(age, limits.transaction))
            {
                holder.reported_transaction = transaction;
                held.warn("a transaction has been open for long: it keeps its locks");
            }
        }
    }

    fn alive(&self) -> Vec<Arc<Link>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Link>>> {
        // Nothing panics while it is held but an allocation, and the list stays whole.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    /// Says so if it was told of as a leak: it is none.
    pub(crate) fn came_back(&self, now: Instant) {
        if self.is_reported {
            tracing::info!(
                call_site = %self.call_site,
                held_ms = millis(now.saturating_duration_since(self.since)),
                "a connection that was checked out for long has come back"
            );
        }
    }
}

impl HeldConnection {
    fn new(holder: &Holder, wire: &Wire, now: Instant) -> HeldConnection {
        let route = holder.scope.as_ref().and_then(Scope::route);
        HeldConnection {
            call_site: holder.call_site,
            route: route.map(str::to_owned),
            held_for: now.saturating_duration_since(holder.since),
            transaction_for: wire.transaction_age(),
            is_running: wire.is_busy(),
        }
    }

    fn warn(&self, message: &'static str) {
        tracing::warn!(
            call_site = %self.call_site,
            route = self.route,
            held_ms = millis(self.held_for),
            transaction_ms = self.transaction_for.map(millis),
            is_running = self.is_running,
            "{message}"
        );
    }
}

impl Holders {
    pub(crate) fn of(held: &[HeldConnection]) -> Holders {
        let mut by_line = BTreeMap::new();
        for held in held {
            let at = by_line.entry(held.call_site).or_insert(HeldAt {
                call_site: held.call_site,
                count: 0,
                longest: Duration::ZERO,
                in_transaction: 0,
            });
            at.count += 1;
            at.longest = at.longest.max(held.held_for);
            at.in_transaction += usize::from(held.transaction_for.is_some() && !held.is_running);
        }
        let mut holders: Vec<HeldAt> = by_line.into_values().collect();
        holders.sort_by_key(|at| std::cmp::Reverse((at.count, at.longest)));
        Holders(holders)
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, held) in self.0.iter().take(NAMED).enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(
                f,
                "{separator}{} by {} (longest {} ms",
                held.count,
                held.call_site,
                millis(held.longest)
            )?;
            if held.in_transaction > 0 {
                write!(f, ", {} idle in a transaction", held.in_transaction)?;
            }
            f.write_str(")")?;
        }
        if self.0.len() > NAMED {
            write!(f, ", and others")?;
        }
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
