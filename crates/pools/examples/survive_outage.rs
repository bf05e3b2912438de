//! Asks a database for the time, ten times a second, and tells what the pool does meanwhile. Stop the
//! database and start it again to see the pool come through.
//!
//! `cargo run -p ruleiq-pools --no-default-features --features postgres --example survive_outage -- URL SECONDS`

use std::{error::Error, time::Duration};

use ruleiq_pools::{PoolManager, PostgresConfig, Retries};
use ruleiq_query::Read as _;
use ruleiq_scope::Scope;
use tokio::time::{self, Instant};

const EVERY: Duration = Duration::from_millis(100);
/// What a user would wait.
const PATIENCE: Duration = Duration::from_millis(500);

/// What became of the questions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answered: u32,
    pub(crate) failed: u32,
    /// How often the database came back.
    pub(crate) healed: u32,
}

/// Asks until the time is over.
#[allow(clippy::print_stdout, reason = "it is for people")]
pub(crate) async fn ask(url: &str, how_long: Duration) -> Result<Outcome, Box<dyn Error>> {
    let pools = PoolManager::builder()
        .postgres(PostgresConfig::new(url))
        .build()?;
    let end = Instant::now() + how_long;
    let mut outcome = Outcome::default();
    let mut is_down = false;
    let mut ticks = time::interval(EVERY);
    while Instant::now() < end {
        ticks.tick().await;
        let request = Scope::builder()
            .deadline(Instant::now() + PATIENCE)
            .route("time")
            .build();
        match request.run(answer(&pools)).await {
            Ok(time) => {
                outcome.answered += 1;
                if is_down {
                    outcome.healed += 1;
                    println!("{time}: the database answers again");
                }
                is_down = false;
            }
            Err(error) => {
                outcome.failed += 1;
                if !is_down {
                    let cause = error.source().map(|it| format!(": {it}"));
                    println!("{error}{}", cause.unwrap_or_default());
                }
                is_down = true;
            }
        }
    }
    let stats = pools.stats().database.ok_or("the manager has a database")?;
    println!("{outcome:?}; {} connections", stats.connections());
    pools.close().await;
    Ok(outcome)
}

/// One request. A checkout that failed has done nothing, so it may be tried again; the deadline of the
/// request ends that. A statement that failed may have run: whoever sent it decides.
async fn answer(pools: &PoolManager) -> Result<String, Box<dyn Error>> {
    let mut retries = Retries::default();
    let session = loop {
        match pools.session().await {
            Err(error) if error.is_transient() && retries.wait().await => {}
            result => break result?,
        }
    };
    let row = session.query_one("SELECT now()::text", &[]).await?;
    Ok(row.get(0))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let url =
        url.ok_or("give the URL of a PostgreSQL database, and for how many seconds to ask")?;
    let seconds = arguments.next().map_or(Ok(60), |seconds| seconds.parse())?;
    ask(&url, Duration::from_secs(seconds)).await?;
    Ok(())
}
