//! The handle that the advice is asked of.

use std::time::Duration;

use ruleiq_query::Queries;

use crate::{
    Advice, AdviseError, AdviseOptions, Builder, ChangeError, CreateIndexOptions, DatabaseOverview,
    Diagnosis, DroppableIndex, Error, ExplainAnalyze, ExplainError, HealthLimits, HealthReport,
    IndexAdvice, IndexCreation, Recommendation, SearchProgress, SlowQueries, TableStats, Trial,
    TrialError, TrialOptions, TrialProgress, Workload, advise, explain, foreign_keys, health,
    overview, recommendation, slow_queries, table_name::TableName, table_stats, trial, workload,
};

/// Reading so few bytes as a whole costs no more than going through an index.
const DEFAULT_MIN_TABLE_BYTES: u64 = 64 * 1024;
/// Planning takes about ten round trips, and the statements with the most time come first.
const DEFAULT_MAX_PLANS: usize = 25;

/// Reads a database's own statistics and says what to do about them.
///
/// It only reads, and only what the role of the connection may see, unless a method's name says
/// that it changes something: `create_index`, `create`, `vacuum`, `analyze`, `trial`.
///
/// # Errors
///
/// Every method fails when a statement does; see [`Error::query_error`].
///
/// # Cancel safety
///
/// That of [`ruleiq_query::Read`], for the methods that read: nothing is left half done.
#[derive(Debug)]
pub struct DatabaseOptimizer<'a, Q, O = Q> {
    pub(crate) queries: &'a Q,
    pub(crate) observer: Option<&'a O>,
    min_table_bytes: u64,
    max_plans: usize,
}

impl<'a, Q: Queries> DatabaseOptimizer<'a, Q> {
    /// An optimizer that works through this connection.
    pub fn new(queries: &'a Q) -> DatabaseOptimizer<'a, Q> {
        DatabaseOptimizer::over(queries, None)
    }

    /// The options of an optimizer that works through this connection.
    pub fn builder(queries: &'a Q) -> Builder<'a, Q> {
        Builder::new(queries)
    }
}

impl<'a, Q: Queries, O: Queries> DatabaseOptimizer<'a, Q, O> {
    pub(crate) fn over(queries: &'a Q, observer: Option<&'a O>) -> DatabaseOptimizer<'a, Q, O> {
        DatabaseOptimizer {
            queries,
            observer,
            min_table_bytes: DEFAULT_MIN_TABLE_BYTES,
            max_plans: DEFAULT_MAX_PLANS,
        }
    }

    /// The size from which on a table deserves an index, in bytes of its rows. Default: 64 KiB.
    ///
    /// With 0, empty tables are reported too, which suits a schema that is yet to be filled.
    #[must_use]
    pub fn min_table_bytes(mut self, bytes: u64) -> DatabaseOptimizer<'a, Q, O> {
        self.min_table_bytes = bytes;
        self
    }

