//! Watching a build through a second connection.

use std::time::Duration;

use ruleiq_query::Queries;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    options::CreateIndexOptions,
    report::Observation,
    session::{Facts, Session},
};
use crate::{ChangeError, count};

/// How far a build is, as `pg_stat_progress_create_index` tells.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The index under its passing name, with its schema, as it is written in SQL.
    pub index: String,
    /// What is being done, such as `building index: scanning table`; `None` while the table's lock is
    /// waited for.
    pub phase: Option<String>,
    /// Blocks of the table that were read in this phase.
    pub blocks_done: u64,
    /// Of so many.
    pub blocks_total: u64,
    /// Rows that were put in.
    pub rows_done: u64,
    /// Of so many.
    pub rows_total: u64,
    /// Transactions that have ended since this phase waits for them.
    pub lockers_done: u64,
    /// Of so many.
    pub lockers_total: u64,
    /// The server processes that the build waits for at this moment.
    pub waits_for: Vec<i32>,
}

const POLL: Duration = Duration::from_millis(250);
const OBSERVE_LIMIT: Duration = Duration::from_secs(5);

// Who blocks is asked for only where something is waited for: it stops all locking for a moment.
const PROGRESS: &str = "
SELECT it.phase, it.blocks_done, it.blocks_total, it.tuples_done, it.tuples_total,
       it.lockers_done, it.lockers_total,
       CASE WHEN it.phase IS NULL OR it.phase LIKE 'waiting%'
            THEN pg_blocking_pids(act.pid) ELSE '{}' END
FROM pg_stat_activity act
LEFT JOIN pg_stat_progress_create_index it ON it.pid = act.pid
WHERE act.pid = $1";

/// Only the process that is meant, and not a later one of its number.
const CANCEL: &str = "
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND backend_start = $2 AND state = 'active'";

/// One build, as its observer sees it.
pub(crate) struct Watch<'a, O> {
    pub(crate) observer: &'a Session<'a, O>,
    pub(crate) builder: &'a Facts,
    pub(crate) options: &'a CreateIndexOptions,
    pub(crate) index: &'a str,
    pub(crate) deadline: Instant,
}

impl<O: Queries> Watch<'_, O> {
    /// Watches until the build has ended, and cancels it at the deadline.
    pub(crate) async fn until(&self, mut ended: oneshot::Receiver<()>) -> Observation {
        let mut is_cancelled = false;
        while timeout(POLL, &mut ended).await.is_err() {
            let seen = match Instant::now() >= self.deadline && !is_cancelled {
                true => {
                    is_cancelled = true;
                    self.cancel().await
                }
                false => self.look().await,
            };
            if seen.is_err() {
                return Observation::Lost;
            }
        }
        Observation::Watched
    }

    async fn look(&self) -> Result<(), Lost> {
        let pid = self.builder.pid;
        let params: &[&(dyn ToSql + Sync)] = &[&pid];
        let rows = self.observer.query("the progress", PROGRESS, params);
        let rows = timeout(OBSERVE_LIMIT, rows).await??;
        if let (Some(row), Some(listener)) = (rows.first(), &self.options.listener) {
            listener(&Progress::of(row, self.index));
        }
        Ok(())
    }

    async fn cancel(&self) -> Result<(), Lost> {
        let (pid, started) = (self.builder.pid, self.builder.started);
        let params: &[&(dyn ToSql + Sync)] = &[&pid, &started];
        let rows = self.observer.query("the build", CANCEL, params);
        timeout(OBSERVE_LIMIT, rows).await??;
        Ok(())
    }
}

/// The observer is of no use any more.
struct Lost;

impl From<tokio::time::error::Elapsed> for Lost {
    fn from(_: tokio::time::error::Elapsed) -> Lost {
        Lost
    }
}

impl From<ChangeError> for Lost {
    fn from(_: ChangeError) -> Lost {
        Lost
    }
}

impl Progress {
    fn of(row: &Row, index: &str) -> Progress {
        let number = |at: usize| count::of(row.get::<_, Option<i64>>(at).unwrap_or(0));
        Progress {
            index: index.to_owned(),
            phase: row.get(0),
            blocks_done: number(1),
            blocks_total: number(2),
            rows_done: number(3),
            rows_total: number(4),
            lockers_done: number(5),
            lockers_total: number(6),
            waits_for: row.get(7),
        }
    }
}
