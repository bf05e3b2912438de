//! Reads from a database through a pool, in a transaction and with a deadline.
//!
//! `cargo run -p ruleiq-pools --no-default-features --features postgres --example query_postgres -- URL`

use std::{error::Error, time::Duration};

use ruleiq_pools::{PoolManager, PostgresConfig};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_scope::Scope;
use tokio::time::Instant;

/// Answers how many rows it wrote.
#[allow(clippy::print_stdout, reason = "it is for people")]
pub(crate) async fn write_three_rows(url: &str) -> Result<u64, Box<dyn Error>> {
    let pools = PoolManager::builder()
        .postgres(PostgresConfig::new(url))
        .build()?;

    let mut session = pools.session().await?;
    let version: String = session.query_one("SHOW server_version", &[]).await?.get(0);
    println!("PostgreSQL {version}");

    let transaction = session.transaction().await?;
    transaction
        .batch_execute("CREATE TEMPORARY TABLE visit (n bigint)")
        .await?;
    let written = transaction
        .execute("INSERT INTO visit SELECT generate_series(1, 3)", &[])
        .await?;
    transaction.commit().await?;
    println!("{written} rows written");

    let scope = Scope::builder()
        .deadline(Instant::now() + Duration::from_millis(100))
        .build();
    let late = scope.run(session.query("SELECT pg_sleep(10)", &[])).await;
    println!("{}", late.err().ok_or("it did not sleep")?);
    drop(session);

    let health = pools.health_check().await;
    println!("healthy: {}", health.is_healthy());
    pools.close().await;
    Ok(written)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    write_three_rows(&url.ok_or("give the URL of a PostgreSQL database")?).await?;
    Ok(())
}
