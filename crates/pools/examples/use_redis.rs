//! Writes to and reads from Redis through the shared connections.
//!
//! `cargo run -p ruleiq-pools --no-default-features --features redis --example use_redis -- URL`

use std::error::Error;

use fred::interfaces::KeysInterface as _;
use ruleiq_pools::{PoolManager, RedisConfig};

/// Answers which visit this was.
#[allow(clippy::print_stdout, reason = "it is for people")]
pub(crate) async fn count_a_visit(url: &str) -> Result<u64, Box<dyn Error>> {
    let pools = PoolManager::builder()
        .redis(RedisConfig::new(url))
        .build()?;
    let redis = pools.redis().ok_or("the manager has a Redis")?;

    let key = format!("ruleiq-example:{}", std::process::id());
    let visits: u64 = redis.incr(&key).await?;
    let _: u64 = redis.del(&key).await?;
    println!("visit {visits}");

    let stats = pools.stats().redis.ok_or("the manager has a Redis")?;
    println!(
        "{} of {} connections are up",
        stats.checked_in + stats.checked_out,
        stats.size
    );
    pools.close().await;
    Ok(visits)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    count_a_visit(&url.ok_or("give the URL of a Redis")?).await?;
    Ok(())
}
