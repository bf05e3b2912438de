//! `50%`, `500MB`.

use std::str::FromStr;

use anyhow::{bail, ensure};
use ruleiq_performance::db_optimizer::Budget;

/// What the indexes may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AskedBudget(pub(super) Budget);

const UNITS: [(&str, f64); 8] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("B", 1.0),
];

impl FromStr for AskedBudget {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<AskedBudget> {
        let number = |text: &str| -> anyhow::Result<f64> {
            let Ok(number) = text.trim().parse::<f64>() else {
                bail!("`{text}` is no number: write `50%`, `500MB` or `2GB`");
            };
            ensure!(
                number.is_finite() && (0.0..=1e15).contains(&number),
                "`{text}` must be 0 or more"
            );
            Ok(number)
        };
        if let Some(percent) = text.strip_suffix('%') {
            let percent = number(percent)?;
            ensure!(percent > 0.0, "no index fits in `{text}`");
            return Ok(AskedBudget(Budget::Share(percent / 100.0)));
        }
        let unit = UNITS.iter().find(|it| text.ends_with(it.0));
        let (digits, factor) = match unit {
            Some((unit, factor)) => (&text[..text.len() - unit.len()], *factor),
            None => (text, 1.0),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast saturates, and it is not below zero"
        )]
        let bytes = (number(digits)? * factor) as u64;
        ensure!(bytes > 0, "no index fits in `{text}`");
        Ok(AskedBudget(Budget::Bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_part_or_so_many_bytes() {
        let check = |text: &str, expected: Option<Budget>| {
            let found = text.parse::<AskedBudget>().ok().map(|it| it.0);
            assert_eq!(found, expected, "{text}");
        };
        check("50%", Some(Budget::Share(0.5)));
        check("500MB", Some(Budget::Bytes(500_000_000)));
        check("1.5 GiB", Some(Budget::Bytes(1_610_612_736)));
        check("8192", Some(Budget::Bytes(8192)));
        for text in ["", "%", "0%", "0", "0.1B", "-1%", "x", "5TB", "inf", "nan%"] {
            check(text, None);
        }
    }
}
