//! One node of a plan.

use serde::Deserialize;

use super::text::number;

/// A node: a scan, a join, a sort, or what else makes rows of its children's.
///
/// Times, rows and removed rows are means of one loop; multiply them by `actual_loops`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Node {
    /// What it does, such as `Seq Scan`.
    #[serde(rename = "Node Type")]
    pub node_type: String,
    /// What it is to its parent: `Outer`, `Inner`, `Subquery`, `Member`, `InitPlan`, `SubPlan`.
    #[serde(rename = "Parent Relationship")]
    pub parent_relationship: Option<String>,
    /// What conditions call it: `SubPlan 1`, `InitPlan 1 (returns $0)`, `CTE x`.
    #[serde(rename = "Subplan Name")]
    pub subplan_name: Option<String>,
    /// How it groups: `Plain`, `Sorted`, `Hashed`, `Mixed`.
    #[serde(rename = "Strategy")]
    pub strategy: Option<String>,
    /// Whether an aggregate is done in parts: `Simple`, `Partial`, `Finalize`.
    #[serde(rename = "Partial Mode")]
    pub partial_mode: Option<String>,
    /// What it changes: `Insert`, `Update`, `Delete`, `Merge`.
    #[serde(rename = "Operation")]
    pub operation: Option<String>,
    /// `Inner`, `Left`, `Right`, `Full`, `Semi`, `Anti`.
    #[serde(rename = "Join Type")]
    pub join_type: Option<String>,
    /// `Forward` or `Backward`.
    #[serde(rename = "Scan Direction")]
    pub scan_direction: Option<String>,
    /// Whether workers share its work.
    #[serde(rename = "Parallel Aware")]
    pub parallel_aware: bool,
    /// Whether a row finds at most one partner (`VERBOSE`).
    #[serde(rename = "Inner Unique")]
    pub inner_unique: Option<bool>,
    /// Whether a setting forbids it (18 and later).
    #[serde(rename = "Disabled")]
    pub disabled: Option<bool>,

    /// The schema of what is read or written (`VERBOSE`).
    #[serde(rename = "Schema")]
    pub schema: Option<String>,
    /// The table that is read or written.
    #[serde(rename = "Relation Name")]
    pub relation: Option<String>,
    /// What the statement calls it.
    #[serde(rename = "Alias")]
    pub alias: Option<String>,
    /// The index that is read.
    #[serde(rename = "Index Name")]
    pub index: Option<String>,
    /// The function whose rows are read.
    #[serde(rename = "Function Name")]
    pub function: Option<String>,
    /// The common table expression whose rows are read.
    #[serde(rename = "CTE Name")]
    pub cte: Option<String>,

    /// The cost until the first row, as estimated.
    #[serde(rename = "Startup Cost", deserialize_with = "number")]
    pub startup_cost: Option<f64>,
    /// The cost of all rows, as estimated.
    #[serde(rename = "Total Cost", deserialize_with = "number")]
    pub total_cost: Option<f64>,
    /// The rows of one loop, as estimated; in a parallel part, those of one process.
    #[serde(rename = "Plan Rows", deserialize_with = "number")]
    pub plan_rows: Option<f64>,
    /// The bytes of one row, as estimated.
    #[serde(rename = "Plan Width", deserialize_with = "number")]
    pub plan_width: Option<f64>,

    /// The columns that it gives (`VERBOSE`).
    #[serde(rename = "Output")]
    pub output: Vec<String>,
    /// What its rows are filtered by.
    #[serde(rename = "Filter")]
    pub filter: Option<String>,
    /// What is looked up in the index.
    #[serde(rename = "Index Cond")]
    pub index_cond: Option<String>,
    /// What is checked again, when a bitmap or an index is lossy.
    #[serde(rename = "Recheck Cond")]
    pub recheck_cond: Option<String>,
    /// Which row addresses are read.
    #[serde(rename = "TID Cond")]
    pub tid_cond: Option<String>,
    /// By what an index gives the nearest first.
    #[serde(rename = "Order By")]
    pub order_by: Option<String>,
    /// What pairs of rows are filtered by.
    #[serde(rename = "Join Filter")]
    pub join_filter: Option<String>,
    /// What a hash join compares.
    #[serde(rename = "Hash Cond")]
    pub hash_cond: Option<String>,
    /// What a merge join compares.
    #[serde(rename = "Merge Cond")]
    pub merge_cond: Option<String>,
    /// What is checked once, before all rows.
    #[serde(rename = "One-Time Filter")]
    pub one_time_filter: Option<String>,
    /// When a window ends early.
    #[serde(rename = "Run Condition")]
    pub run_condition: Option<String>,
    /// What is sorted by, with the directions.
    #[serde(rename = "Sort Key")]
    pub sort_key: Vec<String>,
    /// By what the rows come sorted already.
    #[serde(rename = "Presorted Key")]
    pub presorted_key: Vec<String>,
    /// What is grouped by.
    #[serde(rename = "Group Key")]
    pub group_key: Vec<String>,
    /// What remembered rows are found by, separated by commas.
    #[serde(rename = "Cache Key")]
    pub cache_key: Option<String>,

    /// The mean time of one loop with its children, in milliseconds.
    #[serde(rename = "Actual Total Time", deserialize_with = "number")]
    pub actual_total_ms: Option<f64>,
    /// The mean rows of one loop.
    #[serde(rename = "Actual Rows", deserialize_with = "number")]
    pub actual_rows: Option<f64>,
    /// How often it ran, in all processes together; 0 where nobody needed it.
    #[serde(rename = "Actual Loops", deserialize_with = "number")]
    pub actual_loops: Option<f64>,
    /// The mean rows of one loop that the filter refused.
    #[serde(rename = "Rows Removed by Filter", deserialize_with = "number")]
    pub rows_removed_by_filter: Option<f64>,
    /// The mean rows of one loop that the recheck refused.
    #[serde(rename = "Rows Removed by Index Recheck", deserialize_with = "number")]
    pub rows_removed_by_index_recheck: Option<f64>,
    /// The mean pairs of one loop that the join's filter refused.
    #[serde(rename = "Rows Removed by Join Filter", deserialize_with = "number")]
    pub rows_removed_by_join_filter: Option<f64>,
    /// The rows for which an index alone was not enough, over all loops.
    #[serde(rename = "Heap Fetches", deserialize_with = "number")]
    pub heap_fetches: Option<f64>,
    /// How often the index was descended (18 and later).
    #[serde(rename = "Index Searches", deserialize_with = "number")]
    pub index_searches: Option<f64>,
    /// The blocks of a bitmap that name each row.
    #[serde(rename = "Exact Heap Blocks", deserialize_with = "number")]
    pub exact_heap_blocks: Option<f64>,
    /// The blocks of a bitmap that had no room to name rows.
    #[serde(rename = "Lossy Heap Blocks", deserialize_with = "number")]
    pub lossy_heap_blocks: Option<f64>,
    /// How it was sorted, such as `external merge`.
    #[serde(rename = "Sort Method")]
    pub sort_method: Option<String>,
    /// The memory or disk that sorting took, in KiB.
    #[serde(rename = "Sort Space Used", deserialize_with = "number")]
    pub sort_space_used_kib: Option<f64>,
    /// `Memory` or `Disk`.
    #[serde(rename = "Sort Space Type")]
    pub sort_space_type: Option<String>,
    /// What an incremental sort sorted as a whole.
    #[serde(rename = "Full-sort Groups")]
    pub full_sort_groups: Option<SortGroups>,
    /// What an incremental sort sorted in groups.
    #[serde(rename = "Pre-sorted Groups")]
    pub presorted_groups: Option<SortGroups>,
    /// In how many parts a hash table was built; more than 1 went to disk.
    #[serde(rename = "Hash Batches", deserialize_with = "number")]
    pub hash_batches: Option<f64>,
    /// In how many parts it was planned.
    #[serde(rename = "Original Hash Batches", deserialize_with = "number")]
    pub original_hash_batches: Option<f64>,
    /// The memory of a hash table, in KiB.
    #[serde(rename = "Peak Memory Usage", deserialize_with = "number")]
    pub peak_memory_kib: Option<f64>,
    /// In how many parts a hash aggregate was done.
    #[serde(rename = "HashAgg Batches", deserialize_with = "number")]
    pub hash_aggregate_batches: Option<f64>,
    /// The disk that a hash aggregate took, in KiB.
    #[serde(rename = "Disk Usage", deserialize_with = "number")]
    pub disk_usage_kib: Option<f64>,
    /// How often remembered rows were there.
    #[serde(rename = "Cache Hits", deserialize_with = "number")]
    pub cache_hits: Option<f64>,
    /// How often they were not.
    #[serde(rename = "Cache Misses", deserialize_with = "number")]
    pub cache_misses: Option<f64>,
    /// How often some had to make room.
    #[serde(rename = "Cache Evictions", deserialize_with = "number")]
    pub cache_evictions: Option<f64>,
    /// How many workers were meant to help.
    #[serde(rename = "Workers Planned", deserialize_with = "number")]
    pub workers_planned: Option<f64>,
    /// How many did.
    #[serde(rename = "Workers Launched", deserialize_with = "number")]
    pub workers_launched: Option<f64>,
    /// The partitions that were ruled out when the statement began.
    #[serde(rename = "Subplans Removed", deserialize_with = "number")]
    pub subplans_removed: Option<f64>,
    /// What each worker did (`VERBOSE`).
    #[serde(rename = "Workers")]
    pub workers: Vec<Worker>,
    /// The blocks that it and its children touched (`BUFFERS`) and the log that they wrote (`WAL`).
    #[serde(flatten)]
    pub buffers: Buffers,

    /// What it takes its rows from, and the sub-plans of its expressions.
    #[serde(rename = "Plans")]
    pub children: Vec<Node>,
}

