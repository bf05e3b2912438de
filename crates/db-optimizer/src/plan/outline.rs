//! A plan as a text for people, without constants.

use super::{Node, Plan};
use crate::{quantity::Count, statement_text};

/// So many nodes are shown.
const MAX_NODES: usize = 60;

impl Plan {
    /// The nodes, one a line, those under another one indented; conditions without their constants.
    pub fn outline(&self) -> String {
        let mut text = String::new();
        let mut stack = vec![(&self.root, 0)];
        let mut count = 0;
        while let Some((node, depth)) = stack.pop() {
            count += 1;
            if count > MAX_NODES {
                text.push_str("…\n");
                break;
            }
            line(&mut text, node, depth);
            stack.extend(node.children.iter().rev().map(|it| (it, depth + 1)));
        }
        text
    }
}

fn line(text: &mut String, node: &Node, depth: usize) {
    let cost = node.total_cost.unwrap_or(f64::NAN);
    let rows = Count(node.plan_rows.unwrap_or(f64::NAN));
    let (indent, title) = ("  ".repeat(depth), node.title());
    text.push_str(&format!("{indent}{title} (cost {cost:.0}, {rows} rows"));
    if let (Some(actual), Some(loops)) = (node.actual_rows, node.actual_loops) {
        let (actual, loops) = (Count(actual), Count(loops));
        text.push_str(&format!("; actual {actual} rows, {loops} loops"));
    }
    text.push(')');
    for condition in node.conditions() {
        text.push_str(&format!(" [{}]", statement_text::shown(condition)));
    }
    text.push('\n');
}
