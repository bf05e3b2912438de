//! What became of making an index.

use std::time::Duration;

use serde::Serialize;

use super::Obstacle;
use crate::duration;

/// What became of making an index.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum IndexCreation {
    /// It was made.
    Created(CreatedIndex),
    /// There is one that does the same, and nothing was made.
    Exists(ExistingIndex),
}

/// An index that is there and does what the wanted one would.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExistingIndex {
    /// Its name with its schema, as it is written in SQL.
    pub index: String,
    /// The statement that makes it.
    pub definition: String,
    /// Whether it holds just the same; else more, and the wanted one is its beginning.
    pub is_equal: bool,
}

/// An index that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CreatedIndex {
    /// Its name with its schema, as it is written in SQL.
    pub index: String,
    /// Its table with its schema, as it is written in SQL.
    pub table: String,
    /// The statements that ran, in this order.
    pub statements: Vec<String>,
    /// Its bytes, those of all partitions together.
    pub size_bytes: u64,
    /// How large it was thought to become; `None` where the table was never analyzed.
    pub estimated_bytes: Option<u64>,
    /// How long it took, in milliseconds when serialized.
    #[serde(rename = "elapsed_ms", with = "duration")]
    pub elapsed: Duration,
    /// Whether the build was watched.
    pub observation: Observation,
    /// Whether the table was analyzed, which an index on an expression needs.
    pub analyzed: Analyzed,
    /// Whether the session has its own settings again.
    pub settings_restored: bool,
    /// The statement that drops it again. For a partitioned table it locks all partitions: there is
    /// no other.
    pub rollback_sql: String,
}

/// Whether a build was watched through a second connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Observation {
    /// There was no observer: no progress was told.
    Off,
    /// It was.
    Watched,
    /// The observer failed on the way.
    Lost,
}

/// Whether a table was analyzed afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Analyzed {
    /// The index is on columns alone, of which there are statistics.
    NotNeeded,
    /// It was.
    Yes,
    /// It could not be: run `ANALYZE`, without which the planner knows nothing of the expression.
    Failed,
}

/// What making an index would do, and what stands against it. Nothing was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CreateIndexPlan {
    /// The name that the index would have, with its schema, as it is written in SQL.
    pub index: String,
    /// The table with its schema, as it is written in SQL.
    pub table: String,
    /// The statements that would run, in this order. Where there is such an index, none, or those that
    /// remove what earlier builds have left.
    ///
    /// For a partitioned table, the last of them is several that happen as a whole.
    pub statements: Vec<String>,
    /// An index that does the same.
    pub existing: Option<ExistingIndex>,
    /// What stands against it at this moment.
    pub obstacles: Vec<Obstacle>,
    /// Invalid indexes of the table that this crate has not made, which are left alone.
    pub invalid_others: Vec<String>,
    /// How large the index would become, at most; `None` where the table was never analyzed.
    pub estimated_bytes: Option<u64>,
    /// How many bytes are free, as the caller says; `None`: unknown, and not checked.
    pub free_bytes: Option<u64>,
    /// Whether transactions of other roles can be seen; else those in the way may be more.
    pub sees_all_transactions: bool,
    /// The statement that would drop the index again.
    pub rollback_sql: String,
}
