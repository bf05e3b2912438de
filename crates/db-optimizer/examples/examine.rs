//! Prints the health of a database and of its server.
//!
//! ```text
//! cargo run -p ruleiq-db-optimizer --example examine -- postgres://localhost/shop
//! ```

use std::{env, error::Error};

use ruleiq_db_optimizer::{DatabaseOptimizer, HealthReport};
use tokio_postgres::NoTls;

#[allow(
    clippy::disallowed_methods,
    reason = "a program with a connection of its own"
)]
pub(crate) async fn examine(url: &str) -> Result<HealthReport, Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(DatabaseOptimizer::new(&client).health().await?)
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "a program for the terminal")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1);
    println!(
        "{}",
        examine(&url.ok_or("name a database: postgres://…")?).await?
    );
    Ok(())
}
