//! Asks a database for the time, ten times a second, and tells what the pool does meanwhile. Stop the
//! database and start it again to see the pool come through.
//!
//! `cargo run -p ruleiq-pools --no-default-features --features postgres --example survive_outage -- URL SECONDS`

use std::{cell::Cell, error::Error, time::Duration};

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

/// Asks for ever, and keeps the outcome up to date.
#[allow(clippy::print_stdout, reason = "it is for people")]
pub(crate) async fn ask(url: &str, so_far: &Cell<Outcome>) -> Result<(), Box<dyn Error>> {
    let pools = PoolManager::builder()
        .postgres(PostgresConfig::new(url))
        .build()?;
    let mut outcome = Outcome::default();
    let mut is_down = false;
    let mut ticks = time::interval(EVERY);
    loop {
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
                    println!("{}", chain(&*error));
                }
                is_down = true;
            }
        }
        so_far.set(outcome);
    }
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

/// An error with what is behind it.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "it is for people")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let url =
        url.ok_or("give the URL of a PostgreSQL database, and for how many seconds to ask")?;
    let seconds = arguments.next().map_or(Ok(60), |seconds| seconds.parse())?;
    let outcome = Cell::default();
    let asking = time::timeout(Duration::from_secs(seconds), ask(&url, &outcome));
    if let Ok(ended) = asking.await {
        ended?;
    }
    println!("{:?}", outcome.get());
    Ok(())
}
