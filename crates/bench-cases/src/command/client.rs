//! `self-test client`: the load client beside wrk and oha, and before a server that stalls.

use anyhow::Context;

use super::output;
use crate::client_check::{ClientCheckPlan, client_check};

/// Answers 1 if the client is not a fair one, 3 if that cannot be said.
pub(super) async fn client() -> anyhow::Result<u8> {
    let this = std::env::current_exe().context("failed to find this program's own file")?;
    let check = client_check(&this, &ClientCheckPlan::default()).await?;
    output::print(&format!("{check}\n"))?;
    let verdicts: Vec<Option<bool>> = check.compared.iter().map(|it| it.is_within()).collect();
    Ok(if verdicts.contains(&Some(false)) {
        1
    } else if verdicts.contains(&None) || !check.missing.is_empty() {
        3
    } else {
        0
    })
}