    /// How many slow statements are planned, those with the most time first. Default: 25.
    ///
    /// With 0, none is, and [`analyze_slow_queries`](DatabaseOptimizer::analyze_slow_queries) opens no
    /// transaction.
    #[must_use]
    pub fn max_plans(mut self, plans: usize) -> DatabaseOptimizer<'a, Q, O> {
        self.max_plans = plans;
        self
    }

    /// The foreign keys that no index serves, those of the largest tables first.
    ///
    /// # Errors
    ///
    /// When a statement fails.
    pub async fn recommend_indexes(&self) -> Result<Vec<Recommendation>, Error> {
        let missing = foreign_keys::without_index(self.queries, self.min_table_bytes).await?;
        let taken = foreign_keys::taken_names(self.queries, &missing).await?;
        Ok(recommendation::recommend(missing, taken))
    }

    /// The statements that `pg_stat_statements` has recorded of this database, at most 200.
    ///
    /// # Errors
    ///
    /// When nothing is recorded, or a statement fails.
    pub async fn recorded_workload(&self) -> Result<Workload, AdviseError> {
        workload::recorded::read(self.queries).await
    }

    /// The indexes that serve a workload best, each tried out by the planner.
    ///
    /// `on_progress` is told of each better set. No statement of the workload is run; see
    /// [`trial`](DatabaseOptimizer::trial).
    ///
    /// # Errors
    ///
    /// When HypoPG is not installed, no statement can be planned, or a statement fails.
    ///
    /// # Cancel safety
    ///
    /// When it returns, with advice or an error, no hypothetical index, prepared statement or setting is
    /// left, unless the connection is lost. Dropped, it may leave a transaction open, settings changed and
    /// hypothetical indexes in `EXPLAIN`s of the same session, on a client of the driver's own:
    /// `ROLLBACK; RESET ALL` before the client is used again. The next call forgets the indexes
    /// and the prepared statement. `ruleiq-pools` closes such a connection.
    pub async fn advise(
        &self,
        workload: &Workload,
        options: &AdviseOptions,
        on_progress: impl FnMut(SearchProgress) + Send,
    ) -> Result<Advice, AdviseError> {
        advise::advise(self.queries, workload, options, on_progress).await
    }

    /// On a copy of the database, builds what was advised, runs the workload's statements with the
    /// indexes and without, and finds what has to be left out so that none of them becomes slower.
    ///
    /// The planner's costs are a belief: a plan that is cheaper by them may take longer. Only what reads is
    /// run, only what has no parameters, each statement several times and with this role's rights; what it
    /// answers is thrown away. The indexes are built in a transaction that is rolled back. While it lasts, it locks their tables
    /// against writing and, while an index is taken out, against reading; so it is refused where others
    /// are connected to the database. [`Advice::tried`] puts the answer into the advice.
    ///
    /// # Errors
    ///
    /// When the connection is in a transaction, others are connected, no statement can be run, or one of
    /// ours fails, such as for want of the tables' ownership. An index that the rows or the server do not allow is
    /// discarded.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves its transaction open on a client of the driver's own, and a statement may go on
    /// until its limit: roll back before the client is used again. `ruleiq-pools` closes such a
    /// connection.
    pub async fn trial(
        &self,
        workload: &Workload,
        advice: &Advice,
        options: &TrialOptions,
        on_progress: impl FnMut(TrialProgress) + Send,
    ) -> Result<Trial, TrialError> {
        trial::run(self.queries, workload, advice, options, on_progress).await
    }

    /// Makes an index that was advised, as [`create`](DatabaseOptimizer::create) does.
    ///
    /// # Errors
    ///
    /// Those of [`create`](DatabaseOptimizer::create).
    ///
    /// # Cancel safety
    ///
    /// That of [`create`](DatabaseOptimizer::create).
    pub async fn apply(
        &self,
        advice: &IndexAdvice,
        options: &CreateIndexOptions,
    ) -> Result<IndexCreation, ChangeError> {
        self.create(&advice.definition, options).await
    }

    /// The statements of this database whose mean or longest run took more than the threshold,
    /// those with the most time in all first.
    ///
    /// Each comes with the plan for any constants and what is wrong with it. Nothing is executed: a
    /// statement is prepared and explained in a transaction that only reads and is rolled back; within
    /// a transaction of the caller, in a savepoint.
    ///
    /// Without `pg_stat_statements`, or without the right to read it, the answer is empty and
    /// says so: see [`SlowQueries::degraded`].
    ///
    /// # Errors
    ///
    /// When a statement fails for another reason.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may leave its transaction open on a client of the driver's own: roll back before the
    /// client is used again. `ruleiq-pools` closes such a connection.
    pub async fn analyze_slow_queries(&self, threshold: Duration) -> Result<SlowQueries, Error> {
        slow_queries::analyze(self.queries, threshold, self.max_plans).await
    }

    /// What PostgreSQL has counted about a table or materialized view, or `None` if there is none
    /// of this name.
    ///
    /// The name is read as in SQL: `users`, `public.users`, `"Weird Name"`; without a schema, it
    /// is found as the connection's search path says.
    ///
    /// # Errors
    ///
    /// When a statement fails. A text that is no name names no table.
    pub async fn table_stats(&self, name: &str) -> Result<Option<TableStats>, Error> {
        match TableName::parse(name) {
            Some(name) => table_stats::read(self.queries, &name).await,
            None => Ok(None),
        }
    }

    /// The database as a whole: its size, connections and cache hits.
    ///
    /// # Errors
    ///
    /// When a statement fails.
    pub async fn overview(&self) -> Result<DatabaseOverview, Error> {
        overview::read(self.queries).await
    }

    /// What deserves attention in the database and on its server, by the default limits.
    ///
    /// # Errors
    ///
    /// When a statement fails for another reason than that the server refuses it; what it refuses is
    /// said in [`HealthReport::degraded`].
    ///
    /// # Cancel safety
    ///
    /// That of [`analyze_slow_queries`](DatabaseOptimizer::analyze_slow_queries): it reads in a
    /// transaction that only reads and is rolled back, within the caller's in a savepoint.
    pub async fn health(&self) -> Result<HealthReport, Error> {
        self.health_by(&HealthLimits::default()).await
    }

    /// What deserves attention in the database and on its server, by these limits.
    ///
    /// # Errors
    ///
    /// Those of [`health`](DatabaseOptimizer::health).
    pub async fn health_by(&self, limits: &HealthLimits) -> Result<HealthReport, Error> {
        health::report(self.queries, limits).await
    }

    /// The indexes that could be dropped: unused, duplicate, or the beginning of another; the same
    /// as [`HealthReport::droppable_indexes`].
    ///
    /// # Errors
    ///
    /// When a statement fails.
    pub async fn droppable_indexes(
        &self,
        limits: &HealthLimits,
    ) -> Result<Vec<DroppableIndex>, Error> {
        health::droppable_indexes(self.queries, limits).await
    }

    /// Runs a statement and says what it did and what is wrong with that.
    ///
    /// It runs in a transaction that is rolled back, has a time limit, and refuses to write unless
    /// [`allow_writes`](ExplainAnalyze::allow_writes) says that it may.
    ///
    /// # Errors
    ///
    /// When the connection is in a transaction, the statement writes or takes too long, or the
    /// server refuses it.
    ///
    /// # Cancel safety
    ///
    /// That of [`analyze_slow_queries`](DatabaseOptimizer::analyze_slow_queries); the statement may
    /// go on until its limit.
    pub async fn explain_analyze(
        &self,
        sql: &str,
        options: ExplainAnalyze,
    ) -> Result<Diagnosis, ExplainError> {
        explain::analyze(self.queries, sql, options).await
    }
}
