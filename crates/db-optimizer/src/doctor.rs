//! What is wrong with a statement, judged by its plan and what is known of its runs and tables.
//!
//! Rules are pure functions, one per file. Those on estimates work on any plan; those on what happened
//! need `EXPLAIN (ANALYZE, BUFFERS, …)`. A node is reported only if it matters: at least a twentieth of
//! the time, or 10 ms.
//!
//! Conditions are shown without their constants, as [`ruleiq_query::Fingerprint`] writes them.

mod case;
mod cold_reads;
mod condition;
mod correlated_subquery;
mod count_all;
mod filtered_index;
mod filtered_scan;
mod function_on_column;
mod hash_spill;
mod heap_fetches;
mod implicit_cast;
mod jit;
mod join_filter;
mod leading_wildcard;
mod lock_wait;
mod lossy_bitmap;
mod misestimate;
mod missing_limit;
mod nested_loop;
mod not_in;
mod offset_paging;
mod or_condition;
mod partition_pruning;
mod planner_settings;
mod planning_time;
mod repeated_subplan;
mod sort_spill;
mod stale_statistics;
pub(crate) mod tables;
mod triggers;
mod visit;
mod wal;
mod wide_rows;
mod workers;

use std::cmp::Reverse;

pub use self::case::{Case, Column, Runs, Table};
use self::visit::{Visit, visits};
use crate::Finding;

/// A rule, by what it looks at.
enum Rule {
    /// Each node that matters.
    Node(fn(&Case<'_>, &Visit<'_>) -> Option<Finding>),
    /// The statement as a whole.
    Whole(fn(&Case<'_>) -> Option<Finding>),
}

const RULES: &[Rule] = &[
    Rule::Node(misestimate::rule),
    Rule::Node(sort_spill::rule),
    Rule::Node(hash_spill::rule),
    Rule::Node(lossy_bitmap::rule),
    Rule::Node(filtered_scan::rule),
    Rule::Node(filtered_index::rule),
    Rule::Node(join_filter::rule),
    Rule::Node(nested_loop::rule),
    Rule::Node(repeated_subplan::rule),
    Rule::Node(correlated_subquery::rule),
    Rule::Node(offset_paging::rule),
    Rule::Node(count_all::rule),
    Rule::Whole(missing_limit::rule),
    Rule::Node(implicit_cast::rule),
    Rule::Node(function_on_column::rule),
    Rule::Node(or_condition::rule),
    Rule::Node(not_in::rule),
    Rule::Node(leading_wildcard::rule),
    Rule::Node(stale_statistics::rule),
    Rule::Whole(jit::rule),
    Rule::Node(workers::rule),
    Rule::Node(heap_fetches::rule),
    Rule::Node(partition_pruning::rule),
    Rule::Node(lock_wait::rule),
    Rule::Whole(wide_rows::rule),
    Rule::Whole(cold_reads::rule),
    Rule::Whole(wal::rule),
    Rule::Whole(planner_settings::rule),
    Rule::Whole(planning_time::rule),
    Rule::Whole(triggers::rule),
];

/// The most findings on one statement.
const MAX_FINDINGS: usize = 20;

impl Case<'_> {
    /// What is wrong, the most severe first; at most 20 findings.
    pub fn diagnose(&self) -> Vec<Finding> {
        let visits = visits(self.plan);
        let mut findings: Vec<Finding> = Vec::new();
        for rule in RULES {
            match rule {
                Rule::Whole(rule) => findings.extend(rule(self)),
                Rule::Node(rule) => {
                    findings.extend(visits.iter().filter_map(|visit| rule(self, visit)));
                }
            }
        }
        findings.sort_by_key(|it| Reverse(it.severity));
        findings.truncate(MAX_FINDINGS);
        findings
    }
}
