//! The scope of one request or job, and the task-local that holds the current one.
//!
//! A scope is a handle: clones share one record. It follows the task in which it was
//! [run](Scope::run), not the tasks that this one spawns; those must be run in it too.

use std::{
    borrow::Cow,
    future::Future,
    iter,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ruleiq_query::Fingerprint;
use tokio::time::Instant;

use crate::{CausalToken, StatementRun, StatementUse, Statements};

tokio::task_local! {
    static CURRENT: Scope;
}

/// What one request or job may still spend and has spent so far.
#[derive(Clone, Debug)]
pub struct Scope {
    record: Arc<Record>,
    reading_primary: bool,
}

/// Options of a [`Scope`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    route: Option<Cow<'static, str>>,
    deadline: Option<Instant>,
    causal_token: Option<CausalToken>,
    outer: Option<Scope>,
}

/// Where the time of a scope went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Times {
    /// Waiting for a connection.
    pub queue: Duration,
    /// Waiting for the database. Statements that ran side by side count each.
    pub database: Duration,
    /// Waiting for the cache's second tier.
    pub cache: Duration,
}

/// What a scope has recorded.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The statements that ran.
    pub statements: Statements,
    /// Where the time went.
    pub times: Times,
    /// Cache look-ups that found a value.
    pub cache_hits: u32,
    /// Cache look-ups that did not.
    pub cache_misses: u32,
}

/// Counts a transaction as open for as long as it lives.
#[derive(Debug)]
#[must_use = "the transaction counts as open until this is dropped"]
pub struct OpenTransaction(Arc<Record>);

#[derive(Debug)]
struct Record {
    route: Option<Cow<'static, str>>,
    deadline: Option<Instant>,
    causal_token: Mutex<Option<CausalToken>>,
    has_written: AtomicBool,
    statements: Mutex<Statements>,
    queue_ns: AtomicU64,
    database_ns: AtomicU64,
    cache_ns: AtomicU64,
    cache_hits: AtomicU32,
    cache_misses: AtomicU32,
    open_transactions: AtomicU32,
    /// A bit for each statement that has begun; several may share one.
    begun: AtomicU64,
    outer: Option<Arc<Record>>,
}

impl Scope {
    /// The options of a scope.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The scope that the current task runs in.
    pub fn current() -> Option<Scope> {
        CURRENT.try_with(Scope::clone).ok()
    }

    /// Runs a future inside the scope.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        // An `async fn` would hold the future twice, and copy it each time.
        CURRENT.scope(self, future)
    }

    /// The route's template, such as `/assessments/{id}`, or the job's name.
    pub fn route(&self) -> Option<&str> {
        self.record.route.as_deref()
    }

    /// When the answer is of no use any more.
    pub fn deadline(&self) -> Option<Instant> {
        self.record.deadline
    }

    /// The same scope, for work that must see all that has been committed: whoever reads inside it
    /// reads the primary.
    #[must_use]
    pub fn reading_primary(&self) -> Scope {
        Scope {
            record: Arc::clone(&self.record),
            reading_primary: true,
        }
    }

    /// Whether reads must go to the primary.
    pub fn is_reading_primary(&self) -> bool {
        self.reading_primary
    }

    /// The position that reads must have reached: that of the last commit, or the caller's.
    pub fn causal_token(&self) -> Option<CausalToken> {
        *lock(&self.record.causal_token)
    }

    /// Sets the position that later reads must have reached. Of two on one timeline the later stays,
    /// whichever is set last: statements that run side by side end in any order. One of a later timeline is later.
    pub fn set_causal_token(&self, token: CausalToken) {
        let is_later = |it: &CausalToken| {
            it.system == token.system && (it.timeline, it.lsn) > (token.timeline, token.lsn)
        };
        for record in self.record.and_outer() {
            record.has_written.store(true, Relaxed);
            let mut current = lock(&record.causal_token);
            if !current.as_ref().is_some_and(is_later) {
                *current = Some(token);
            }
        }
    }

    /// The position that reads must have reached, if something was written in this scope.
    pub fn written_token(&self) -> Option<CausalToken> {
        let has_written = self.record.has_written.load(Relaxed);
        self.causal_token().filter(|_| has_written)
    }

    /// Counts a transaction as open until the guard is dropped.
    pub fn open_transaction(&self) -> OpenTransaction {
        self.record.open_transactions.fetch_add(1, Relaxed);
        OpenTransaction(Arc::clone(&self.record))
    }

    /// How many transactions of this scope are open.
    pub fn open_transactions(&self) -> u32 {
        self.record.open_transactions.load(Relaxed)
    }

    /// Notes that a statement begins, and answers whether it probably has before: then what it is run
    /// with is worth a look. It costs one atomic operation, and says no at the first time for most.
    #[inline]
    pub fn begins_again(
        &self,
        fingerprint: Fingerprint,
        call_site: &'static Location<'static>,
    ) -> bool {
        let place = u64::from(call_site.line()) << 8 ^ u64::from(call_site.column());
        let bit = 1 << (fingerprint.as_u64().wrapping_add(place) % u64::from(u64::BITS));
        let mut again = false;
        for record in self.record.and_outer() {
            again |= record.begun.fetch_or(bit, Relaxed) & bit != 0;
        }
        again
    }

    /// Logs a statement and adds its time to the database's.
    #[inline]
    pub fn record_statement(&self, run: StatementRun) {
        if let Some(outer) = &self.record.outer {
            outer.log_there_too(&run);
        }
        self.record.log(run);
    }

    /// Adds time spent waiting for a connection.
    pub fn record_queue(&self, elapsed: Duration) {
        self.record
            .and_outer()
            .for_each(|it| add(&it.queue_ns, elapsed));
    }

    /// Adds time spent waiting for the cache's second tier.
    pub fn record_cache(&self, elapsed: Duration) {
        self.record
            .and_outer()
            .for_each(|it| add(&it.cache_ns, elapsed));
    }

    /// What has been recorded so far.
    pub fn summary(&self) -> Summary {
        Summary {
            statements: lock(&self.record.statements).clone(),
            times: self.times(),
            cache_hits: self.record.cache_hits.load(Relaxed),
            cache_misses: self.record.cache_misses.load(Relaxed),
        }
    }

    /// Where the time went so far.
    pub fn times(&self) -> Times {
        let read = |ns: &AtomicU64| Duration::from_nanos(ns.load(Relaxed));
        Times {
            queue: read(&self.record.queue_ns),
            database: read(&self.record.database_ns),
            cache: read(&self.record.cache_ns),
        }
    }

    /// How many statements have run so far.
    pub fn statement_count(&self) -> u64 {
        lock(&self.record.statements).count()
    }

    /// Those that have run so often, each from one place, in the order in which they were first run.
    /// Where there are none, nothing is allocated.
    pub fn repeated_statements(&self, least: u32) -> Vec<StatementUse> {
        lock(&self.record.statements).repeated(least)
    }
}

