//! Settings by which the planner was kept from its way.

use super::Case;
use crate::{Finding, Severity};

pub(super) fn rule(case: &Case<'_>) -> Option<Finding> {
    let settings = case.plan.settings.iter();
    let odd: Vec<String> = settings
        .filter(|(name, value)| is_odd(name, value))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    if odd.is_empty() {
        return None;
    }
    Some(
        Finding::new("planner_settings", Severity::Notice, "the statement")
            .seen(odd.join(", "))
            .why("the plan is not the one that the server would choose by itself")
            .action("find out who set it, and for which statement; a setting that helps one harms others"),
    )
}

fn is_odd(name: &str, value: &str) -> bool {
    match name {
        "work_mem" => kib(value).is_some_and(|kib| kib < 4_096),
        "from_collapse_limit" | "join_collapse_limit" => value.parse().is_ok_and(|it: u32| it < 8),
        _ => name.starts_with("enable_") && value == "off",
    }
}

/// A setting of memory, in KiB.
fn kib(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    match &value[digits.len()..] {
        "kB" => Some(number),
        "MB" => number.checked_mul(1_024),
        "GB" => number.checked_mul(1_024 * 1_024),
        _ => None,
    }
}
