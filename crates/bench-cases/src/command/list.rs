//! `--list`: which cases there are.

use ruleiq_bench::{Role, Target, TargetOf, worker::CaseInfo};

/// One line for each case, and one for each of its sides and targets.
pub(super) fn text(cases: &[CaseInfo]) -> String {
    let mut text = String::new();
    for case in cases {
        let variant: Vec<String> = case
            .name
            .variant
            .iter()
            .map(|(key, value)| format!(" {key}={value}"))
            .collect();
        let quick = if case.is_quick { "  [quick]" } else { "" };
        let name = format!("{}/{}", case.name.component, case.name.case);
        push(&mut text, &format!("{name}{}{quick}", variant.concat()));
        if !case.about.is_empty() {
            push(&mut text, &format!("    {}", case.about));
        }
        for side in &case.sides {
            let role = match side.role {
                Role::Subject => "subject",
                Role::Control => "control",
                Role::Peer => "peer",
                Role::Baseline => "baseline",
            };
            push(
                &mut text,
                &format!("    {role}: {} {}", side.name, side.version),
            );
        }
        for target in &case.targets {
            push(&mut text, &format!("    target: {}", wording(target)));
        }
    }
    text
}

fn push(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn wording(target: &Target) -> String {
    let of = match target.of {
        TargetOf::Ratio => " over the control's",
        TargetOf::Value => "",
    };
    let op = if target.at_least { ">=" } else { "<=" };
    let critical = match target.critical_bound {
        Some(bound) => format!(", critical beyond {bound}"),
        None if target.is_critical => ", critical".to_owned(),
        None => String::new(),
    };
    format!("{}{of} {op} {}{critical}", target.metric, target.bound)
}
