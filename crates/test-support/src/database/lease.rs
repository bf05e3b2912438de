//! Whose process still lives.
//!
//! Every process that uses test databases keeps one connection open, whose application name bears
//! a random id; the names of its databases bear it too. The server knows who is connected, so that
//! this works from other machines and containers, where a process id means nothing.

use ruleiq_servers::DATABASE_URL_VARIABLE;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use super::{random, server, sweep};
use crate::{address, background, error::SetupError};

static LEASE: OnceCell<Lease> = OnceCell::const_new();

struct Lease {
    id: String,
    /// Held for the life of the process.
    _client: Client,
}

/// The id of this process: 12 hexadecimal digits. Must run on the background runtime.
pub(crate) async fn id() -> Result<&'static str, SetupError> {
    let lease = LEASE.get_or_try_init(|| async {
        let id = random()[..12].to_owned();
        let url = address::of_variable(DATABASE_URL_VARIABLE)?;
        let client = server::connect(&url, &format!("{}{id}", sweep::LEASE)).await?;
        // The test need not wait for it. A sweep that fails is made up for by a later one.
        background::spawn(async { drop(sweep::sweep().await) });
        Ok(Lease {
            id,
            _client: client,
        })
    });
    Ok(&lease.await?.id)
}