impl Record {
    /// This one, and those that are told what it is told.
    fn and_outer(&self) -> impl Iterator<Item = &Record> {
        iter::successors(Some(self), |it| it.outer.as_deref())
    }

    #[cold]
    fn log_there_too(&self, run: &StatementRun) {
        for record in self.and_outer() {
            record.log(run.clone());
        }
    }

    #[inline]
    fn log(&self, run: StatementRun) {
        add(&self.database_ns, run.elapsed);
        lock(&self.statements).record(run);
    }
}

impl Builder {
    /// The route's template, or the job's name. Never the path itself: it is unbounded.
    pub fn route(mut self, route: impl Into<Cow<'static, str>>) -> Builder {
        self.route = Some(route.into());
        self
    }

    /// When the answer is of no use any more. Default: never.
    pub fn deadline(mut self, deadline: Instant) -> Builder {
        self.deadline = Some(deadline);
        self
    }

    /// The position that the caller has seen and its reads must have reached.
    pub fn causal_token(mut self, token: CausalToken) -> Builder {
        self.causal_token = Some(token);
        self
    }

    /// The scope that this one is a part of: what is recorded in this one, statements, times and cache
    /// look-ups, is recorded there, too, and so is what it writes; its reads see what was written there before.
    /// Default: none.
    pub fn within(mut self, outer: Scope) -> Builder {
        self.outer = Some(outer);
        self
    }

    /// The scope.
    pub fn build(self) -> Scope {
        let outer = || self.outer.as_ref()?.causal_token();
        let causal_token = self.causal_token.or_else(outer);
        Scope {
            record: Arc::new(Record {
                route: self.route,
                deadline: self.deadline,
                causal_token: Mutex::new(causal_token),
                has_written: AtomicBool::new(false),
                statements: Mutex::default(),
                queue_ns: AtomicU64::new(0),
                database_ns: AtomicU64::new(0),
                cache_ns: AtomicU64::new(0),
                cache_hits: AtomicU32::new(0),
                cache_misses: AtomicU32::new(0),
                open_transactions: AtomicU32::new(0),
                begun: AtomicU64::new(0),
                outer: self.outer.map(|it| it.record),
            }),
            reading_primary: false,
        }
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.0.open_transactions.fetch_sub(1, Relaxed);
    }
}

/// The deadline of the current scope.
pub fn deadline() -> Option<Instant> {
    CURRENT.try_with(Scope::deadline).ok().flatten()
}

/// Whether reads of the current scope must go to the primary.
pub fn is_reading_primary() -> bool {
    CURRENT.try_with(Scope::is_reading_primary).unwrap_or(false)
}

/// Counts a cache look-up that found a value, where there is a scope.
pub fn record_cache_hit() {
    count(|record| &record.cache_hits);
}

/// Counts a cache look-up that found nothing, where there is a scope.
pub fn record_cache_miss() {
    count(|record| &record.cache_misses);
}

