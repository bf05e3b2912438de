//! Trying advice out: on a copy of the database, statements are run with the indexes and without.
//!
//! The planner takes what seems cheapest, and so also what only seems to be: it spreads the pages
//! that an inner index scan reads over as many scans as the other table has rows (`indxpath.c`,
//! `get_loop_count`), however few the join makes of it, and takes columns for independent. What that does is seen by
//! running alone (Marcus et al. 2021, "Bao", and Yadav et al. 2023, "AIM", on plans that became
//! slower).
//!
//! All is done in one transaction that is rolled back. The statements are those of the caller: each
//! runs in a savepoint that only reads. An index counts for what is there without it: its statistics of an
//! expression, too, change plans that do not take it.

mod course;
mod indexes;
mod options;
mod report;
mod runs;

use std::time::Duration;

use ruleiq_query::{Error as QueryError, Queries};
use tokio::time::{Instant, sleep};

use crate::{Advice, Error, Workload, duration, transaction};

use self::course::Course;
pub use self::{
    options::{TrialOptions, TrialProgress, TrialStep},
    report::{DiscardReason, DiscardedIndex, NotRun, NotRunReason, Trial, TriedStatement},
};

/// How long others may take to leave.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a trial could not be made. No index is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The server refused a statement of ours, or the connection broke.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The connection is in a transaction, which a rollback would end.
    #[error("the connection is in a transaction; make a trial on one that is not")]
    InTransaction,
    /// Others would be locked out, and would disturb what is timed.
    #[error(
        "{clients} other clients are connected to the database, which a trial would lock out: make it on a \
         copy that nobody uses"
    )]
    InUse {
        /// How many.
        clients: i64,
    },
    /// An index cannot be built here, for a reason that is not its own: rights, locks, room, time.
    #[error("failed to build the index `{index}`")]
    Build {
        /// Its name.
        index: String,
        /// What the server says.
        source: QueryError,
    },
    /// There is nothing to compare.
    #[error("none of the {} statements could be run", not_run.len())]
    NothingRuns {
        /// Each with the reason.
        not_run: Vec<NotRun>,
    },
}

pub(crate) async fn run<Q: Queries>(
    queries: &Q,
    workload: &Workload,
    advice: &Advice,
    options: &TrialOptions,
    on_progress: impl FnMut(TrialProgress) + Send,
) -> Result<Trial, TrialError> {
    let is_open = transaction::is_open(queries).await.map_err(failed)?;
    if is_open {
        return Err(TrialError::InTransaction);
    }
    refuse_company(queries).await?;
    let limit_ms = duration::limit_ms(options.time);
    let begin = format!(
        "BEGIN READ WRITE; SET LOCAL statement_timeout = {limit_ms}; SET LOCAL lock_timeout = '5s'"
    );
    queries.batch_execute(&begin).await.map_err(failed)?;
    let course = Course::new(queries, workload, options, on_progress);
    let tried = course.run(advice).await;
    let ended = queries.batch_execute("ROLLBACK").await;
    let tried = tried?;
    ended.map_err(failed)?;
    Ok(tried)
}

/// Whoever is connected to the database would wait for locks; who has just gone may still be seen.
async fn refuse_company(queries: &impl Queries) -> Result<(), TrialError> {
    const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()";
    let began = Instant::now();
    loop {
        let row = queries.query_one(OTHERS, &[]).await.map_err(failed)?;
        match row.get(0) {
            0 => return Ok(()),
            clients if began.elapsed() >= PATIENCE => return Err(TrialError::InUse { clients }),
            _ => sleep(PATIENCE / 40).await,
        }
    }
}

fn failed(error: QueryError) -> Error {
    Error::reading("what a trial takes")(error)
}
