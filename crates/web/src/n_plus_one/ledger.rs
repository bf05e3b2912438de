//! What was told, so that it is not told with each request.

use std::{
    collections::HashMap,
    panic::Location,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruleiq_db_optimizer::n_plus_one::{Finding, Kind};
use serde::Serialize;
use tokio::time::Instant;

/// So many routes, statements and lines are told apart.
const ENTRIES: usize = 1_024;
/// How long one that was logged is not logged again.
const INTERVAL: Duration = Duration::from_secs(600);
/// So much of a statement and of its batched form is logged and kept, in bytes.
const TEXT_BYTES: usize = 1_024;

/// A finding over all requests of a route.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NPlusOneTold {
    /// The route's template, if the requests matched one.
    pub route: Option<String>,
    /// What is wrong.
    pub kind: Kind,
    /// The line that runs the statement.
    pub call_site: String,
    /// The statement without its constants, at most 1 KiB of it.
    pub statement: String,
    /// What to do about it, at most 1 KiB of it.
    pub advice: String,
    /// How many requests were found to do so.
    pub requests: u64,
    /// How often one request ran it at most.
    pub most: u32,
}

/// Findings by route, statement and line.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<HashMap<Key, Entry>>);

#[derive(Debug, Eq, Hash, PartialEq)]
struct Key {
    route: Option<Box<str>>,
    kind: Kind,
    fingerprint: u64,
    call_site: &'static Location<'static>,
}

#[derive(Debug)]
struct Entry {
    told: NPlusOneTold,
    logged: Instant,
}

impl Ledger {
    /// Keeps a finding, and answers whether it is time to log it. What there is no room for is counted by
    /// the metrics alone.
    pub(super) fn note(&self, route: Option<&str>, finding: &Finding) -> bool {
        let (now, key) = (Instant::now(), Key::of(route, finding));
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&key) {
            return entry.again(finding, now);
        }
        let has_room = entries.len() < ENTRIES;
        if has_room {
            let told = NPlusOneTold::first(route, finding);
            entries.insert(key, Entry { told, logged: now });
        }
        has_room
    }

    pub(super) fn told(&self) -> Vec<NPlusOneTold> {
        let mut told: Vec<NPlusOneTold> = self.lock().values().map(|it| it.told.clone()).collect();
        told.sort_by(|a, b| {
            let most = b.most.cmp(&a.most);
            most.then_with(|| (&a.route, &a.call_site).cmp(&(&b.route, &b.call_site)))
        });
        told
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        // Nothing panics while it is held but an allocation, and the map stays whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(route: Option<&str>, finding: &Finding) -> Key {
        Key {
            route: route.map(Box::from),
            kind: finding.kind,
            fingerprint: finding.fingerprint.as_u64(),
            call_site: finding.call_site,
        }
    }
}

impl Entry {
    fn again(&mut self, finding: &Finding, now: Instant) -> bool {
        self.told.requests += 1;
        self.told.most = self.told.most.max(finding.count);
        let is_due = now.saturating_duration_since(self.logged) >= INTERVAL;
        if is_due {
            self.logged = now;
        }
        is_due
    }
}

impl NPlusOneTold {
    fn first(route: Option<&str>, finding: &Finding) -> NPlusOneTold {
        NPlusOneTold {
            route: route.map(str::to_owned),
            kind: finding.kind,
            call_site: finding.call_site.to_string(),
            statement: cut(&finding.statement).to_owned(),
            advice: cut(&finding.advice()).to_owned(),
            requests: 1,
            most: finding.count,
        }
    }
}

/// One line for one finding.
pub(super) fn log(route: Option<&str>, finding: &Finding) {
    tracing::warn!(
        route,
        kind = finding.kind.as_str(),
        call_site = %finding.call_site,
        count = finding.count,
        rows = finding.rows,
        database_ms = finding.elapsed.as_secs_f64() * 1e3,
        share = finding.share,
        fingerprint = %finding.fingerprint,
        statement = cut(&finding.statement),
        advice = cut(&finding.advice()),
        "a request ran one statement again and again"
    );
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}