fn count(counter: impl Fn(&Record) -> &AtomicU32) {
    let count = |scope: &Scope| {
        for record in scope.record.and_outer() {
            let counted = counter(record).fetch_add(1, Relaxed);
            debug_assert!(counted < u32::MAX, "a counter of the scope overflowed");
        }
    };
    // Outside a scope there is nobody to count for.
    CURRENT.try_with(count).unwrap_or_default();
}

fn add(total_ns: &AtomicU64, elapsed: Duration) {
    // 584 years fit.
    total_ns.fetch_add(
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        Relaxed,
    );
}

/// No lock is held across anything that can panic but an allocation, and the data stay whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use ruleiq_query::Shape;

    use super::*;

    fn record(scope: &Scope, sql: &str) {
        scope.record_statement(StatementRun {
            shape: Shape::of(sql),
            call_site: Location::caller(),
            arguments: None,
            rows: 3,
            elapsed: Duration::from_millis(2),
        });
    }

    #[tokio::test]
    async fn outside_a_scope_there_is_nothing() {
        assert!(Scope::current().is_none());
        assert_eq!(deadline(), None);
        assert!(!is_reading_primary());
        record_cache_hit();
    }

    #[tokio::test]
    async fn a_scope_is_seen_by_all_that_runs_in_it() {
        let at = Instant::now() + Duration::from_secs(1);
        let scope = Scope::builder().route("/x/{id}").deadline(at).build();

        scope
            .clone()
            .run(async {
                assert_eq!(deadline(), Some(at));
                record_cache_hit();
                record_cache_miss();
                record_cache_miss();
                record(&Scope::current().unwrap(), "select 1");
                tokio::join!(
                    async { record(&Scope::current().unwrap(), "select 2") },
                    async { record(&Scope::current().unwrap(), "select a") },
                );
            })
            .await;

        let summary = scope.summary();
        assert_eq!(scope.route(), Some("/x/{id}"));
        assert_eq!((summary.cache_hits, summary.cache_misses), (1, 2));
        assert_eq!(summary.statements.count(), 3);
        assert_eq!(summary.statements.distinct().len(), 2);
        assert_eq!(summary.times.database, Duration::from_millis(6));
        assert!(Scope::current().is_none());
    }

    #[tokio::test]
    async fn a_spawned_task_is_in_the_scope_only_if_it_is_run_in_it() {
        let scope = Scope::builder().build();
        let (without, within) = scope
            .clone()
            .run(async {
                let scope = Scope::current().unwrap();
                let without = tokio::spawn(async { Scope::current().is_some() });
                let within = tokio::spawn(scope.run(async { Scope::current().is_some() }));
                (without.await.unwrap(), within.await.unwrap())
            })
            .await;
        assert_eq!((without, within), (false, true));
    }

    #[tokio::test]
    async fn a_primary_read_ends_with_its_future_and_shares_the_record() {
        let scope = Scope::builder().build();
        scope
            .clone()
            .run(async {
                let load = Scope::current().unwrap().reading_primary();
                load.run(async {
                    assert!(is_reading_primary());
                    record_cache_hit();
                })
                .await;
                assert!(!is_reading_primary());
            })
            .await;
        assert_eq!(scope.summary().cache_hits, 1);
    }

    #[tokio::test]
    async fn a_dropped_transaction_is_no_longer_open() {
        let scope = Scope::builder().build();
        let first = scope.open_transaction();
        let second = scope.open_transaction();
        assert_eq!(scope.open_transactions(), 2);
        drop((first, second));
        assert_eq!(scope.open_transactions(), 0);
    }

    #[tokio::test]
    async fn what_is_recorded_in_a_scope_is_recorded_in_those_that_it_is_within() {
        let outer = Scope::builder().build();
        let middle = Scope::builder().within(outer.clone()).build();
        let inner = Scope::builder().within(middle.clone()).build();
        record(&middle, "select a");
        inner
            .clone()
            .run(async {
                record(&inner, "select a");
                record_cache_miss();
                inner.record_queue(Duration::from_millis(1));
            })
            .await;

        for (scope, count, misses) in [(&outer, 2, 1), (&middle, 2, 1), (&inner, 1, 1)] {
            let summary = scope.summary();
            assert_eq!(summary.statements.count(), count);
            assert_eq!(summary.cache_misses, misses);
            assert_eq!(summary.times.queue, Duration::from_millis(1));
            assert_eq!(summary.times.database, Duration::from_millis(2 * count));
        }
    }

    #[test]
    fn a_statement_that_begins_again_is_known_to_the_scope_and_to_the_outer_one() {
        let (first, second) = (Fingerprint::of("select a"), Fingerprint::of("select b"));
        let here = Location::caller();
        let outer = Scope::builder().build();
        let within = || Scope::builder().within(outer.clone()).build();
        let scope = within();
        assert!(!scope.begins_again(first, here));
        assert!(!scope.begins_again(second, here));
        assert!(scope.begins_again(first, here));
        assert!(within().begins_again(second, here));
        assert!(!Scope::builder().build().begins_again(first, here));
    }
}
