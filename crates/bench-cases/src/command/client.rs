//! `self-test client`: the load client beside wrk and oha, and before a server that stalls.

use anyhow::Context;

use super::{INTERRUPTED, extras::unless_stopped, interrupt, output};
use crate::client_check::{ClientCheck, ClientCheckPlan, client_check};

/// Answers 1 if the client is not a fair one or hides a stall, 3 if that cannot be said.
pub(super) async fn client() -> anyhow::Result<u8> {
    let this = std::env::current_exe().context("failed to find this program's own file")?;
    let stop = interrupt::listen()?;
    let plan = ClientCheckPlan::default();
    // What it started ends with it.
    let Some(check) = unless_stopped(&stop, client_check(&this, &plan)).await else {
        return Ok(INTERRUPTED);
    };
    let check = check?;
    output::print(&format!("{check}\n"))?;
    Ok(code(&check))
}

fn code(check: &ClientCheck) -> u8 {
    let verdicts: Vec<Option<bool>> = check.compared.iter().map(|it| it.is_within()).collect();
    if verdicts.contains(&Some(false)) || !check.stall.is_shown() {
        1
    } else if verdicts.contains(&None) || !check.missing.is_empty() {
        3
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_check::StallSeen;

    fn check(closed_p99_ms: f64, open_p99_ms: f64) -> ClientCheck {
        ClientCheck {
            ours: Vec::new(),
            compared: Vec::new(),
            is_apart: true,
            missing: Vec::new(),
            stall: StallSeen {
                stall_ms: 1_000,
                closed_p99_ms,
                closed_max_ms: 1_000.0,
                open_p99_ms,
                open_service_p99_ms: 1.0,
            },
        }
    }

    #[test]
    fn a_stall_that_is_not_shown_fails_the_check() {
        assert_eq!(code(&check(1.0, 950.0)), 0);
        assert_eq!(code(&check(1.0, 400.0)), 1);
        assert_eq!(code(&check(900.0, 950.0)), 1);
        assert_eq!(code(&check(f64::NAN, f64::NAN)), 1);
    }
}