/// Blocks and log of a node with its children, over all loops; 0 where it was not measured.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Buffers {
    /// 8 KiB blocks that were found in shared memory.
    #[serde(rename = "Shared Hit Blocks")]
    pub shared_hit: u64,
    /// 8 KiB blocks that were read.
    #[serde(rename = "Shared Read Blocks")]
    pub shared_read: u64,
    /// 8 KiB blocks that were changed.
    #[serde(rename = "Shared Dirtied Blocks")]
    pub shared_dirtied: u64,
    /// 8 KiB blocks of temporary files that were read.
    #[serde(rename = "Temp Read Blocks")]
    pub temp_read: u64,
    /// 8 KiB blocks of temporary files that were written.
    #[serde(rename = "Temp Written Blocks")]
    pub temp_written: u64,
    /// How long reading took, in milliseconds (`track_io_timing`).
    #[serde(rename = "I/O Read Time", alias = "Shared I/O Read Time")]
    pub read_ms: Option<f64>,
    /// Records written to the log.
    #[serde(rename = "WAL Records")]
    pub wal_records: u64,
    /// Whole pages written to the log.
    #[serde(rename = "WAL FPI")]
    pub wal_full_pages: u64,
    /// Bytes written to the log.
    #[serde(rename = "WAL Bytes")]
    pub wal_bytes: u64,
}

