//! CPU per operation by process.

use std::fmt::Write;

use super::{
    summary::none,
    table::{Table, breakable},
    titled,
};
use crate::report::{
    Report,
    digest::by_case,
    figure::Figure,
    svg::{escape, stacked},
};

const LEAD: &str = "CPU time per operation, ours above and the control's below; each pair has its \
                    own scale.";
const PROCESSES: [&str; 5] = ["client", "server", "postgres", "redis", "other"];

pub(super) fn section(report: &Report) -> String {
    let cases = by_case(report);
    let rows: Vec<_> = cases
        .iter()
        .filter_map(|case| case.first(|it| !it.cpu.is_empty()))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut out = "<ul class=\"legend\">".to_owned();
    for process in PROCESSES {
        let is_there = rows.iter().any(|it| it.cpu.contains_key(process));
        if is_there {
            write!(
                out,
                "<li><svg class=\"key\" width=\"12\" height=\"12\" aria-hidden=\"true\"><rect class=\"p-{process}\" width=\"12\" height=\"12\"/></svg>{process}</li>"
            )
            .ok();
        }
    }
    out += "</ul>\n";
    let heads = ["Case", "By process", ">Ours", ">Control", "Ours by process"];
    let mut table = Table::new("stacks", "", &heads);
    for row in rows {
        let sum = |cpu: &std::collections::BTreeMap<String, f64>| match cpu.is_empty() {
            true => none(),
            false => Figure::plain("us", cpu.values().sum()),
        };
        let parts: Vec<String> = row
            .cpu
            .iter()
            .map(|(process, us)| format!("{process} {}", Figure::plain("us", *us)))
            .collect();
        table.row(&[
            breakable(&row.name()),
            stacked(&row.name(), &row.cpu, &row.control_cpu),
            sum(&row.cpu),
            sum(&row.control_cpu),
            format!("<small>{}</small>", escape(&parts.join(", "))),
        ]);
    }
    titled("cpu", "CPU by process", LEAD, &(out + &table.end()))
}
