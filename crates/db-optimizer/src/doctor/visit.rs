//! A node in its place.

use crate::{
    Finding, Severity,
    plan::{Node, Plan},
    quantity::Milliseconds,
    statement_text,
};

/// A node, what stands over it, and its share of the time.
pub(super) struct Visit<'a> {
    pub(super) node: &'a Node,
    /// From the topmost node to the parent.
    pub(super) above: Vec<&'a Node>,
    /// The time that it took itself, in milliseconds of the clock; `None` in a plan that was not
    /// run.
    pub(super) self_ms: Option<f64>,
    /// Whether that is a twentieth of all, or 10 ms, or the plan was not run.
    pub(super) matters: bool,
}

/// All nodes of a plan in their places, a parent before its children.
pub(super) fn visits(plan: &Plan) -> Vec<Visit<'_>> {
    let mut visits = Vec::new();
    let mut stack = vec![(&plan.root, Vec::new(), 1.0)];
    let whole = plan.execution_ms.or(plan.root.actual_total_ms);
    while let Some((node, above, processes)) = stack.pop() {
        let self_ms = self_ms(node, processes);
        let mut over_children: Vec<&Node> = above.clone();
        over_children.push(node);
        let below = processes * helpers(node);
        for child in node.children.iter().rev() {
            stack.push((child, over_children.clone(), below));
        }
        visits.push(Visit {
            matters: match (self_ms, whole) {
                (Some(own), Some(whole)) => own >= 10.0 || own >= whole / 20.0,
                _ => !plan.is_analyzed(),
            },
            node,
            above,
            self_ms,
        });
    }
    visits
}

/// Among how many processes a node's children are shared: the workers and the leader.
fn helpers(node: &Node) -> f64 {
    match node.node_type.as_str() {
        "Gather" | "Gather Merge" => 1.0 + node.workers_launched.unwrap_or(0.0),
        _ => 1.0,
    }
}

/// Loops of a parallel part are counted in all processes, which run at the same time.
fn self_ms(node: &Node, processes: f64) -> Option<f64> {
    let time = |it: &Node| it.over_all_loops(it.actual_total_ms);
    let below = processes * helpers(node);
    let children: f64 = node.children.iter().filter_map(time).sum();
    Some((time(node)? / processes - children / below).max(0.0))
}

impl Visit<'_> {
    pub(super) fn parent(&self) -> Option<&Node> {
        self.above.last().copied()
    }

    pub(super) fn is(&self, node_type: &str) -> bool {
        self.node.node_type == node_type
    }

    /// A finding on this node, with its time.
    pub(super) fn finding(&self, code: &'static str, severity: Severity) -> Finding {
        let found = Finding::new(code, severity, self.node.title());
        match self.self_ms {
            Some(ms) => found.number("self_ms", ms),
            None => found,
        }
    }

    /// Its own time, as a part of a sentence.
    pub(super) fn time(&self) -> String {
        match self.self_ms {
            Some(ms) => format!(", {} of its own", Milliseconds(ms)),
            None => String::new(),
        }
    }
}

/// A condition without its constants.
pub(super) fn shown(condition: &str) -> String {
    format!("`{}`", statement_text::shown(condition))
}