/// What an incremental sort did with groups of one kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct SortGroups {
    /// How many there were.
    #[serde(rename = "Group Count")]
    pub groups: u64,
    /// What went to disk.
    #[serde(rename = "Sort Space Disk")]
    pub disk: Option<SortSpace>,
}

/// What sorting groups took.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct SortSpace {
    /// For the largest group, in KiB.
    #[serde(rename = "Peak Sort Space Used", deserialize_with = "number")]
    pub peak_kib: Option<f64>,
}

/// What one worker did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Worker {
    /// Its number, from 0.
    #[serde(rename = "Worker Number")]
    pub number: u64,
    /// Its loops.
    #[serde(rename = "Actual Loops", deserialize_with = "number")]
    pub actual_loops: Option<f64>,
    /// Its mean rows of one loop.
    #[serde(rename = "Actual Rows", deserialize_with = "number")]
    pub actual_rows: Option<f64>,
    /// `Memory` or `Disk`, of its sort.
    #[serde(rename = "Sort Space Type")]
    pub sort_space_type: Option<String>,
    /// The memory or disk of its sort, in KiB.
    #[serde(rename = "Sort Space Used", deserialize_with = "number")]
    pub sort_space_used_kib: Option<f64>,
}

impl Node {
    /// Whether it ran at least once.
    pub fn has_run(&self) -> bool {
        self.actual_loops.is_some_and(|loops| loops > 0.0)
    }

    /// The rows of all loops; `None` where it did not run.
    pub fn all_rows(&self) -> Option<f64> {
        self.over_all_loops(self.actual_rows)
    }

    /// A mean of one loop as the sum over all; `None` where it did not run.
    pub fn over_all_loops(&self, mean: Option<f64>) -> Option<f64> {
        match self.has_run() {
            true => Some(mean? * self.actual_loops?),
            false => None,
        }
    }

    /// The conditions that rows are found or filtered by, those of joins among them.
    pub fn conditions(&self) -> impl Iterator<Item = &str> {
        let all = [
            &self.index_cond,
            &self.recheck_cond,
            &self.tid_cond,
            &self.filter,
            &self.join_filter,
            &self.hash_cond,
            &self.merge_cond,
            &self.one_time_filter,
        ];
        all.into_iter().filter_map(|it| it.as_deref())
    }

    /// Whether it is an `InitPlan`, a `SubPlan` or a common table expression: not a source of its
    /// parent's rows, but of a value in its expressions.
    pub fn is_subplan(&self) -> bool {
        matches!(
            self.parent_relationship.as_deref(),
            Some("InitPlan" | "SubPlan")
        )
    }

    /// What it is called: `Seq Scan on public.orders o`.
    pub fn title(&self) -> String {
        let mut title = self.node_type.clone();
        if let Some(index) = &self.index {
            title.push_str(&format!(" using {index}"));
        }
        if let Some(relation) = &self.relation {
            let schema = self.schema.as_ref().map(|it| format!("{it}."));
            title.push_str(&format!(" on {}{relation}", schema.unwrap_or_default()));
        }
        if let Some(alias) = self
            .alias
            .as_ref()
            .filter(|it| self.relation.as_ref() != Some(it))
        {
            title.push_str(&format!(" {alias}"));
        }
        title
    }
}
