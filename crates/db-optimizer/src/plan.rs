//! The plan of a statement, as `EXPLAIN (FORMAT JSON)` of PostgreSQL 13 to 18 writes it.
//!
//! Keys that are not known here are passed over, and what a version or an option leaves out is
//! `None`. Conditions are the server's own text; they are not SQL throughout: `(hashed SubPlan 1)`
//! and `(InitPlan 1).col1` stand in them, and up to 15 `$0` for what an `InitPlan` returns.

mod node;
mod outline;
mod summary;
mod text;

use std::{collections::BTreeMap, iter};

use serde::Deserialize;

pub(crate) use self::text::PlanText;
pub use self::{
    node::{Buffers, Node, SortGroups, SortSpace, Worker},
    summary::{Jit, JitTiming, Planning, Trigger},
};

/// A statement's plan: what the planner means to do and, after `EXPLAIN ANALYZE`, what was done.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[non_exhaustive]
pub struct Plan {
    /// The topmost node.
    #[serde(rename = "Plan")]
    pub root: Node,
    /// Settings that bear on plans and differ from their defaults (`SETTINGS`).
    #[serde(rename = "Settings")]
    pub settings: BTreeMap<String, String>,
    /// What planning itself needed.
    #[serde(rename = "Planning")]
    pub planning: Option<Planning>,
    /// How long planning took, in milliseconds.
    #[serde(rename = "Planning Time")]
    pub planning_ms: Option<f64>,
    /// How long the statement ran, in milliseconds.
    #[serde(rename = "Execution Time")]
    pub execution_ms: Option<f64>,
    /// The triggers that ran, foreign keys among them.
    #[serde(rename = "Triggers")]
    pub triggers: Vec<Trigger>,
    /// What compiling to machine code did.
    #[serde(rename = "JIT")]
    pub jit: Option<Jit>,
}

/// Why a text is no plan. It quotes nothing: a plan holds a statement's constants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It is no JSON, or JSON of another form.
    #[error("not the plan of a statement: line {line}, column {column}")]
    Unreadable {
        /// Counted from 1; 0 where JSON of another form was found.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It has no node at all: utility statements have no plan.
    #[error("the statement has no plan")]
    Empty,
}

impl Plan {
    /// Reads the answer to `EXPLAIN (FORMAT JSON)` of one statement. Of several plans, which a rule
    /// of the server may make of one statement, the first is read.
    ///
    /// # Errors
    ///
    /// When the text is no plan, or is nested more than 60 nodes deep.
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        // By way of a map: a key may stand there twice.
        let json: serde_json::Value = serde_json::from_str(&text::repaired(text))?;
        let first = match json {
            serde_json::Value::Array(plans) => plans.into_iter().next(),
            other => Some(other),
        };
        let plan: Plan = serde_json::from_value(first.ok_or(PlanError::Empty)?)?;
        match plan.root.node_type.is_empty() {
            true => Err(PlanError::Empty),
            false => Ok(plan),
        }
    }

    /// All nodes, a parent before its children.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.root.nodes()
    }

    /// The indexes that are read, by names without a schema.
    pub(crate) fn index_names(&self) -> impl Iterator<Item = String> {
        self.nodes().filter_map(|it| it.index.clone())
    }

    /// What the planner believes the statement costs; infinite where it does not say.
    pub fn total_cost(&self) -> f64 {
        self.root.total_cost.unwrap_or(f64::INFINITY)
    }

    /// Whether the statement was run, and the plan tells what happened.
    pub fn is_analyzed(&self) -> bool {
        self.root.actual_loops.is_some()
    }
}

impl Node {
    /// This node and all under it, a parent before its children.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let mut stack = vec![self];
        iter::from_fn(move || {
            let node = stack.pop()?;
            stack.extend(node.children.iter().rev());
            Some(node)
        })
    }
}

impl From<serde_json::Error> for PlanError {
    fn from(error: serde_json::Error) -> PlanError {
        PlanError::Unreadable {
            line: error.line(),
            column: error.column(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Plan {
        Plan::parse(text).unwrap()
    }

    #[test]
    fn nodes_come_in_the_order_of_the_text() {
        let plan = parse(
            r#"[{"Plan": {"Node Type": "Nested Loop", "Plans": [
                {"Node Type": "Gather", "Plans": [{"Node Type": "Seq Scan"}]},
                {"Node Type": "Index Scan"}]}}]"#,
        );
        let types: Vec<_> = plan.nodes().map(|it| it.node_type.as_str()).collect();
        assert_eq!(types, ["Nested Loop", "Gather", "Seq Scan", "Index Scan"]);
        assert!(!plan.is_analyzed());
        assert_eq!(plan.total_cost(), f64::INFINITY);
    }

    #[test]
    fn unknown_keys_are_passed_over_and_the_last_of_two_counts() {
        let plan = parse(
            r#"{"Future": [1], "Plan": {"Node Type": "Result", "Node Type": "Sort",
                "Future": {"a": null}, "Sort Key": ["t.a DESC"]}}"#,
        );
        assert_eq!(plan.root.node_type, "Sort");
        assert_eq!(plan.root.sort_key, ["t.a DESC"]);
    }

    #[test]
    fn numbers_that_json_does_not_have_are_read() {
        let plan = parse(
            r#"[{"Plan": {"Node Type": "Seq Scan", "Startup Cost": NaN, "Total Cost": Infinity,
                "Plan Rows": -Infinity, "Filter": "(a = 'Infinity'::float8 \"NaN)", "Actual Rows": 0.33,
                "Actual Loops": 0}}]"#,
        );
        let root = &plan.root;
        assert!(root.startup_cost.unwrap().is_nan());
        assert_eq!(root.total_cost, Some(f64::INFINITY));
        assert_eq!(root.plan_rows, Some(f64::NEG_INFINITY));
        assert_eq!(root.actual_rows, Some(0.33));
        assert_eq!(
            root.filter.as_deref(),
            Some("(a = 'Infinity'::float8 \"NaN)")
        );
        assert!(plan.is_analyzed() && !root.has_run());
    }

    #[test]
    fn an_error_quotes_nothing() {
        for text in [
            "",
            "secret",
            r#"[{"Plan": {"Filter": "secret", "Node Type": 7}}]"#,
        ] {
            let error = Plan::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        assert!(matches!(
            Plan::parse(r#"["Utility Statement"]"#),
            Err(PlanError::Unreadable { .. })
        ));
        assert!(matches!(Plan::parse("[]"), Err(PlanError::Empty)));
        assert!(matches!(Plan::parse("[{}]"), Err(PlanError::Empty)));
    }

    #[test]
    fn a_text_that_is_nested_too_deep_is_refused() {
        let deep = |depth| {
            let open = r#"{"Node Type": "Append", "Plans": ["#.repeat(depth);
            format!(r#"[{{"Plan": {open}{}}}]"#, "]}".repeat(depth))
        };
        assert_eq!(parse(&deep(60)).nodes().count(), 60);
        assert!(Plan::parse(&deep(10_000)).is_err());
    }
}
